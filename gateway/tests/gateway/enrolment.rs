//! An agent gets its first certificate, from whoever owns it, and only over the gateway's own connection.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use picket_gateway::telemetry;
use picket_proto::platform::v1::{AgentWork, AssignedAgent, Reachability};

use crate::newcomer::{Newcomer, Relay};
use crate::stage::Stage;
use crate::wait;

/// A place where nothing listens yet.
fn free_address() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

/// The registration of an agent that awaits enrolment.
fn awaited(stage: &Stage, name: &str, endpoint: SocketAddr) -> AssignedAgent {
    AssignedAgent {
        work: AgentWork::Enroll.into(),
        active_serials: Vec::new(),
        unreachable_after_ms: 1_000,
        ..stage.assigned("acme", name, &endpoint.to_string())
    }
}

/// Makes an agent's enrolment file and starts the agent with it.
async fn newcomer(stage: &Stage, name: &str, address: SocketAddr) -> Newcomer {
    let (enrollment, public) = stage.authority.enrollment("acme", name, &address.to_string());
    stage
        .platform
        .behave(|platform| drop(platform.activations.insert(format!("acme/{name}"), public)));
    Newcomer::start(address, enrollment).await
}

fn failed_polls() -> Vec<String> {
    let metrics = telemetry::recorder().unwrap().render();
    let polls = metrics
        .lines()
        .filter(|line| line.starts_with("picket_gateway_polls_total"));
    polls
        .filter(|line| !line.contains("\"ok\"") && !line.contains("\"no_credential\""))
        .map(str::to_owned)
        .collect()
}

#[tokio::test]
async fn an_agent_is_enrolled_and_polled_at_once() {
    telemetry::recorder();
    let stage = Stage::set().await;
    let gateway = stage.gateway().await;
    let newcomer = newcomer(&stage, "berlin-1", ([127, 0, 0, 1], 0).into()).await;
    let told = Instant::now();
    stage.tell(awaited(&stage, "berlin-1", newcomer.address())).await;
    let agent = newcomer.enrolled(&stage.authority, 3).await;
    assert!(told.elapsed() < Duration::from_secs(10), "{:?}", told.elapsed());
    wait::until_true("its results", || {
        stage.platform.committed("acme", "berlin-1") == 3
    })
    .await;
    stage.claimed("berlin-1", Reachability::Reachable).await;
    let serials = stage.authority.serials("acme", "berlin-1");
    assert_eq!(serials.len(), 1, "one certificate");
    assert_eq!(stage.claim("berlin-1").certificate_serial, serials[0]);
    assert_eq!(stage.claim("berlin-1").trust_sequence, 1);
    assert!(!stage.states("berlin-1").contains(&Reachability::Suspect));
    // Once it is seen in use there is nothing more to enrol.
    wait::until_true("a few polls", || agent.seen(|seen| seen.pulls.len() >= 4)).await;
    assert_eq!(stage.platform.seen(|seen| seen.enrolments.len()), 1);
    gateway.stop().await;
}

#[tokio::test]
async fn both_sides_know_the_attempt_by_one_name() {
    let stage = Stage::set().await;
    let newcomer = newcomer(&stage, "berlin-1", ([127, 0, 0, 1], 0).into()).await;
    stage
        .platform
        .behave(|platform| platform.refusal = Some("activation_expired"));
    stage.register(awaited(&stage, "berlin-1", newcomer.address()));
    let gateway = stage.gateway().await;
    let claim = stage.claimed_because("berlin-1", "activation_expired").await;
    assert_eq!(claim.state(), Reachability::Pending);
    let name = stage
        .platform
        .seen(|seen| seen.enrolments[0].correlation_id.clone());
    assert!(
        claim.detail.contains(&name) && claim.detail.contains("step issue"),
        "{claim:?}"
    );
    wait::until_true("the agent to be told", || {
        newcomer.seen(|seen| !seen.failures.is_empty())
    })
    .await;
    let (begin, failure) = newcomer.seen(|seen| (seen.begins[0].clone(), seen.failures[0].clone()));
    assert_eq!(begin.correlation_id, name);
    assert_eq!(begin.spiffe_id, "spiffe://acme.picket.example/agent/berlin-1");
    assert_eq!(
        (failure.step.as_str(), failure.cause.as_str()),
        ("issue", "activation_expired")
    );
    // A refusal isn't for ever: the operator makes another file.
    stage.platform.behave(|platform| platform.refusal = None);
    let _agent = newcomer.enrolled(&stage.authority, 0).await;
    stage.claimed("berlin-1", Reachability::Reachable).await;
    gateway.stop().await;
}

#[tokio::test]
async fn an_agent_that_is_not_started_yet_is_pending_until_it_comes() {
    let stage = Stage::set().await;
    let address = free_address();
    stage.register(awaited(&stage, "berlin-1", address));
    let gateway = stage.gateway().await;
    let claim = stage.claimed_because("berlin-1", "refused").await;
    assert_eq!(claim.state(), Reachability::Pending);
    assert!(claim.detail.contains("attempt "), "{claim:?}");
    // Longer than any agent may stay away that was there once.
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    let newcomer = newcomer(&stage, "berlin-1", address).await;
    let _agent = newcomer.enrolled(&stage.authority, 1).await;
    stage.claimed("berlin-1", Reachability::Reachable).await;
    assert_eq!(
        stage.states("berlin-1"),
        [Reachability::Pending, Reachability::Reachable],
        "never suspect, never unreachable"
    );
    gateway.stop().await;
}

#[tokio::test]
async fn agents_that_nobody_started_do_not_hold_up_others() {
    let mut stage = Stage::set().await;
    stage.config.limits.dials = 1;
    // Something takes the connection and never says a word.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    for number in 0..60 {
        let name = format!("absent-{number}");
        stage.register(awaited(&stage, &name, silent.local_addr().unwrap()));
    }
    let agent = stage.agent("acme", "munich-1", 2).await;
    let gateway = stage.gateway().await;
    wait::until_true("polls", || agent.seen(|seen| seen.pulls.len() >= 5)).await;
    assert_eq!(stage.states("munich-1"), [Reachability::Reachable]);
    gateway.stop().await;
}

#[tokio::test]
async fn somebody_in_between_gets_no_certificate() {
    let stage = Stage::set().await;
    let newcomer = newcomer(&stage, "berlin-1", ([127, 0, 0, 1], 0).into()).await;
    let relay = Relay::start(&stage.authority, newcomer.address()).await;
    stage.register(awaited(&stage, "berlin-1", relay.address()));
    let gateway = stage.gateway().await;
    let claim = stage.claimed_because("berlin-1", "bad_signature").await;
    assert_eq!(claim.state(), Reachability::Pending);
    // The agent made its proof, for its connection to whoever is in between; on the gateway's it is worth nothing.
    assert!(!relay.passed_on().is_empty());
    assert!(newcomer.seen(|seen| !seen.begins.is_empty() && seen.issued.is_empty()));
    assert!(stage.authority.serials("acme", "berlin-1").is_empty());
    gateway.stop().await;
    // The same agent, dialled by the gateway itself, is enrolled with the same file.
    stage.platform.behave(|platform| platform.snapshot.agents.clear());
    stage.register(awaited(&stage, "berlin-1", newcomer.address()));
    let gateway = stage.gateway().await;
    let _agent = newcomer.enrolled(&stage.authority, 0).await;
    gateway.stop().await;
}

#[tokio::test]
async fn no_poll_fails_while_the_registrys_word_is_on_its_way() {
    telemetry::recorder();
    let stage = Stage::set().await;
    stage
        .platform
        .behave(|platform| platform.word_takes = Duration::from_secs(3));
    let newcomer = newcomer(&stage, "berlin-1", ([127, 0, 0, 1], 0).into()).await;
    stage.register(awaited(&stage, "berlin-1", newcomer.address()));
    let gateway = stage.gateway().await;
    let agent = newcomer.enrolled(&stage.authority, 3).await;
    wait::until_true("a claim of the certificate", || {
        stage.platform.seen(|seen| {
            seen.claim("berlin-1")
                .is_some_and(|claim| !claim.certificate_serial.is_empty())
        })
    })
    .await;
    wait::until_true("polls", || agent.seen(|seen| seen.pulls.len() >= 8)).await;
    assert_eq!(stage.states("berlin-1").last(), Some(&Reachability::Reachable));
    assert!(!stage.states("berlin-1").contains(&Reachability::Suspect));
    assert_eq!(
        agent.seen(|seen| seen.describes),
        1,
        "one connection all the time"
    );
    gateway.stop().await;
}

#[tokio::test]
async fn a_lost_reply_is_asked_for_again_and_is_the_same_certificate() {
    let stage = Stage::set().await;
    let newcomer = newcomer(&stage, "berlin-1", ([127, 0, 0, 1], 0).into()).await;
    newcomer.lose(1);
    stage.register(awaited(&stage, "berlin-1", newcomer.address()));
    let gateway = stage.gateway().await;
    wait::until_true("a second try", || newcomer.seen(|seen| seen.issued.len() == 2)).await;
    let issued = newcomer.seen(|seen| seen.issued.clone());
    assert_eq!(issued[0].leaf, issued[1].leaf);
    let _agent = newcomer.enrolled(&stage.authority, 1).await;
    stage.claimed("berlin-1", Reachability::Reachable).await;
    assert_eq!(stage.authority.serials("acme", "berlin-1").len(), 1);
    assert!(!stage.states("berlin-1").contains(&Reachability::Suspect));
    gateway.stop().await;
}

#[tokio::test]
async fn an_agent_with_a_new_enrolment_file_is_polled_until_it_uses_it() {
    telemetry::recorder();
    let stage = Stage::set().await;
    let agent = stage.agent("acme", "berlin-1", 2).await;
    let gateway = stage.gateway().await;
    stage.claimed("berlin-1", Reachability::Reachable).await;
    let replaced = AssignedAgent {
        work: AgentWork::Enroll.into(),
        ..stage.assigned("acme", "berlin-1", &agent.address().to_string())
    };
    stage.tell(replaced).await;
    let polls = agent.seen(|seen| seen.pulls.len());
    wait::until_true("polls", || agent.seen(|seen| seen.pulls.len() >= polls + 6)).await;
    assert_eq!(stage.states("berlin-1"), [Reachability::Reachable]);
    assert!(failed_polls().is_empty(), "{:?}", failed_polls());
    let address = agent.address();
    agent.stop().await;
    let newcomer = newcomer(&stage, "berlin-1", address).await;
    let again = newcomer.enrolled(&stage.authority, 4).await;
    wait::until_true("its results", || {
        stage.platform.committed("acme", "berlin-1") == 4
    })
    .await;
    drop(again);
    assert!(!stage.states("berlin-1").contains(&Reachability::Suspect));
    gateway.stop().await;
}
