use picket_identity::channel_binding::ChannelBinding;
use picket_identity::profile::Leaf;
use picket_platform::authority::unix_time;
use picket_platform::store::views;
use picket_proto::agent::v1::StepFailed;
use picket_proto::platform::v1::{AgentWork, Reachability};

use crate::bench::{Bench, DAY_MS, cause, key, serial};

#[tokio::test]
async fn the_holder_of_the_files_key_gets_a_certificate_from_our_own_template() {
    let bench = Bench::new().await;
    let file = bench.site.register("acme", "berlin-1", false).await;
    let key = key();
    let issued = bench.enroll(&bench.ask(&file, &key).await).await.unwrap();
    let leaf = Leaf::parse(&issued.leaf).unwrap();
    assert_eq!(leaf.uri, "spiffe://acme.picket.test/agent/berlin-1");
    assert_eq!(leaf.common_name, "berlin-1.acme");
    assert_eq!(bench.state(&serial(&issued)).await, "pending");
    assert_eq!(bench.acts("agent.enroll").await, 1);
    let enrollment = file.verify(unix_time(bench.site.clock.now())).unwrap();
    let trust = issued.trust.unwrap();
    assert_eq!(enrollment.id().to_string(), leaf.uri);
    assert!(!trust.signature.is_empty());
}

#[tokio::test]
async fn an_agent_that_awaits_enrolment_is_assigned_for_it_and_has_no_serial() {
    let bench = Bench::new().await;
    let file = bench.site.register("acme", "berlin-1", false).await;
    let assigned = bench.assigned().await;
    assert_eq!(assigned.work(), AgentWork::Enroll);
    assert_eq!(assigned.active_serials, Vec::<String>::new());
    assert!(!assigned.renew);

    let issued = bench.enroll(&bench.ask(&file, &key()).await).await.unwrap();
    let assigned = bench.assigned().await;
    // Until somebody saw it: the reply may have been lost.
    assert_eq!(assigned.work(), AgentWork::Enroll);
    assert_eq!(assigned.active_serials, [serial(&issued)]);

    bench.claim(Reachability::Reachable, "", &serial(&issued)).await;
    assert_eq!(bench.work().await, AgentWork::Unspecified);
}

#[tokio::test]
async fn the_same_key_gets_the_same_certificate_until_it_is_seen_in_use() {
    let bench = Bench::new().await;
    let file = bench.site.register("acme", "berlin-1", false).await;
    let request = bench.ask(&file, &key()).await;
    let first = bench.enroll(&request).await.unwrap();
    let again = bench.enroll(&request).await.unwrap();
    assert_eq!(first.leaf, again.leaf);
    assert_eq!(bench.certificates().await, 1);
    bench.claim(Reachability::Reachable, "", &serial(&first)).await;
    assert_eq!(cause(&bench.enroll(&request).await), "not_awaiting");
}

#[tokio::test]
async fn another_key_on_a_used_activation_is_refused_with_an_alert() {
    let bench = Bench::new().await;
    let file = bench.site.register("acme", "berlin-1", false).await;
    bench.enroll(&bench.ask(&file, &key()).await).await.unwrap();
    let refused = bench.enroll(&bench.ask(&file, &key()).await).await;
    assert_eq!(cause(&refused), "activation_reuse");
    assert_eq!(bench.certificates().await, 1);
    let open = "SELECT kind || ' ' || severity || ' ' || agent FROM alert WHERE resolved_at IS NULL";
    assert_eq!(bench.text(open).await, "activation_reuse critical berlin-1");
    // Whoever makes a new file has dealt with it.
    bench.site.register("acme", "berlin-1", true).await;
    assert_eq!(
        bench
            .number("SELECT COUNT(*) FROM alert WHERE resolved_at IS NULL")
            .await,
        0
    );
}

#[tokio::test]
async fn a_copy_of_a_file_that_was_used_up_is_noticed() {
    let bench = Bench::new().await;
    let file = bench.site.register("acme", "berlin-1", false).await;
    let issued = bench.enroll(&bench.ask(&file, &key()).await).await.unwrap();
    bench.claim(Reachability::Reachable, "", &serial(&issued)).await;
    let refused = bench.enroll(&bench.ask(&file, &key()).await).await;
    assert_eq!(cause(&refused), "activation_reuse");
    assert_eq!(
        bench
            .number("SELECT COUNT(*) FROM alert WHERE kind = 'activation_reuse'")
            .await,
        1
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_tries_at_once_with_one_key_give_one_certificate() {
    let bench = Bench::new().await;
    let file = bench.site.register("acme", "berlin-1", false).await;
    let request = bench.ask(&file, &key()).await;
    let tries = (0..50).map(|_| bench.enroll(&request));
    let outcomes = futures_util::future::join_all(tries).await;
    let mut leaves: Vec<_> = outcomes
        .into_iter()
        .map(|outcome| outcome.unwrap().leaf)
        .collect();
    leaves.dedup();
    assert_eq!(leaves.len(), 1);
    assert_eq!(bench.certificates().await, 1);
    assert_eq!(bench.acts("agent.enroll").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_tries_at_once_with_different_keys_through_two_nodes_give_one_certificate() {
    let bench = Bench::new().await;
    let other = bench.site.another_node().await;
    let file = bench.site.register("acme", "berlin-1", false).await;
    let mut requests = Vec::new();
    for _ in 0..50 {
        requests.push(bench.ask(&file, &key()).await);
    }
    let tries = requests.iter().enumerate().map(|(number, request)| {
        let node = if number % 2 == 0 {
            &bench.site.services
        } else {
            &other
        };
        node.authority.enroll_agent("gw-1", request)
    });
    let outcomes = futures_util::future::join_all(tries).await;
    let causes: Vec<_> = outcomes
        .into_iter()
        .map(|outcome| cause(&outcome.unwrap()))
        .collect();
    let count = |wanted: &str| causes.iter().filter(|cause| **cause == wanted).count();
    assert_eq!((count("ok"), count("activation_reuse")), (1, 49), "{causes:?}");
    assert_eq!(bench.certificates().await, 1);
}

#[tokio::test]
async fn the_proof_is_worth_nothing_on_another_connection() {
    let bench = Bench::new().await;
    let file = bench.site.register("acme", "berlin-1", false).await;
    let mut request = bench.ask(&file, &key()).await;
    let other = ChannelBinding::from_bytes(&[8; 32]).unwrap();
    request.channel_binding = other.as_bytes().to_vec().into();
    assert_eq!(cause(&bench.enroll(&request).await), "bad_signature");
    assert_eq!(bench.certificates().await, 0);
}

#[tokio::test]
async fn the_proof_is_worth_nothing_for_another_request() {
    let bench = Bench::new().await;
    let file = bench.site.register("acme", "berlin-1", false).await;
    let mut request = bench.ask(&file, &key()).await;
    request.csr = key().csr("x").unwrap().into();
    assert_eq!(cause(&bench.enroll(&request).await), "bad_signature");
}

#[tokio::test]
async fn another_agents_file_enrols_nobody_else() {
    let bench = Bench::new().await;
    bench.site.register("acme", "berlin-1", false).await;
    let other = bench.site.register("acme", "berlin-2", false).await;
    let mut request = bench.ask(&other, &key()).await;
    let (shard, epoch) = bench.site.shard_of("acme", "berlin-1").await;
    (request.agent, request.shard, request.epoch) = ("berlin-1".into(), shard, epoch);
    assert_eq!(cause(&bench.enroll(&request).await), "bad_signature");
}

#[tokio::test]
async fn a_binding_of_another_length_is_no_binding() {
    let bench = Bench::new().await;
    let file = bench.site.register("acme", "berlin-1", false).await;
    let mut request = bench.ask(&file, &key()).await;
    request.channel_binding = vec![7; 31].into();
    assert_eq!(cause(&bench.enroll(&request).await), "protocol");
}

#[tokio::test]
async fn a_request_that_cant_be_read_is_refused() {
    let bench = Bench::new().await;
    let file = bench.site.register("acme", "berlin-1", false).await;
    let mut request = bench.ask(&file, &key()).await;
    request.csr = b"hello".to_vec().into();
    assert_eq!(cause(&bench.enroll(&request).await), "bad_csr");
}

#[tokio::test]
async fn a_file_is_good_for_24_hours() {
    let bench = Bench::new().await;
    let file = bench.site.register("acme", "berlin-1", false).await;
    let request = bench.ask(&file, &key()).await;
    bench.pass(DAY_MS).await;
    assert_eq!(cause(&bench.enroll(&request).await), "activation_expired");
    // It goes on waiting, so that whoever comes with the late file is told why.
    assert_eq!(bench.work().await, AgentWork::Enroll);
}

#[tokio::test]
async fn a_replaced_file_counts_no_more() {
    let bench = Bench::new().await;
    let old = bench.site.register("acme", "berlin-1", false).await;
    let request = bench.ask(&old, &key()).await;
    let new = bench.site.register("acme", "berlin-1", true).await;
    assert_eq!(cause(&bench.enroll(&request).await), "activation_unknown");
    assert_eq!(cause(&bench.enroll(&bench.ask(&new, &key()).await).await), "ok");
}

#[tokio::test]
async fn an_agent_without_any_file_is_told_so() {
    let (bench, agent) = Bench::with_agent().await;
    let file = bench.site.register("acme", "berlin-1", true).await;
    let request = bench.ask(&file, &key()).await;
    let mut write = bench.site.services.store.write().await.unwrap();
    sqlx::query("DELETE FROM activation")
        .execute(&mut *write)
        .await
        .unwrap();
    write.commit().await.unwrap();
    assert_eq!(cause(&bench.enroll(&request).await), "activation_unknown");
    assert_eq!(bench.state(&agent.serial).await, "current");
}

#[tokio::test]
async fn only_the_process_that_owns_the_agent_enrols_it() {
    let bench = Bench::new().await;
    let file = bench.site.register("acme", "berlin-1", false).await;
    let right = bench.ask(&file, &key()).await;
    let mut wrong = right.clone();
    wrong.epoch += 1;
    assert_eq!(cause(&bench.enroll(&wrong).await), "not_owner");
    let mut wrong = right.clone();
    wrong.shard = (wrong.shard + 1) % 64;
    assert_eq!(cause(&bench.enroll(&wrong).await), "not_owner");
    let mut wrong = right.clone();
    wrong.instance = "another".into();
    assert_eq!(cause(&bench.enroll(&wrong).await), "not_owner");
    let mut wrong = right.clone();
    wrong.tenant = "globex".into();
    assert_eq!(cause(&bench.enroll(&wrong).await), "not_owner");
    bench.site.gateway("gw-2").await;
    let authority = &bench.site.services.authority;
    assert_eq!(
        cause(&authority.enroll_agent("gw-2", &right).await.unwrap()),
        "not_owner"
    );
    assert_eq!(bench.certificates().await, 0);
    // Who doesn't own it writes nothing about it.
    assert_eq!(bench.text("SELECT refused_cause FROM agent").await, "");
    assert_eq!(cause(&bench.enroll(&right).await), "ok");
}

#[tokio::test]
async fn a_suspended_tenants_agents_get_nothing() {
    let bench = Bench::new().await;
    let file = bench.site.register("acme", "berlin-1", false).await;
    let request = bench.ask(&file, &key()).await;
    bench.suspend().await;
    assert_eq!(cause(&bench.enroll(&request).await), "tenant_suspended");
    assert!(bench.view().await.agents.is_empty());
}

#[tokio::test]
async fn a_key_that_had_a_certificate_gets_no_other() {
    let (bench, agent) = Bench::with_agent().await;
    let file = bench.site.register("acme", "berlin-1", true).await;
    let refused = bench.enroll(&bench.ask(&file, &agent.key).await).await;
    assert_eq!(cause(&refused), "bad_csr");
    assert_eq!(cause(&bench.enroll(&bench.ask(&file, &key()).await).await), "ok");
}

#[tokio::test]
async fn a_refusal_is_kept_under_its_correlation_id_until_a_certificate_was_issued() {
    let bench = Bench::new().await;
    let file = bench.site.register("acme", "berlin-1", false).await;
    let good = bench.ask(&file, &key()).await;
    let mut bad = good.clone();
    bad.signature = vec![0; 64].into();
    let refused = bench.enroll(&bad).await.unwrap_err();
    let step = StepFailed::from(refused);
    assert_eq!(
        (step.step.as_str(), step.cause.as_str()),
        ("issue", "bad_signature")
    );
    let store = &bench.site.services.store;
    let agent = views::agent::agent(store, "acme", "berlin-1")
        .await
        .unwrap()
        .unwrap();
    let problem = agent.identity_problem().unwrap();
    assert_eq!(
        (problem.cause, problem.correlation_id),
        ("bad_signature", "attempt-1")
    );
    bench.enroll(&good).await.unwrap();
    let agent = views::agent::agent(store, "acme", "berlin-1")
        .await
        .unwrap()
        .unwrap();
    assert_eq!(agent.identity_problem(), None);
}

#[tokio::test]
async fn an_agent_that_isnt_there_yet_is_pending_and_raises_no_alert() {
    let bench = Bench::new().await;
    bench.site.register("acme", "berlin-1", false).await;
    for state in [Reachability::Unreachable, Reachability::Suspect] {
        bench.claim(state, "refused", "").await;
        assert_eq!(
            bench.text("SELECT state || ' ' || cause FROM agent_reach").await,
            "pending refused"
        );
    }
    assert_eq!(bench.number("SELECT COUNT(*) FROM alert").await, 0);
}

#[tokio::test]
async fn a_replacement_revokes_nothing_until_the_new_certificate_is_in_use() {
    let (bench, agent) = Bench::with_agent().await;
    let file = bench.site.register("acme", "berlin-1", true).await;
    let issued = bench.enroll(&bench.ask(&file, &key()).await).await.unwrap();
    assert_eq!(bench.state(&agent.serial).await, "current");
    let mut serials = bench.assigned().await.active_serials;
    serials.sort_unstable();
    let mut both = [agent.serial.clone(), serial(&issued)];
    both.sort_unstable();
    assert_eq!(serials, both);
    bench.claim(Reachability::Reachable, "", &serial(&issued)).await;
    assert_eq!(bench.state(&agent.serial).await, "superseded");
    assert_eq!(bench.state(&serial(&issued)).await, "current");
}

#[tokio::test]
async fn a_replacement_that_nobody_uses_ends_with_its_file() {
    let (bench, _) = Bench::with_agent().await;
    bench.site.register("acme", "berlin-1", true).await;
    assert_eq!(bench.work().await, AgentWork::Enroll);
    bench.pass(DAY_MS).await;
    picket_platform::authority::upkeep::once(&bench.site.services)
        .await
        .unwrap();
    assert_eq!(bench.work().await, AgentWork::Unspecified);
}
