//! Whoever answers must be the agent that was expected, and so must whoever sealed a batch.

use std::time::Duration;

use picket_proto::platform::v1::Reachability;

use crate::agent::FakeAgent;
use crate::stage::Stage;

/// The agent is suspect for `cause`, and nothing of it was handed on.
async fn refused(stage: &Stage, cause: &str) -> String {
    stage.claimed("berlin-1", Reachability::Suspect).await;
    let claim = stage
        .platform
        .seen(|seen| seen.claim("berlin-1").cloned())
        .unwrap();
    assert_eq!(claim.cause, cause, "{claim:?}");
    assert_eq!(stage.platform.seen(|seen| seen.submits.len()), 0);
    claim.detail
}

fn was_asked_nothing(agent: &FakeAgent) {
    assert_eq!(agent.seen(|seen| (seen.describes, seen.pulls.len())), (0, 0));
}

#[tokio::test]
async fn an_agent_of_another_tenant_is_refused_and_nothing_is_submitted() {
    let stage = Stage::set().await;
    let other = stage.unregistered("globex", "berlin-1", 3).await;
    stage.register(stage.assigned("acme", "berlin-1", &other.address().to_string()));
    let gateway = stage.gateway().await;
    let detail = refused(&stage, "wrong_tenant").await;
    assert!(
        detail.contains("spiffe://acme.picket.example/agent/berlin-1"),
        "{detail}"
    );
    assert!(detail.contains("globex"), "{detail}");
    was_asked_nothing(&other);
    gateway.stop().await;
}

#[tokio::test]
async fn another_agent_of_the_same_tenant_is_refused() {
    let stage = Stage::set().await;
    let other = stage.unregistered("acme", "berlin-2", 3).await;
    stage.register(stage.assigned("acme", "berlin-1", &other.address().to_string()));
    let gateway = stage.gateway().await;
    refused(&stage, "wrong_agent").await;
    was_asked_nothing(&other);
    gateway.stop().await;
}

#[tokio::test]
async fn a_certificate_that_is_not_active_any_more_is_refused() {
    let stage = Stage::set().await;
    let agent = stage.unregistered("acme", "berlin-1", 3).await;
    let mut assigned = stage.assigned("acme", "berlin-1", &agent.address().to_string());
    assigned.active_serials = vec!["0123".to_owned()];
    stage.register(assigned);
    let gateway = stage.gateway().await;
    refused(&stage, "revoked").await;
    was_asked_nothing(&agent);
    gateway.stop().await;
}

#[tokio::test]
async fn a_batch_sealed_in_another_tenants_name_goes_no_further() {
    let stage = Stage::set().await;
    let agent = stage.agent("acme", "berlin-1", 3).await;
    agent.behave(|agent| agent.sealed_by = "spiffe://globex.picket.example/agent/berlin-1".to_owned());
    let gateway = stage.gateway().await;
    let detail = refused(&stage, "wrong_tenant").await;
    assert!(detail.contains("globex"), "{detail}");
    assert_eq!(agent.seen(|seen| seen.acknowledged.len()), 0);
    gateway.stop().await;
}

#[tokio::test]
async fn a_batch_sealed_by_another_agent_goes_no_further() {
    let stage = Stage::set().await;
    let agent = stage.agent("acme", "berlin-1", 3).await;
    agent.behave(|agent| agent.sealed_by = "spiffe://acme.picket.example/agent/berlin-2".to_owned());
    let gateway = stage.gateway().await;
    refused(&stage, "wrong_agent").await;
    gateway.stop().await;
}

#[tokio::test]
async fn one_bad_agent_does_not_hold_up_another() {
    let stage = Stage::set().await;
    let other = stage.unregistered("globex", "berlin-1", 3).await;
    stage.register(stage.assigned("acme", "berlin-1", &other.address().to_string()));
    let _good = stage.agent("acme", "munich-1", 4).await;
    let gateway = stage.gateway().await;
    stage.claimed("munich-1", Reachability::Reachable).await;
    stage.claimed("berlin-1", Reachability::Suspect).await;
    crate::wait::until_true("the good agent's results", || {
        stage.platform.committed("acme", "munich-1") == 4
    })
    .await;
    gateway.stop().await;
}

#[tokio::test]
async fn a_certificate_for_agents_is_asked_for_once_per_tenant() {
    let stage = Stage::set().await;
    let _a = stage.agent("acme", "berlin-1", 1).await;
    let _b = stage.agent("acme", "berlin-2", 1).await;
    let _c = stage.agent("globex", "paris-1", 1).await;
    let gateway = stage.gateway().await;
    for agent in ["berlin-1", "berlin-2", "paris-1"] {
        stage.claimed(agent, Reachability::Reachable).await;
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    let mut tenants = stage.platform.seen(|seen| seen.certificates.clone());
    tenants.sort();
    assert_eq!(tenants, ["acme", "globex"]);
    gateway.stop().await;
}
