//! All work belongs to a session.

use std::time::{Duration, Instant};

use picket_proto::platform::v1::Goodbye;
use picket_proto::platform::v1::session_response::Kind;

use crate::stage::Stage;
use crate::wait;

#[tokio::test]
async fn joins_again_as_a_new_instance_after_the_session_is_lost() {
    let stage = Stage::set().await;
    let agent = stage.agent("acme", "berlin-1", 1).await;
    let gateway = stage.gateway().await;
    wait::until_true("a poll", || agent.seen(|seen| !seen.pulls.is_empty())).await;
    stage.platform.cut_sessions();
    wait::until_true("a second hello", || {
        stage.platform.seen(|seen| seen.hellos.len() >= 2)
    })
    .await;
    let (first, second) = stage
        .platform
        .seen(|seen| (seen.hellos[0].instance.clone(), seen.hellos[1].instance.clone()));
    assert_ne!(first, second);
    let polls = agent.seen(|seen| seen.pulls.len());
    wait::until_true("polls under the new session", || {
        agent.seen(|seen| seen.pulls.len() > polls)
    })
    .await;
    agent.behave(|agent| agent.results = 3);
    wait::until_true("a batch of the new instance", || {
        stage
            .platform
            .seen(|seen| seen.submits.iter().any(|submit| submit.instance == second))
    })
    .await;
    gateway.stop().await;
}

#[tokio::test]
async fn a_goodbye_is_obeyed() {
    let stage = Stage::set().await;
    let gateway = stage.gateway().await;
    let goodbye = Goodbye {
        reason: "this node stops".to_owned(),
    };
    stage.platform.say(Kind::Goodbye(goodbye)).await;
    wait::until_true("a second hello", || {
        stage.platform.seen(|seen| seen.hellos.len() >= 2)
    })
    .await;
    gateway.stop().await;
}

#[tokio::test]
async fn heartbeats_renew_the_lease() {
    let stage = Stage::set().await;
    stage.platform.behave(|platform| platform.lease_ms = 1_000);
    let gateway = stage.gateway().await;
    wait::until_true("many heartbeats", || {
        stage.platform.seen(|seen| seen.heartbeats.len() >= 8)
    })
    .await;
    assert_eq!(
        stage.platform.seen(|seen| seen.hellos.len()),
        1,
        "one session all the time"
    );
    gateway.stop().await;
}

#[tokio::test]
async fn fences_itself_before_the_lease_runs_out() {
    let stage = Stage::set().await;
    let agent = stage.agent("acme", "berlin-1", 1).await;
    stage.platform.behave(|platform| {
        platform.lease_ms = 4_000;
        platform.snapshot.agents[0].interval_ms = 100;
    });
    let gateway = stage.gateway().await;
    wait::until_true("polls", || agent.seen(|seen| seen.pulls.len() >= 3)).await;
    // The platform is there, but silent: what it has granted runs out.
    stage
        .platform
        .behave(|platform| platform.answers_heartbeats = false);
    let silent_since = Instant::now();
    let mut joined = gateway.joined();
    tokio::time::timeout(Duration::from_secs(10), joined.wait_for(|joined| !*joined))
        .await
        .expect("the gateway fences itself")
        .unwrap();
    // The last lease that it can have had was asked for just before the silence.
    let took = silent_since.elapsed();
    assert!(took < Duration::from_millis(4_000), "{took:?}");
    let last_poll = agent.seen(|seen| seen.pulls.last().map(|(at, _)| *at)).unwrap();
    assert!(last_poll < silent_since + Duration::from_millis(3_600));
    gateway.stop().await;
}

#[tokio::test]
async fn drains_at_shutdown() {
    let stage = Stage::set().await;
    let agent = stage.agent("acme", "berlin-1", 2).await;
    stage.platform.hold(true);
    let gateway = stage.gateway().await;
    wait::until_true("a batch in flight", || {
        stage.platform.seen(|seen| !seen.submits.is_empty())
    })
    .await;
    let stopping = tokio::spawn(gateway.stop());
    wait::until_true("the platform is told", || {
        stage.platform.seen(|seen| seen.drained)
    })
    .await;
    stage.platform.hold(false);
    stopping.await.unwrap();
    // The poll in flight was let end.
    assert_eq!(agent.seen(|seen| seen.acknowledged.clone()), [2]);
}

#[tokio::test]
async fn stops_at_once_while_the_platform_is_away() {
    let stage = Stage::set().await;
    let Stage { platform, config, .. } = stage;
    platform.stop().await;
    let gateway = picket_gateway::app::App::start(config).await.unwrap();
    tokio::time::timeout(Duration::from_secs(5), gateway.stop())
        .await
        .expect("it stops");
}
