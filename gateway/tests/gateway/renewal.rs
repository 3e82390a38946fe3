//! An agent gets its next certificate beside the polls, and none of them notices.

use std::time::{Duration, Instant};

use picket_gateway::telemetry;
use picket_issuing::days;
use picket_proto::platform::v1::{AgentWork, AssignedAgent, Reachability};

use crate::agent::FakeAgent;
use crate::stage::Stage;
use crate::wait;

/// An agent that was enrolled so long ago, for 30 days.
async fn enrolled(stage: &Stage, age: Duration, results: u64) -> FakeAgent {
    let identity = stage.authority.agent_of("acme", "berlin-1", age);
    FakeAgent::start(([127, 0, 0, 1], 0).into(), identity, results).await
}

fn registration(stage: &Stage, agent: &FakeAgent) -> AssignedAgent {
    stage.assigned("acme", "berlin-1", &agent.address().to_string())
}

fn metric(name: &str) -> Vec<String> {
    let metrics = telemetry::recorder().unwrap().render();
    let lines = metrics.lines().filter(|line| line.starts_with(name));
    lines.map(str::to_owned).collect()
}

/// The claims say that the newest certificate is in use.
async fn shows(stage: &Stage, serial: &str) {
    wait::until_true("a claim of the new certificate", || {
        stage.platform.seen(|seen| {
            seen.claim("berlin-1")
                .is_some_and(|claim| claim.certificate_serial == serial)
        })
    })
    .await;
}

#[tokio::test]
async fn a_certificate_past_half_life_is_renewed_once() {
    let stage = Stage::set().await;
    let agent = enrolled(&stage, days(20), 2).await;
    stage.register(registration(&stage, &agent));
    let gateway = stage.gateway().await;
    wait::until_true("a renewal", || agent.seen(|seen| seen.installed.len() == 1)).await;
    let serials = stage.authority.serials("acme", "berlin-1");
    assert_eq!(serials.len(), 2);
    shows(&stage, &serials[1]).await;
    let renewal = stage.platform.seen(|seen| seen.renewals[0].clone());
    assert_eq!(renewal.presented_serial, serials[0]);
    assert_eq!((renewal.shard, renewal.epoch, renewal.recovery), (0, 3, false));
    assert_eq!(
        agent.seen(|seen| seen.renewals.clone()),
        [renewal.correlation_id],
        "one name on both sides"
    );
    let polls = agent.seen(|seen| seen.pulls.len());
    wait::until_true("polls", || agent.seen(|seen| seen.pulls.len() >= polls + 6)).await;
    assert_eq!(agent.seen(|seen| seen.renewals.len()), 1);
    assert_eq!(stage.states("berlin-1"), [Reachability::Reachable]);
    gateway.stop().await;
}

#[tokio::test]
async fn a_certificate_before_half_life_is_left_alone() {
    let stage = Stage::set().await;
    let agent = enrolled(&stage, days(14), 0).await;
    stage.register(registration(&stage, &agent));
    let gateway = stage.gateway().await;
    tokio::time::sleep(Duration::from_secs(7)).await;
    assert!(agent.seen(|seen| !seen.pulls.is_empty() && seen.renewals.is_empty()));
    gateway.stop().await;
}

/// The agent makes results, is polled every tenth of a second, and renews five times meanwhile, each time slowly: not one
/// poll fails, no result is missing, none comes twice.
#[tokio::test(flavor = "multi_thread")]
async fn renewals_under_load_cost_no_poll_and_no_result() {
    const RENEWALS: usize = 5;
    telemetry::recorder();
    let stage = Stage::set().await;
    let agent = enrolled(&stage, days(0), 1).await;
    agent.behave(|agent| agent.installs_slowly = Duration::from_millis(400));
    let registration = AssignedAgent {
        interval_ms: 100,
        ..registration(&stage, &agent)
    };
    stage.register(registration.clone());
    let gateway = stage.gateway().await;
    for round in 1..=RENEWALS {
        let serials = stage.authority.serials("acme", "berlin-1");
        let wanted = AssignedAgent {
            renew: true,
            active_serials: serials.clone(),
            ..registration.clone()
        };
        let polls = agent.seen(|seen| seen.pulls.len());
        // The registry's word comes before the agent is done in one round, and after that in the next.
        let word_takes = Duration::from_millis(if round % 2 == 0 { 150 } else { 1_500 });
        stage.platform.behave(|platform| platform.word_takes = word_takes);
        stage.tell(wanted).await;
        wait::until_true("a renewal", || {
            agent.behave(|agent| agent.results += 1);
            agent.seen(|seen| seen.installed.len() == round)
        })
        .await;
        let serials = stage.authority.serials("acme", "berlin-1");
        shows(&stage, &serials[round]).await;
        assert!(
            agent.seen(|seen| seen.pulls.len()) > polls + 2,
            "polls go on beside a renewal"
        );
        // The one before is taken out, as the platform does a quarter of an hour later.
        let newest = AssignedAgent {
            active_serials: vec![serials[round].clone()],
            ..registration.clone()
        };
        stage.tell(newest).await;
        wait::until_true("polls by the new certificate", || {
            agent.seen(|seen| seen.pulls.len()) > polls + 12
        })
        .await;
    }
    let mut made = 0;
    agent.behave(|agent| made = agent.results);
    wait::until_true("every result", || {
        stage.platform.committed("acme", "berlin-1") == made
    })
    .await;
    let polls = agent.seen(|seen| seen.pulls.len());
    assert!(polls > 12 * RENEWALS, "{polls} polls");
    let failed: Vec<String> = metric("picket_gateway_polls_total")
        .into_iter()
        .filter(|line| !line.contains("\"ok\"") && !line.contains("\"no_credential\""))
        .collect();
    assert!(failed.is_empty(), "of {polls} polls: {failed:?}");
    let submits = metric("picket_gateway_submits_total");
    assert!(
        submits.iter().all(|line| line.contains("\"committed\"")),
        "nothing came twice: {submits:?}"
    );
    assert_eq!(
        metric("picket_gateway_results_total"),
        [format!("picket_gateway_results_total {made}")]
    );
    assert_eq!(stage.states("berlin-1"), [Reachability::Reachable]);
    assert!(metric("picket_gateway_connections_cut_total").is_empty());
    gateway.stop().await;
}

/// A renewal that begins and ends while a poll is in flight leaves it alone; the new certificate is seen after it.
#[tokio::test]
async fn a_poll_in_flight_outlives_a_renewal() {
    let stage = Stage::set().await;
    let agent = with_a_poll_in_flight(&stage).await;
    let gateway = stage.gateway().await;
    // The agent answers as far as the gateway knows only once a poll has ended.
    stage.platform.hold(false);
    stage.claimed("berlin-1", Reachability::Reachable).await;
    stage.platform.hold(true);
    agent.behave(|agent| agent.results = 4);
    wait::until_true("another batch on its way", || {
        stage.platform.seen(|seen| seen.submits.len() == 2)
    })
    .await;
    let pulls = agent.seen(|seen| seen.pulls.len());
    let wanted = AssignedAgent {
        renew: true,
        ..registration(&stage, &agent)
    };
    stage.tell(wanted).await;
    wait::until_true("a renewal", || agent.seen(|seen| seen.installed.len() == 1)).await;
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert_eq!(
        agent.seen(|seen| (seen.describes, seen.pulls.len(), seen.open_pulls)),
        (1, pulls, 1),
        "the same poll, over the same connection"
    );
    stage.platform.hold(false);
    wait::until_true("the acknowledgement", || {
        agent.seen(|seen| seen.acknowledged.last() == Some(&4))
    })
    .await;
    let serials = stage.authority.serials("acme", "berlin-1");
    shows(&stage, &serials[1]).await;
    assert_eq!(agent.seen(|seen| seen.describes), 2);
    assert_eq!(
        stage.platform.seen(|seen| seen.submits.len()),
        2,
        "nothing came twice"
    );
    assert_eq!(stage.states("berlin-1"), [Reachability::Reachable]);
    gateway.stop().await;
}

#[tokio::test]
async fn an_agent_that_says_it_installed_another_certificate_is_reported() {
    telemetry::recorder();
    let stage = Stage::set().await;
    let agent = enrolled(&stage, days(20), 0).await;
    agent.behave(|agent| agent.misnames_certificates = true);
    stage.register(registration(&stage, &agent));
    let gateway = stage.gateway().await;
    wait::until_true("the report", || {
        metric("picket_gateway_agent_upkeep_total")
            .iter()
            .any(|line| line.contains("renewal") && line.contains("\"protocol\""))
    })
    .await;
    assert_eq!(stage.states("berlin-1"), [Reachability::Reachable]);
    gateway.stop().await;
}

#[tokio::test]
async fn a_renewal_that_the_platform_refuses_harms_no_poll_and_is_told_to_the_agent() {
    telemetry::recorder();
    let stage = Stage::set().await;
    stage
        .platform
        .behave(|platform| platform.refusal = Some("tenant_suspended"));
    let agent = enrolled(&stage, days(20), 2).await;
    stage.register(registration(&stage, &agent));
    let gateway = stage.gateway().await;
    wait::until_true("the agent to be told", || {
        agent.seen(|seen| !seen.failures.is_empty())
    })
    .await;
    let failure = agent.seen(|seen| seen.failures[0].clone());
    assert_eq!(
        (failure.step.as_str(), failure.cause.as_str()),
        ("issue", "tenant_suspended")
    );
    let polls = agent.seen(|seen| seen.pulls.len());
    wait::until_true("polls", || agent.seen(|seen| seen.pulls.len() >= polls + 4)).await;
    assert_eq!(stage.states("berlin-1"), [Reachability::Reachable]);
    assert_eq!(agent.seen(|seen| seen.describes), 1, "over the same connection");
    let errands = metric("picket_gateway_agent_upkeep_total");
    assert!(
        errands
            .iter()
            .any(|line| line.contains("renewal") && line.contains("tenant_suspended")),
        "{errands:?}"
    );
    // It is tried again.
    stage.platform.behave(|platform| platform.refusal = None);
    wait::until_true("a renewal", || agent.seen(|seen| seen.installed.len() == 1)).await;
    gateway.stop().await;
}

/// A poll that is in flight, because the platform doesn't answer.
async fn with_a_poll_in_flight(stage: &Stage) -> FakeAgent {
    let agent = enrolled(stage, days(0), 2).await;
    stage.platform.hold(true);
    stage.register(registration(stage, &agent));
    agent
}

#[tokio::test]
async fn another_active_certificate_cuts_no_poll() {
    let stage = Stage::set().await;
    let agent = with_a_poll_in_flight(&stage).await;
    let gateway = stage.gateway().await;
    wait::until_true("a batch on its way", || {
        stage.platform.seen(|seen| seen.submits.len() == 1)
    })
    .await;
    let mut added = registration(&stage, &agent);
    added.active_serials.insert(0, "0badcafe".to_owned());
    stage.tell(added).await;
    let told = stage.platform.seen(|seen| seen.heartbeats.len());
    wait::until_true("the gateway to have heard", || {
        stage.platform.seen(|seen| seen.heartbeats.len() > told)
    })
    .await;
    assert_eq!(
        agent.seen(|seen| (seen.describes, seen.pulls.len(), seen.open_pulls)),
        (1, 1, 1)
    );
    stage.platform.hold(false);
    wait::until_true("the acknowledgement", || {
        agent.seen(|seen| seen.acknowledged == [2])
    })
    .await;
    assert_eq!(agent.seen(|seen| (seen.describes, seen.pulls.len())), (1, 1));
    gateway.stop().await;
}

#[tokio::test]
async fn a_revoked_certificate_cuts_a_poll_in_flight_within_seconds() {
    let stage = Stage::set().await;
    let agent = with_a_poll_in_flight(&stage).await;
    let gateway = stage.gateway().await;
    wait::until_true("a batch on its way", || {
        stage.platform.seen(|seen| seen.submits.len() == 1)
    })
    .await;
    assert_eq!(agent.seen(|seen| seen.open_pulls), 1);
    let revoked = AssignedAgent {
        active_serials: vec!["0badcafe".to_owned()],
        ..registration(&stage, &agent)
    };
    let told = Instant::now();
    stage.tell(revoked).await;
    wait::until_true("the cut", || agent.seen(|seen| seen.open_pulls == 0)).await;
    assert!(told.elapsed() < Duration::from_secs(5), "{:?}", told.elapsed());
    let claim = stage.claimed_because("berlin-1", "revoked").await;
    assert_eq!(claim.state(), Reachability::Suspect);
    assert_eq!(agent.seen(|seen| seen.pulls.len()), 1, "and isn't asked again");
    gateway.stop().await;
}

#[tokio::test]
async fn a_revoked_certificate_cuts_a_kept_connection_too() {
    let stage = Stage::set().await;
    let agent = enrolled(&stage, days(0), 1).await;
    let hourly = AssignedAgent {
        interval_ms: 3_600_000,
        ..registration(&stage, &agent)
    };
    stage.register(hourly.clone());
    let gateway = stage.gateway().await;
    stage.claimed("berlin-1", Reachability::Reachable).await;
    let revoked = AssignedAgent {
        active_serials: Vec::new(),
        ..hourly
    };
    stage.tell(revoked).await;
    stage.claimed_because("berlin-1", "revoked").await;
    gateway.stop().await;
}

#[tokio::test]
async fn an_expired_agent_is_recovered_only_when_the_platform_says_so() {
    let stage = Stage::set().await;
    let agent = enrolled(&stage, days(40), 2).await;
    stage.register(registration(&stage, &agent));
    let gateway = stage.gateway().await;
    let claim = stage.claimed_because("berlin-1", "expired").await;
    assert_eq!(claim.state(), Reachability::Suspect);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(agent.seen(|seen| seen.renewals.is_empty() && seen.describes == 0));

    let approved = AssignedAgent {
        work: AgentWork::Recover.into(),
        ..registration(&stage, &agent)
    };
    stage.tell(approved).await;
    stage.claimed("berlin-1", Reachability::Reachable).await;
    let renewal = stage.platform.seen(|seen| seen.renewals[0].clone());
    let serials = stage.authority.serials("acme", "berlin-1");
    assert!(renewal.recovery);
    assert_eq!(renewal.presented_serial, serials[0]);
    shows(&stage, &serials[1]).await;
    wait::until_true("its results", || {
        stage.platform.committed("acme", "berlin-1") == 2
    })
    .await;
    gateway.stop().await;
}

#[tokio::test]
async fn an_agent_that_expired_too_long_ago_is_not_recovered() {
    let stage = Stage::set().await;
    let agent = enrolled(&stage, days(61), 2).await;
    stage.register(AssignedAgent {
        work: AgentWork::Recover.into(),
        ..registration(&stage, &agent)
    });
    let gateway = stage.gateway().await;
    let claim = stage.claimed_because("berlin-1", "expired").await;
    assert!(claim.detail.contains("step dial"), "{claim:?}");
    assert!(agent.seen(|seen| seen.renewals.is_empty()));
    gateway.stop().await;
}

#[tokio::test]
async fn another_agent_is_not_recovered_in_place_of_the_expired_one() {
    let stage = Stage::set().await;
    let identity = stage.authority.agent_of("acme", "berlin-2", days(40));
    let other = FakeAgent::start(([127, 0, 0, 1], 0).into(), identity, 0).await;
    stage.register(AssignedAgent {
        work: AgentWork::Recover.into(),
        ..registration(&stage, &other)
    });
    let gateway = stage.gateway().await;
    stage.claimed_because("berlin-1", "wrong_agent").await;
    assert!(other.seen(|seen| seen.renewals.is_empty()));
    gateway.stop().await;
}
