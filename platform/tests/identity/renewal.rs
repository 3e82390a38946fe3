use picket_platform::store::views;
use picket_proto::platform::v1::{AgentWork, Reachability};

use crate::bench::{Bench, DAY_MS, cause, key, serial};

#[tokio::test]
async fn an_agent_gets_its_next_certificate_beside_the_one_in_use() {
    let (bench, agent) = Bench::with_agent().await;
    let issued = bench.renew(&bench.renewal(&agent, &key()).await).await.unwrap();
    assert_eq!(bench.state(&serial(&issued)).await, "pending");
    assert_eq!(bench.state(&agent.serial).await, "current");
    assert_eq!(bench.assigned().await.active_serials.len(), 2);
    assert_eq!(bench.work().await, AgentWork::Unspecified);
    assert_eq!(bench.acts("agent.renew").await, 1);
}

#[tokio::test]
async fn a_lost_reply_is_given_again_to_the_same_key() {
    let (bench, agent) = Bench::with_agent().await;
    let request = bench.renewal(&agent, &key()).await;
    let first = bench.renew(&request).await.unwrap();
    assert_eq!(bench.renew(&request).await.unwrap().leaf, first.leaf);
    assert_eq!(bench.certificates().await, 2);
}

#[tokio::test]
async fn a_renewal_needs_a_new_key() {
    let (bench, agent) = Bench::with_agent().await;
    let request = bench.renewal(&agent, &agent.key).await;
    assert_eq!(cause(&bench.renew(&request).await), "bad_csr");
}

#[tokio::test]
async fn a_renewal_needs_a_certificate_that_was_issued_to_this_agent() {
    let (bench, agent) = Bench::with_agent().await;
    let mut request = bench.renewal(&agent, &key()).await;
    request.presented_serial = "0a".repeat(8);
    assert_eq!(cause(&bench.renew(&request).await), "not_verified");
}

#[tokio::test]
async fn a_revoked_certificate_renews_nothing() {
    let (bench, agent) = Bench::with_agent().await;
    let request = bench.renewal(&agent, &key()).await;
    bench
        .site
        .services
        .authority
        .revoke_agent(
            &"acme".parse().unwrap(),
            &"berlin-1".parse().unwrap(),
            None,
            "test",
        )
        .await
        .unwrap();
    assert_eq!(cause(&bench.renew(&request).await), "not_verified");
}

#[tokio::test]
async fn only_the_process_that_owns_the_agent_renews_it() {
    let (bench, agent) = Bench::with_agent().await;
    let right = bench.renewal(&agent, &key()).await;
    let mut wrong = right.clone();
    wrong.epoch += 1;
    assert_eq!(cause(&bench.renew(&wrong).await), "not_owner");
    let mut wrong = right.clone();
    wrong.instance = "another".into();
    assert_eq!(cause(&bench.renew(&wrong).await), "not_owner");
    assert_eq!(cause(&bench.renew(&right).await), "ok");
}

#[tokio::test]
async fn a_suspended_tenants_agents_are_not_renewed() {
    let (bench, agent) = Bench::with_agent().await;
    let request = bench.renewal(&agent, &key()).await;
    bench.suspend().await;
    assert_eq!(cause(&bench.renew(&request).await), "tenant_suspended");
}

#[tokio::test]
async fn an_agent_that_can_install_nothing_has_four_waiting_certificates_at_most() {
    let (bench, agent) = Bench::with_agent().await;
    for _ in 0..9 {
        bench.site.clock.advance(1);
        bench.renew(&bench.renewal(&agent, &key()).await).await.unwrap();
    }
    assert_eq!(
        bench
            .number("SELECT COUNT(*) FROM certificate WHERE state = 'pending'")
            .await,
        4
    );
    assert_eq!(bench.state(&agent.serial).await, "current");
}

#[tokio::test]
async fn who_renews_by_a_pending_certificate_has_it_in_use() {
    let (bench, mut agent) = Bench::with_agent().await;
    let next = bench.renew(&bench.renewal(&agent, &key()).await).await.unwrap();
    let old = std::mem::replace(&mut agent.serial, serial(&next));
    bench.site.clock.advance(1);
    bench.renew(&bench.renewal(&agent, &key()).await).await.unwrap();
    assert_eq!(bench.state(&serial(&next)).await, "current");
    assert_eq!(bench.state(&old).await, "superseded");
}

#[tokio::test]
async fn an_expired_agent_is_recovered_once_an_operator_approved_it() {
    let (bench, agent) = Bench::with_agent().await;
    let (tenant, name) = ("acme".parse().unwrap(), "berlin-1".parse().unwrap());
    let authority = &bench.site.services.authority;
    let early = authority.approve_agent(&tenant, &name, "test").await;
    assert!(early.unwrap_err().to_string().contains("still good"));

    bench.pass(91 * DAY_MS).await;
    let mut request = bench.renewal(&agent, &key()).await;
    assert_eq!(cause(&bench.renew(&request).await), "not_verified");
    request.recovery = true;
    assert_eq!(cause(&bench.renew(&request).await), "not_approved");
    assert_eq!(bench.work().await, AgentWork::Unspecified);

    authority.approve_agent(&tenant, &name, "test").await.unwrap();
    assert_eq!(bench.work().await, AgentWork::Recover);
    assert_eq!(bench.acts("agent.approve").await, 1);
    let issued = bench.renew(&request).await.unwrap();
    assert_eq!(bench.acts("agent.recover").await, 1);
    // Until it was seen, the reply may have been lost.
    assert_eq!(bench.work().await, AgentWork::Recover);
    bench.claim(Reachability::Reachable, "", &serial(&issued)).await;
    assert_eq!(bench.work().await, AgentWork::Unspecified);
    // The approval was for one.
    bench.pass(91 * DAY_MS).await;
    let mut again = bench.renewal(&agent, &key()).await;
    (again.recovery, again.presented_serial) = (true, serial(&issued));
    assert_eq!(cause(&bench.renew(&again).await), "not_approved");
}

#[tokio::test]
async fn an_agent_that_was_handed_its_recovery_unseen_is_polled_again() {
    let (bench, agent) = Bench::with_agent().await;
    bench.pass(91 * DAY_MS).await;
    bench
        .site
        .services
        .authority
        .approve_agent(&"acme".parse().unwrap(), &"berlin-1".parse().unwrap(), "test")
        .await
        .unwrap();
    let mut request = bench.renewal(&agent, &key()).await;
    request.recovery = true;
    let issued = bench.renew(&request).await.unwrap();
    // The gateway that did it died; the next one comes for the recovery, and sees the new certificate.
    let mut next = bench.renewal(&agent, &key()).await;
    (next.recovery, next.presented_serial) = (true, serial(&issued));
    assert_eq!(cause(&bench.renew(&next).await), "not_awaiting");
    assert_eq!(bench.work().await, AgentWork::Unspecified);
    assert_eq!(bench.state(&serial(&issued)).await, "current");
}

#[tokio::test]
async fn nobody_is_recovered_after_30_days() {
    let (bench, agent) = Bench::with_agent().await;
    let (tenant, name) = ("acme".parse().unwrap(), "berlin-1".parse().unwrap());
    bench.pass(91 * DAY_MS).await;
    let authority = &bench.site.services.authority;
    authority.approve_agent(&tenant, &name, "test").await.unwrap();
    bench.pass(30 * DAY_MS).await;
    let mut request = bench.renewal(&agent, &key()).await;
    request.recovery = true;
    assert_eq!(cause(&bench.renew(&request).await), "not_verified");
    let late = authority.approve_agent(&tenant, &name, "test").await;
    assert!(late.unwrap_err().to_string().contains("more than 30 days"));
}

#[tokio::test]
async fn an_agent_whose_authority_issues_no_more_is_to_be_renewed_now() {
    let (bench, agent) = Bench::with_agent().await;
    assert!(!bench.assigned().await.renew);
    let mut write = bench.site.services.store.write().await.unwrap();
    sqlx::query("UPDATE ca SET state = 'retiring' WHERE kind = 'tenant'")
        .execute(&mut *write)
        .await
        .unwrap();
    write.commit().await.unwrap();
    assert!(bench.assigned().await.renew);
    let shown = views::agent::agent(&bench.site.services.store, "acme", "berlin-1")
        .await
        .unwrap()
        .unwrap();
    assert_eq!(shown.renewal(bench.site.clock.now()).as_str(), "due");
    assert_eq!(bench.assigned().await.active_serials, [agent.serial]);
}
