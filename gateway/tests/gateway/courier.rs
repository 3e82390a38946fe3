//! What agents are to trust reaches them, whether or not they are due.

use std::time::{Duration, Instant};

use picket_gateway::telemetry;
use picket_proto::platform::v1::{AssignedAgent, Reachability};

use crate::agent::FakeAgent;
use crate::stage::Stage;
use crate::wait;

/// An agent that is polled once an hour, and was polled just now.
async fn polled_hourly(stage: &Stage, name: &str) -> FakeAgent {
    let agent = stage.unregistered("acme", name, 1).await;
    let hourly = AssignedAgent {
        interval_ms: 3_600_000,
        ..stage.assigned("acme", name, &agent.address().to_string())
    };
    stage.register(hourly);
    agent
}

#[tokio::test]
async fn new_trust_reaches_an_agent_with_a_long_interval_within_seconds() {
    let stage = Stage::set().await;
    let agents = [
        polled_hourly(&stage, "berlin-1").await,
        polled_hourly(&stage, "berlin-2").await,
    ];
    let elsewhere = stage.agent("globex", "paris-1", 0).await;
    let gateway = stage.gateway().await;
    for agent in ["berlin-1", "berlin-2", "paris-1"] {
        stage.claimed(agent, Reachability::Reachable).await;
    }
    let told = Instant::now();
    stage
        .tell_trust(stage.authority.trust_with_statement("acme", 7))
        .await;
    for agent in &agents {
        wait::until_true("the update", || agent.seen(|seen| seen.trust_updates == [7])).await;
    }
    assert!(told.elapsed() < Duration::from_secs(5), "{:?}", told.elapsed());
    wait::until_true("the claim, at once", || {
        stage.platform.seen(|seen| {
            seen.claim("berlin-1")
                .is_some_and(|claim| claim.trust_sequence == 7)
        })
    })
    .await;
    assert!(told.elapsed() < Duration::from_secs(8), "{:?}", told.elapsed());
    for agent in &agents {
        assert_eq!(
            agent.seen(|seen| (seen.describes, seen.pulls.len())),
            (1, 1),
            "over the kept connection"
        );
    }
    assert_eq!(elsewhere.seen(|seen| seen.trust_updates.len()), 0);
    // The same word again is no news.
    stage
        .tell_trust(stage.authority.trust_with_statement("acme", 7))
        .await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(agents[0].seen(|seen| seen.trust_updates.len()), 1);
    gateway.stop().await;
}

#[tokio::test]
async fn an_agent_that_is_behind_when_it_comes_is_brought_up_to_date() {
    let stage = Stage::set().await;
    stage
        .tell_trust(stage.authority.trust_with_statement("acme", 9))
        .await;
    let agent = polled_hourly(&stage, "berlin-1").await;
    let ahead = polled_hourly(&stage, "berlin-2").await;
    ahead.behave(|agent| agent.trust_sequence = 10);
    let gateway = stage.gateway().await;
    wait::until_true("the update", || agent.seen(|seen| seen.trust_updates == [9])).await;
    stage.claimed("berlin-2", Reachability::Reachable).await;
    assert_eq!(ahead.seen(|seen| seen.trust_updates.len()), 0);
    assert_eq!(stage.claim("berlin-2").trust_sequence, 10);
    gateway.stop().await;
}

#[tokio::test]
async fn a_dead_connection_is_dialled_anew_for_it() {
    let stage = Stage::set().await;
    let identity = stage.authority.agent("acme", "berlin-1");
    let agent = FakeAgent::start(([127, 0, 0, 1], 0).into(), identity.clone(), 1).await;
    let address = agent.address();
    stage.register(AssignedAgent {
        interval_ms: 3_600_000,
        ..stage.assigned("acme", "berlin-1", &address.to_string())
    });
    let gateway = stage.gateway().await;
    stage.claimed("berlin-1", Reachability::Reachable).await;
    agent.stop().await;
    let again = FakeAgent::start(address, identity, 1).await;
    let told = Instant::now();
    stage
        .tell_trust(stage.authority.trust_with_statement("acme", 7))
        .await;
    wait::until_true("the update", || again.seen(|seen| seen.trust_updates == [7])).await;
    assert!(told.elapsed() < Duration::from_secs(5), "{:?}", told.elapsed());
    gateway.stop().await;
}

#[tokio::test]
async fn an_agent_that_refuses_it_is_reported_and_polled_all_the_same() {
    telemetry::recorder();
    let stage = Stage::set().await;
    let agent = stage.agent("acme", "berlin-1", 1).await;
    agent.behave(|agent| agent.refuses_trust = true);
    stage
        .tell_trust(stage.authority.trust_with_statement("acme", 7))
        .await;
    let gateway = stage.gateway().await;
    wait::until_true("the refusal", || agent.seen(|seen| seen.trust_updates == [7])).await;
    wait::until_true("the report", || {
        let metrics = telemetry::recorder().unwrap().render();
        metrics.contains("picket_gateway_agent_upkeep_total{need=\"trust\",outcome=\"bad_trust\"} 1")
    })
    .await;
    let polls = agent.seen(|seen| seen.pulls.len());
    wait::until_true("polls", || agent.seen(|seen| seen.pulls.len() >= polls + 4)).await;
    assert_eq!(stage.states("berlin-1"), [Reachability::Reachable]);
    assert_eq!(stage.claim("berlin-1").trust_sequence, 1);
    gateway.stop().await;
}

#[tokio::test]
async fn a_statement_that_somebody_changed_is_believed_by_no_agent() {
    let stage = Stage::set().await;
    let agent = stage.agent("acme", "berlin-1", 1).await;
    let mut trust = stage.authority.trust_with_statement("acme", 7);
    // For another tenant, rightly signed.
    trust.agent_trust = stage.authority.trust_with_statement("globex", 7).agent_trust;
    stage.tell_trust(trust).await;
    let gateway = stage.gateway().await;
    wait::until_true("polls", || agent.seen(|seen| seen.pulls.len() >= 8)).await;
    assert_eq!(agent.seen(|seen| seen.trust_updates.len()), 0);
    assert_eq!(stage.claim("berlin-1").trust_sequence, 1);
    gateway.stop().await;
}
