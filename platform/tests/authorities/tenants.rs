use std::sync::Arc;

use picket_identity::credential::PrivateKey;
use picket_identity::name::TenantSlug;
use picket_platform::authority::AuthorityError;
use picket_platform::ingest::{Lane, admit};
use picket_platform::jobs::tenant_removal::{self, TenantRemoval};
use picket_platform::jobs::{self, Worker};
use picket_platform::store;
use picket_proto::agent::v1::Status;
use picket_proto::platform::v1::{RenewAgentRequest, SubmitOutcome};

use crate::bench::Bench;
use crate::site::results;

fn acme() -> TenantSlug {
    "acme".parse().unwrap()
}

async fn suspend(bench: &Bench) {
    bench
        .site
        .services
        .authority
        .suspend_tenant(&acme(), "test")
        .await
        .unwrap();
}

async fn resume(bench: &Bench) {
    bench
        .site
        .services
        .authority
        .resume_tenant(&acme(), "test")
        .await
        .unwrap();
}

async fn hand_in(bench: &Bench, first: u64) -> SubmitOutcome {
    let batch = bench.agent.seal("s", first, results(first, &[Status::Ok]));
    let request = bench.site.request(&bench.agent, "boot", batch).await;
    match admit(&bench.site.services, "gw-1", request).await.unwrap() {
        Ok(submission) => {
            let lane = Lane::start(bench.site.services.clone());
            lane.submit(submission).await.await.unwrap().outcome
        }
        Err(answer) => answer.outcome,
    }
}

/// Whether a gateway gets a certificate to dial the tenant's agents with.
async fn issue_for(bench: &Bench) -> Result<(), AuthorityError> {
    let request = PrivateKey::generate().unwrap().csr("x").unwrap();
    let authority = &bench.site.services.authority;
    authority
        .issue_for_tenant(&"gw-1".parse().unwrap(), &acme(), &request)
        .await
        .map(drop)
}

#[tokio::test]
async fn a_suspended_tenants_agents_leave_the_gateways_and_come_back() {
    let bench = Bench::new().await;
    let before = bench.view().await;
    assert_eq!((before.agents.len(), before.tenants.len()), (1, 1));
    suspend(&bench).await;
    let suspended = bench.view().await;
    assert_eq!((suspended.agents.len(), suspended.tenants.len()), (0, 0));
    assert!(suspended.revision > before.revision, "gateways look again");
    resume(&bench).await;
    let resumed = bench.view().await;
    assert_eq!(resumed.agents, before.agents);
    assert!(resumed.revision > suspended.revision);
    assert_eq!(
        bench
            .acts()
            .await
            .iter()
            .filter(|act| act.starts_with("tenant."))
            .collect::<Vec<_>>(),
        ["tenant.add", "tenant.suspend", "tenant.resume"]
    );
}

#[tokio::test]
async fn nothing_is_issued_for_a_suspended_tenant() {
    let mut bench = Bench::new().await;
    let file = bench.site.register("acme", "late", false).await;
    issue_for(&bench).await.unwrap();
    suspend(&bench).await;
    assert!(matches!(
        issue_for(&bench).await,
        Err(AuthorityError::TenantSuspended(_))
    ));
    let authority = &bench.site.services.authority;
    let key = PrivateKey::generate().unwrap();
    let at = bench.site.shard_of("acme", "late").await;
    let enrol = bench.site.enroll_request(&file, &key, "boot", at);
    let refused = authority.enroll_agent("gw-1", &enrol).await.unwrap().unwrap_err();
    assert_eq!(refused.cause.as_str(), "tenant_suspended");
    let (shard, epoch) = bench.site.shard(&bench.agent).await;
    let renewal = RenewAgentRequest {
        tenant: "acme".into(),
        agent: "berlin-1".into(),
        shard,
        epoch,
        instance: "boot".into(),
        csr: key.csr("x").unwrap().into(),
        presented_serial: bench.agent.serial.clone(),
        ..RenewAgentRequest::default()
    };
    let refused = authority
        .renew_agent("gw-1", &renewal)
        .await
        .unwrap()
        .unwrap_err();
    assert_eq!(refused.cause.as_str(), "tenant_suspended");
    resume(&bench).await;
    issue_for(&bench).await.unwrap();
    bench.renew().await;
}

#[tokio::test]
async fn a_suspended_tenants_results_are_refused_and_taken_again_later() {
    let bench = Bench::new().await;
    assert_eq!(hand_in(&bench, 1).await, SubmitOutcome::Committed);
    suspend(&bench).await;
    assert_eq!(hand_in(&bench, 2).await, SubmitOutcome::Refused);
    resume(&bench).await;
    assert_eq!(hand_in(&bench, 2).await, SubmitOutcome::Committed);
}

#[tokio::test]
async fn a_suspended_tenants_agents_are_not_claimed_to_be_anything() {
    let bench = Bench::new().await;
    bench.agent_catches_up().await;
    let reported = "SELECT MAX(reported_at) FROM agent_reach";
    let before = bench.number(reported).await;
    suspend(&bench).await;
    bench.site.clock.advance(1_000);
    bench.agent_catches_up().await;
    assert_eq!(bench.number(reported).await, before);
}

/// Every row of a tenant's that a deletion is to take away.
const ROWS: &str = "SELECT (SELECT COUNT(*) FROM agent WHERE tenant = 'acme') \
    + (SELECT COUNT(*) FROM sample_chunk WHERE tenant = 'acme') + (SELECT COUNT(*) FROM check_state WHERE tenant = 'acme') \
    + (SELECT COUNT(*) FROM agent_reach WHERE tenant = 'acme') + (SELECT COUNT(*) FROM agent_cursor WHERE tenant = 'acme') \
    + (SELECT COUNT(*) FROM certificate WHERE tenant = 'acme') + (SELECT COUNT(*) FROM activation WHERE tenant = 'acme')";

async fn run_jobs(bench: &Bench) {
    let worker = Worker::new(
        bench.site.services.clone(),
        "node-1",
        jobs::UPKEEP,
        vec![(tenant_removal::KIND, Arc::new(TenantRemoval))],
        Vec::new(),
    );
    while worker.round().await.unwrap() {}
}

#[tokio::test]
async fn a_deleted_tenant_is_trusted_by_nobody_and_its_keys_are_destroyed() {
    let bench = Bench::new().await;
    let authority = bench.site.services.authority.clone();
    issue_for(&bench).await.unwrap();
    let file = bench.site.register("acme", "late", false).await;
    let token = store::auth::create_api_token(&bench.site.services.store, "ci", Some("acme"))
        .await
        .unwrap();
    bench.prepare(&Bench::acme()).await;
    let keys: Vec<_> = bench
        .standings("tenant")
        .await
        .into_iter()
        .map(|standing| standing.ca.key_ref)
        .collect();
    assert!(keys.len() == 2 && keys.iter().all(|key| bench.has_key(key)));

    let sequence = bench.sequence().await;
    authority.delete_tenant(&acme(), "test").await.unwrap();
    assert!(bench.sequence().await > sequence);
    assert_eq!(bench.states("tenant").await, ["revoked", "revoked"]);
    assert!(
        !keys.iter().any(|key| bench.has_key(key)),
        "its keys are destroyed"
    );
    assert_eq!(
        bench
            .number("SELECT COUNT(*) FROM certificate WHERE tenant = 'acme' AND state <> 'revoked'")
            .await,
        0
    );
    assert!(bench.view().await.agents.is_empty());
    assert!(matches!(
        issue_for(&bench).await,
        Err(AuthorityError::NotFound { .. })
    ));
    assert_eq!(hand_in(&bench, 1).await, SubmitOutcome::Refused);
    let key = PrivateKey::generate().unwrap();
    let at = bench.site.shard_of("acme", "late").await;
    let enrol = bench.site.enroll_request(&file, &key, "boot", at);
    assert!(authority.enroll_agent("gw-1", &enrol).await.unwrap().is_err());
    assert_eq!(
        bench
            .number("SELECT COUNT(*) FROM activation WHERE state IN ('waiting', 'used')")
            .await,
        0
    );
    let now = bench.site.clock.now();
    let access = store::auth::api_token(&bench.site.services.store, token.reveal(), now).await;
    assert_eq!(access.unwrap(), None);
    assert!(bench.acts().await.contains(&"tenant.delete".to_owned()));
}

#[tokio::test]
async fn a_deleted_tenants_data_is_removed_and_nobody_elses() {
    let bench = Bench::new().await;
    bench.site.tenant("globex").await;
    bench.site.agent("globex", "paris-1").await;
    bench.agent_catches_up().await;
    hand_in(&bench, 1).await;
    bench.site.register("acme", "late", false).await;
    assert!(bench.number(ROWS).await > 7);
    let others = "SELECT (SELECT COUNT(*) FROM agent WHERE tenant = 'globex') \
        + (SELECT COUNT(*) FROM certificate WHERE tenant = 'globex')";
    let before = bench.number(others).await;
    bench
        .site
        .services
        .authority
        .delete_tenant(&acme(), "test")
        .await
        .unwrap();
    run_jobs(&bench).await;
    assert_eq!(bench.number(ROWS).await, 0);
    assert_eq!(bench.number(others).await, before);
    assert_eq!(bench.states("tenant").await, ["revoked", "active"]);
}

#[tokio::test]
async fn data_is_removed_a_bounded_piece_at_a_time_and_only_of_a_deleted_tenant() {
    let bench = Bench::new().await;
    bench.site.register("acme", "late", false).await;
    let mut write = bench.site.services.store.write().await.unwrap();
    assert_eq!(store::removal::step(&mut write, "acme", 1).await.unwrap(), None);
    write.commit().await.unwrap();
    bench
        .site
        .services
        .authority
        .delete_tenant(&acme(), "test")
        .await
        .unwrap();
    let mut write = bench.site.services.store.write().await.unwrap();
    let (_, rows) = store::removal::step(&mut write, "acme", 1)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(rows, 1);
}

#[tokio::test]
async fn a_deleted_tenants_slug_is_never_used_again() {
    let bench = Bench::new().await;
    let authority = &bench.site.services.authority;
    authority.delete_tenant(&acme(), "test").await.unwrap();
    for _ in 0..2 {
        let refused = authority.add_tenant(&acme(), "Acme", "test").await.unwrap_err();
        assert!(refused.to_string().contains("never used again"), "{refused}");
        run_jobs(&bench).await;
    }
    for again in [
        authority.resume_tenant(&acme(), "test").await,
        authority.suspend_tenant(&acme(), "test").await,
        authority.delete_tenant(&acme(), "test").await,
    ] {
        assert!(matches!(again, Err(AuthorityError::NotFound { .. })), "{again:?}");
    }
}
