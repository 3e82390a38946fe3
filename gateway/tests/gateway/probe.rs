//! `gateway probe`, as far as it is a function.

use picket_gateway::assignment::AgentKey;
use picket_gateway::credentials::IssueError;
use picket_gateway::platform::Link;
use picket_gateway::probe::{ProbeReport, StepName, Verdict, Went, probe};

use picket_issuing::days;

use crate::agent::FakeAgent;
use crate::newcomer::Newcomer;
use crate::stage::Stage;

async fn probed(stage: &Stage, agent: &str) -> Result<ProbeReport, IssueError> {
    let key = AgentKey {
        tenant: "acme".parse().unwrap(),
        agent: agent.parse().unwrap(),
    };
    let link = Link::load(&stage.config).unwrap();
    probe(&link, &key).await
}

/// The failing step, and why.
fn failing(report: &ProbeReport) -> Option<(StepName, &str)> {
    let step = report.steps.iter().find(|step| step.went == Went::Failed)?;
    assert!(step.fix.is_some(), "{step:?}");
    Some((step.step, step.reason.as_deref().unwrap_or_default()))
}

#[tokio::test]
async fn a_healthy_agent_passes_every_step() {
    let stage = Stage::set().await;
    let agent = stage.agent("acme", "berlin-1", 3).await;
    let report = probed(&stage, "berlin-1").await.unwrap();
    assert_eq!(report.verdict, Verdict::Ok, "{report:#?}");
    assert!(report.steps.iter().all(|step| step.went == Went::Ok));
    assert_eq!(report.steps.len(), StepName::ALL.len());
    assert_eq!(agent.seen(|seen| seen.pulls.len()), 0, "a probe takes nothing");
}

#[tokio::test]
async fn each_trouble_shows_at_its_step() {
    let stage = Stage::set().await;
    let other_tenant = stage.unregistered("globex", "berlin-1", 0).await;
    let other_agent = stage.unregistered("acme", "munich-1", 0).await;
    let late = stage.agent("acme", "late", 0).await;
    late.behave(|agent| agent.clock_ahead_ms = 60_000);
    for (name, endpoint) in [
        ("stranger", other_tenant.address().to_string()),
        ("sibling", other_agent.address().to_string()),
        ("nameless", "no-such-host.invalid:7443".to_owned()),
        ("closed", "127.0.0.1:1".to_owned()),
    ] {
        stage.register(stage.assigned("acme", name, &endpoint));
    }
    for (name, step, reason, verdict) in [
        ("stranger", StepName::Tenant, "wrong_tenant", Verdict::Refused),
        ("sibling", StepName::Identity, "wrong_agent", Verdict::Refused),
        ("nameless", StepName::Dns, "name_resolution", Verdict::Unavailable),
        ("closed", StepName::Tcp, "refused", Verdict::Unavailable),
        ("late", StepName::Skew, "clock_skew", Verdict::Problems),
    ] {
        let report = probed(&stage, name).await.unwrap();
        assert_eq!(failing(&report), Some((step, reason)), "{report:#?}");
        assert_eq!(report.verdict, verdict);
    }
}

fn step(report: &ProbeReport, name: StepName) -> String {
    let step = report.steps.iter().find(|step| step.step == name).unwrap();
    format!("{} {}", step.found, step.fix.as_deref().unwrap_or_default())
}

#[tokio::test]
async fn the_certificates_end_and_its_renewal_and_the_trust_statement_are_shown() {
    let stage = Stage::set().await;
    let agent = stage.agent("acme", "berlin-1", 0).await;
    agent.behave(|agent| agent.trust_sequence = 12);
    let report = probed(&stage, "berlin-1").await.unwrap();
    let chain = step(&report, StepName::Chain);
    assert!(
        chain.contains("good until 20") && chain.contains("to be renewed from 20"),
        "{chain}"
    );
    assert!(step(&report, StepName::Trust).contains("trust statement 12"));
}

#[tokio::test]
async fn an_agent_that_awaits_enrolment_is_told_from_one_that_is_away_and_is_asked_for_nothing() {
    let stage = Stage::set().await;
    let (enrollment, _) = stage.authority.enrollment("acme", "berlin-1", "127.0.0.1:1");
    let newcomer = Newcomer::start(([127, 0, 0, 1], 0).into(), enrollment).await;
    stage.register(stage.assigned("acme", "berlin-1", &newcomer.address().to_string()));
    stage.register(stage.assigned("acme", "berlin-2", "127.0.0.1:1"));
    let report = probed(&stage, "berlin-1").await.unwrap();
    assert_eq!(
        failing(&report),
        Some((StepName::Chain, "not_awaiting")),
        "{report:#?}"
    );
    assert_eq!(report.verdict, Verdict::Problems);
    assert!(step(&report, StepName::Chain).contains("agent-host enroll"));
    assert!(newcomer.seen(|seen| seen.begins.is_empty()));
    let report = probed(&stage, "berlin-2").await.unwrap();
    assert_eq!(failing(&report), Some((StepName::Tcp, "refused")));
}

#[tokio::test]
async fn an_expired_agent_that_can_be_recovered_is_told_from_one_that_cannot() {
    let stage = Stage::set().await;
    let mut running = Vec::new();
    for (name, age) in [("recoverable", 40), ("too-late", 61)] {
        let identity = stage.authority.agent_of("acme", name, days(age));
        let agent = FakeAgent::start(([127, 0, 0, 1], 0).into(), identity, 0).await;
        stage.register(stage.assigned("acme", name, &agent.address().to_string()));
        running.push(agent);
    }
    for (name, fix) in [
        ("recoverable", "platform agent approve acme/recoverable"),
        ("too-late", "platform agent add --replace"),
    ] {
        let report = probed(&stage, name).await.unwrap();
        assert_eq!(failing(&report), Some((StepName::Chain, "expired")));
        assert_eq!(report.verdict, Verdict::Refused);
        let chain = step(&report, StepName::Chain);
        assert!(chain.contains(fix), "{chain}");
    }
    assert!(
        running
            .iter()
            .all(|agent| agent.seen(|seen| seen.renewals.is_empty()))
    );
}

#[tokio::test]
async fn an_agent_that_nobody_registered_is_an_error() {
    let stage = Stage::set().await;
    let error = probed(&stage, "nobody").await.unwrap_err();
    assert!(error.to_string().contains("acme/nobody"), "{error}");
}
