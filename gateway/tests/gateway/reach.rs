//! What becomes of agents that don't answer.

use std::time::Duration;

use picket_proto::platform::v1::Reachability;

use crate::agent::FakeAgent;
use crate::stage::Stage;
use crate::wait;

#[tokio::test]
async fn a_silent_agent_is_suspect_then_unreachable_then_reachable_again() {
    let stage = Stage::set().await;
    let identity = stage.authority.agent("acme", "berlin-1");
    let agent = FakeAgent::start(([127, 0, 0, 1], 0).into(), identity.clone(), 1).await;
    let address = agent.address();
    let mut assigned = stage.assigned("acme", "berlin-1", &address.to_string());
    assigned.unreachable_after_ms = 1_500;
    stage.register(assigned);
    let gateway = stage.gateway().await;
    stage.claimed("berlin-1", Reachability::Reachable).await;

    agent.stop().await;
    stage.claimed("berlin-1", Reachability::Suspect).await;
    stage.claimed("berlin-1", Reachability::Unreachable).await;
    let claim = stage
        .platform
        .seen(|seen| seen.claim("berlin-1").cloned())
        .unwrap();
    assert_eq!(claim.cause, "refused", "{claim:?}");
    assert!(claim.since_unix_ms > 0);
    let states: Vec<Reachability> = stage.platform.seen(|seen| {
        let mut states: Vec<_> = seen.claims.iter().map(|claim| claim.state()).collect();
        states.dedup();
        states
    });
    assert_eq!(
        states,
        [
            Reachability::Reachable,
            Reachability::Suspect,
            Reachability::Unreachable
        ]
    );

    let again = FakeAgent::start(address, identity, 1).await;
    stage.claimed("berlin-1", Reachability::Reachable).await;
    drop(again);
    gateway.stop().await;
}

#[tokio::test]
async fn retries_back_off() {
    let stage = Stage::set().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut assigned = stage.assigned("acme", "berlin-1", &listener.local_addr().unwrap().to_string());
    assigned.interval_ms = 100;
    stage.register(assigned);
    // Whoever connects is cut at once.
    let (dials, mut dialled) = tokio::sync::mpsc::unbounded_channel();
    let cutter = tokio::spawn(async move {
        while let Ok((connection, _)) = listener.accept().await {
            drop(connection);
            let _ = dials.send(());
        }
    });
    let gateway = stage.gateway().await;
    tokio::time::sleep(Duration::from_secs(4)).await;
    let mut count = 0;
    while dialled.try_recv().is_ok() {
        count += 1;
    }
    // At its interval it would be forty; with full jitter below 1, 2, 4, … seconds it is a handful.
    assert!((1..=20).contains(&count), "{count} dials");
    stage.claimed("berlin-1", Reachability::Suspect).await;
    cutter.abort();
    gateway.stop().await;
}

#[tokio::test]
async fn each_way_of_not_answering_has_its_cause() {
    let stage = Stage::set().await;
    let closed = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    let plain = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let plain_address = plain.local_addr().unwrap();
    let server = tokio::spawn(async move {
        use tokio::io::AsyncWriteExt as _;
        while let Ok((mut connection, _)) = plain.accept().await {
            let _ = connection.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        }
    });
    for (name, endpoint) in [
        ("closed", closed.to_string()),
        ("plain", plain_address.to_string()),
        ("nameless", "no-such-host.invalid:7443".to_owned()),
    ] {
        stage.register(stage.assigned("acme", name, &endpoint));
    }
    let gateway = stage.gateway().await;
    for (name, cause) in [
        ("closed", "refused"),
        ("plain", "protocol"),
        ("nameless", "name_resolution"),
    ] {
        let claim = wait::until(name, || stage.platform.seen(|seen| seen.claim(name).cloned())).await;
        assert_eq!(claim.cause, cause, "{claim:?}");
    }
    server.abort();
    gateway.stop().await;
}

#[tokio::test]
async fn an_agent_that_restarted_between_two_polls_is_dialled_again_without_suspicion() {
    let stage = Stage::set().await;
    let identity = stage.authority.agent("acme", "berlin-1");
    let agent = FakeAgent::start(([127, 0, 0, 1], 0).into(), identity.clone(), 1).await;
    let address = agent.address();
    let mut assigned = stage.assigned("acme", "berlin-1", &address.to_string());
    assigned.interval_ms = 2_000;
    stage.register(assigned);
    let gateway = stage.gateway().await;
    wait::until_true("a second poll", || agent.seen(|seen| seen.pulls.len() >= 2)).await;
    wait::until_true("its end", || agent.seen(|seen| seen.acknowledged == [1])).await;
    agent.stop().await;
    let again = FakeAgent::start(address, identity, 1).await;
    wait::until_true("a poll of the restarted agent", || {
        again.seen(|seen| !seen.pulls.is_empty())
    })
    .await;
    let suspected = stage.platform.seen(|seen| {
        seen.claims
            .iter()
            .any(|claim| claim.state() != Reachability::Reachable)
    });
    assert!(!suspected);
    gateway.stop().await;
}
