//! Agents are polled on their interval, and what they hold arrives, once.

use std::time::Duration;

use picket_proto::platform::v1::session_response::Kind;
use picket_proto::platform::v1::{AgentKey, Assignment, Reachability, SubmitOutcome};

use crate::agent::STREAM;
use crate::stage::Stage;
use crate::wait;

#[tokio::test]
async fn polls_on_schedule() {
    let stage = Stage::set().await;
    let agent = stage.agent("acme", "berlin-1", 0).await;
    let gateway = stage.gateway().await;
    wait::until_true("six polls", || agent.seen(|seen| seen.pulls.len() >= 6)).await;
    let times: Vec<_> = agent.seen(|seen| seen.pulls.iter().map(|(at, _)| *at).collect());
    // The first poll is that of a new agent; from then on they fall on the phase.
    let gaps: Vec<Duration> = times[1..].windows(2).map(|pair| pair[1] - pair[0]).collect();
    let interval = Duration::from_millis(500);
    for gap in &gaps {
        // A machine with other work to do may be late, and the next poll then on time.
        assert!(*gap > interval / 3 && *gap < interval * 3, "{gaps:?}");
    }
    let whole = times[times.len() - 1] - times[1];
    assert!(whole > interval * 3 && whole < interval * 8, "{gaps:?}");
    gateway.stop().await;
}

#[tokio::test]
async fn results_arrive_and_are_acknowledged() {
    let stage = Stage::set().await;
    let agent = stage.agent("acme", "berlin-1", 7).await;
    let gateway = stage.gateway().await;
    wait::until_true("all seven", || stage.platform.committed("acme", "berlin-1") == 7).await;
    wait::until_true("the last acknowledgement", || {
        agent.seen(|seen| seen.acknowledged.last() == Some(&7))
    })
    .await;
    // What is new later follows the cursor; nothing is handed over twice.
    agent.behave(|agent| agent.results = 9);
    wait::until_true("the next two", || {
        stage.platform.committed("acme", "berlin-1") == 9
    })
    .await;
    assert_eq!(stage.platform.seen(|seen| seen.submits.len()), 5);
    let submit = stage.platform.seen(|seen| seen.submits[0].clone());
    assert_eq!(
        (submit.tenant.as_str(), submit.agent.as_str()),
        ("acme", "berlin-1")
    );
    assert_eq!((submit.shard, submit.epoch), (0, 3));
    assert_eq!(
        submit.instance,
        stage.platform.seen(|seen| seen.hellos[0].instance.clone())
    );
    gateway.stop().await;
}

#[tokio::test]
async fn acknowledges_only_after_the_platform_has_committed() {
    let stage = Stage::set().await;
    let agent = stage.agent("acme", "berlin-1", 4).await;
    stage.platform.hold(true);
    let gateway = stage.gateway().await;
    wait::until_true("a first batch at the platform", || {
        stage.platform.seen(|seen| !seen.submits.is_empty())
    })
    .await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(agent.seen(|seen| seen.acknowledged.clone()), [0_u64; 0]);
    assert_eq!(
        stage.platform.seen(|seen| seen.submits.len()),
        1,
        "the next waits for the answer"
    );
    stage.platform.hold(false);
    wait::until_true("acknowledgements", || {
        agent.seen(|seen| seen.acknowledged == [2, 4])
    })
    .await;
    gateway.stop().await;
}

#[tokio::test]
async fn one_connection_is_kept_for_many_polls() {
    let stage = Stage::set().await;
    let agent = stage.agent("acme", "berlin-1", 3).await;
    let gateway = stage.gateway().await;
    wait::until_true("five polls", || agent.seen(|seen| seen.pulls.len() >= 5)).await;
    assert_eq!(agent.seen(|seen| seen.describes), 1);
    gateway.stop().await;
}

#[tokio::test]
async fn a_gap_restarts_the_pull_from_the_platforms_cursor() {
    let stage = Stage::set().await;
    let agent = stage.agent("acme", "berlin-1", 6).await;
    // The assignment says nothing of it: the platform has gone on since.
    stage.platform.set_cursor("acme", "berlin-1", STREAM, 3);
    agent.behave(|agent| agent.batch = 100);
    stage.platform.behave(|platform| {
        let agent = &mut platform.snapshot.agents[0];
        agent.stream = STREAM.to_owned();
        agent.committed_seq = 5;
    });
    let gateway = stage.gateway().await;
    wait::until_true("the rest", || stage.platform.committed("acme", "berlin-1") == 6).await;
    let starts: Vec<u64> = agent.seen(|seen| {
        seen.pulls
            .iter()
            .take(2)
            .map(|(_, start)| start.committed_seq)
            .collect()
    });
    assert_eq!(starts, [5, 3]);
    gateway.stop().await;
}

#[tokio::test]
async fn results_stay_with_the_agent_while_the_platform_cannot_commit() {
    let stage = Stage::set().await;
    let agent = stage.agent("acme", "berlin-1", 2).await;
    stage
        .platform
        .behave(|platform| platform.outcome = Some(SubmitOutcome::Unavailable));
    let gateway = stage.gateway().await;
    wait::until_true("two tries", || {
        stage.platform.seen(|seen| seen.submits.len() >= 2)
    })
    .await;
    assert_eq!(agent.seen(|seen| seen.acknowledged.len()), 0);
    // That is no fault of the agent's.
    stage.claimed("berlin-1", Reachability::Reachable).await;
    stage.platform.behave(|platform| platform.outcome = None);
    wait::until_true("the results", || {
        stage.platform.committed("acme", "berlin-1") == 2
    })
    .await;
    gateway.stop().await;
}

#[tokio::test]
async fn deltas_add_and_remove_agents() {
    let stage = Stage::set().await;
    let gateway = stage.gateway().await;
    let agent = stage.unregistered("acme", "berlin-2", 1).await;
    let assigned = stage.assigned("acme", "berlin-2", &agent.address().to_string());
    let added = Assignment {
        revision: 2,
        agents: vec![assigned],
        ..Default::default()
    };
    stage.platform.say(Kind::Delta(added)).await;
    wait::until_true("the new agent's result", || {
        stage.platform.committed("acme", "berlin-2") == 1
    })
    .await;
    let removed = Assignment {
        revision: 3,
        removed: vec![AgentKey {
            tenant: "acme".to_owned(),
            agent: "berlin-2".to_owned(),
        }],
        ..Default::default()
    };
    stage.platform.say(Kind::Delta(removed)).await;
    // A poll may be on its way; after it there is none.
    tokio::time::sleep(Duration::from_millis(600)).await;
    let polls = agent.seen(|seen| seen.pulls.len());
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    assert_eq!(agent.seen(|seen| seen.pulls.len()), polls);
    gateway.stop().await;
}

#[tokio::test]
async fn claims_carry_skew_version_and_spool() {
    let stage = Stage::set().await;
    let agent = stage.agent("acme", "berlin-1", 5).await;
    agent.behave(|agent| agent.clock_ahead_ms = 90_000);
    let gateway = stage.gateway().await;
    stage.claimed("berlin-1", Reachability::Reachable).await;
    let claim = stage
        .platform
        .seen(|seen| seen.claim("berlin-1").cloned())
        .unwrap();
    assert_eq!(claim.agent_version, "9.8.7");
    assert_eq!((claim.shard, claim.epoch), (0, 3));
    assert!((claim.clock_skew_ms.unwrap() - 90_000).abs() < 5_000, "{claim:?}");
    assert_eq!(claim.spool.unwrap().last_seq, 5);
    gateway.stop().await;
}

#[tokio::test]
async fn a_platform_that_is_ahead_is_followed_without_acknowledging_what_was_not_sent() {
    let stage = Stage::set().await;
    let agent = stage.agent("acme", "berlin-1", 9).await;
    // Another gateway has brought more than the assignment knows of.
    stage.platform.set_cursor("acme", "berlin-1", STREAM, 7);
    let gateway = stage.gateway().await;
    wait::until_true("the rest", || stage.platform.committed("acme", "berlin-1") == 9).await;
    wait::until_true("the last acknowledgement", || {
        agent.seen(|seen| seen.acknowledged.last() == Some(&9))
    })
    .await;
    let starts: Vec<u64> = agent.seen(|seen| {
        seen.pulls
            .iter()
            .take(2)
            .map(|(_, start)| start.committed_seq)
            .collect()
    });
    assert_eq!(starts, [0, 7]);
    assert_eq!(agent.seen(|seen| seen.over_acknowledged.clone()), [0_u64; 0]);
    gateway.stop().await;
}

#[tokio::test]
async fn batches_wait_at_the_agents_while_the_platform_answers_slowly() {
    let mut stage = Stage::set().await;
    stage.config.limits.submits = 1;
    let _first = stage.agent("acme", "berlin-1", 2).await;
    let _second = stage.agent("acme", "berlin-2", 2).await;
    stage.platform.hold(true);
    let gateway = stage.gateway().await;
    wait::until_true("one batch", || {
        stage.platform.seen(|seen| seen.submits.len() == 1)
    })
    .await;
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert_eq!(stage.platform.seen(|seen| seen.submits.len()), 1);
    stage.platform.hold(false);
    for agent in ["berlin-1", "berlin-2"] {
        wait::until_true(agent, || stage.platform.committed("acme", agent) == 2).await;
    }
    gateway.stop().await;
}

#[tokio::test]
async fn no_more_polls_are_in_flight_than_may_be() {
    let mut stage = Stage::set().await;
    stage.config.limits.polls = 1;
    let first = stage.agent("acme", "berlin-1", 2).await;
    let second = stage.agent("acme", "berlin-2", 2).await;
    stage.platform.hold(true);
    let gateway = stage.gateway().await;
    wait::until_true("one batch", || {
        stage.platform.seen(|seen| seen.submits.len() == 1)
    })
    .await;
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let polled = |agent: &crate::agent::FakeAgent| agent.seen(|seen| seen.pulls.len());
    assert_eq!(polled(&first) + polled(&second), 1);
    stage.platform.hold(false);
    for agent in ["berlin-1", "berlin-2"] {
        wait::until_true(agent, || stage.platform.committed("acme", agent) == 2).await;
    }
    gateway.stop().await;
}
