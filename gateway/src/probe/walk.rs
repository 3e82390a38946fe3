//! The walk itself: the same dial, verifier and calls as a poll has, with a look at each step.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use picket_identity::connect::{DialLimits, connect, connect_for_enrollment};
use picket_identity::tls::{EnrollmentTls, gateway_recovering_agent};
use picket_identity::verify::{Reason, RecoveryExpectation};
use picket_proto::platform::v1::{GetAgentRequest, GetAgentResponse, PlatformTrust};
use tokio::net::{TcpStream, lookup_host};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

use super::{Draft, ProbeReport, StepName};
use crate::assignment::{AgentKey, Assigned, Cursor, TenantTrust, Work};
use crate::credentials::{self, IssueError, TenantCredential};
use crate::platform::{Link, Unavailable};
use crate::poll::connection::{Connection, Facts};
use crate::poll::{dial, failure};
use crate::reachability::{Cause, Failure, State};
use crate::upkeep;
use crate::upkeep::plan::renewal_at;

const STEP_DEADLINE: Duration = Duration::from_secs(5);

/// Clocks further apart than this make schedules and histories misleading.
const TOLERATED_SKEW_MS: u64 = 5_000;

/// Asks the platform about an agent, and walks to it.
///
/// # Errors
/// The platform can't be asked, knows no such agent, or gives this gateway no certificate for its tenant.
pub async fn probe(link: &Link, key: &AgentKey) -> Result<ProbeReport, IssueError> {
    let registered = registered(link, key).await?;
    // Without a session nobody else says them where the identity comes from a Workload API.
    link.learn(&PlatformTrust {
        roots: registered.roots.clone(),
        ..PlatformTrust::default()
    });
    let credential = credentials::issue(link, &key.tenant).await?;
    let assigned = assigned(key, registered)?;
    let mut draft = Draft::new();
    if let Err(failure) = walk(&assigned, &credential, &mut draft).await {
        match failure.cause {
            Cause::Identity(Reason::Expired) if can_be_recovered(&assigned, &credential).await => {
                let fix = format!(
                    "the certificate has expired, but not long ago: once an operator has run `platform agent approve {key}`, \
                     a running gateway brings the agent another"
                );
                draft.failed_but(&failure, &fix);
            }
            _ => draft.failed(&failure),
        }
    }
    Ok(draft.finish(key.to_string(), assigned.endpoint))
}

async fn registered(link: &Link, key: &AgentKey) -> Result<GetAgentResponse, Unavailable> {
    let request = GetAgentRequest {
        tenant: key.tenant.to_string(),
        agent: key.agent.to_string(),
    };
    let mut client = link.registry().await?;
    let answer = timeout(STEP_DEADLINE, client.get_agent(request)).await;
    let answer = answer.map_err(|_| Unavailable::away("GetAgent: no answer"))?;
    Ok(answer
        .map_err(|status| Unavailable::from_status(&status))?
        .into_inner())
}

fn assigned(key: &AgentKey, registered: GetAgentResponse) -> Result<Assigned, Unavailable> {
    let spiffe_id = registered.spiffe_id.parse().map_err(|error| {
        Unavailable::Refused(format!(
            "the platform's registration of {key} can't be used: {error}"
        ))
    })?;
    Ok(Assigned {
        key: key.clone(),
        shard: 0,
        epoch: 0,
        endpoint: registered.endpoint,
        spiffe_id,
        active_serials: registered.active_serials,
        interval: Duration::ZERO,
        unreachable_after: Duration::ZERO,
        cursor: Cursor::default(),
        reachability: State::Pending,
        trust: Arc::new(TenantTrust {
            tenant_cas: registered.tenant_cas.iter().map(|der| der.to_vec()).collect(),
            roots: registered.roots.iter().map(|der| der.to_vec()).collect(),
        }),
        agent_trust: None,
        work: Work::Poll,
        renew: false,
    })
}

async fn walk(assigned: &Assigned, credential: &TenantCredential, draft: &mut Draft) -> Result<(), Failure> {
    let started = Instant::now();
    let addresses = resolve(&assigned.endpoint).await?;
    let list: Vec<String> = addresses.iter().map(|address| address.ip().to_string()).collect();
    draft.passed(StepName::Dns, list.join(", "), Some(started.elapsed()));

    let started = Instant::now();
    let address = reach(&addresses).await?;
    draft.passed(StepName::Tcp, address.to_string(), Some(started.elapsed()));

    let started = Instant::now();
    let connection = match Connection::open(assigned, credential, &Semaphore::new(1)).await {
        Ok(connection) => connection,
        // What an agent shows that has no certificate is no certificate of ours.
        Err(failure)
            if failure.cause == Cause::Identity(Reason::BadProfile) && assigned.active_serials.is_empty() =>
        {
            return Err(without_certificate(assigned, credential).await);
        }
        Err(failure) => return Err(failure),
    };
    let verified = connection.verified();
    draft.passed(
        StepName::Tls,
        "TLS 1.3, HTTP/2, both sides verified",
        Some(started.elapsed()),
    );
    draft.passed(
        StepName::Chain,
        format!(
            "certificate {}, by the tenant's CA, below the platform's root; good until {}, to be renewed from {} on",
            verified.serial(),
            date(verified.not_after().as_secs()),
            date(renewal_at(
                verified.not_before().as_secs(),
                verified.not_after().as_secs(),
                0
            )),
        ),
        None,
    );
    draft.passed(StepName::Identity, verified.id().to_string(), None);
    draft.passed(StepName::Tenant, assigned.key.tenant.as_str(), None);
    draft.passed(
        StepName::Answer,
        "the agent accepts this gateway and describes itself",
        Some(connection.round_trip()),
    );
    describe(connection.facts(), draft);
    let trust = match connection.wire().trust_sequence() {
        0 => "goes by what it was enrolled with".to_owned(),
        sequence => format!("goes by trust statement {sequence}"),
    };
    draft.passed(StepName::Trust, trust, None);
    Ok(())
}

fn date(unix_s: u64) -> String {
    let at = std::time::UNIX_EPOCH + Duration::from_secs(unix_s);
    humantime::format_rfc3339_seconds(at).to_string()
}

/// The registry knows no certificate of the agent: whether somebody waits there to be enrolled. Nobody is asked for
/// anything.
async fn without_certificate(assigned: &Assigned, credential: &TenantCredential) -> Failure {
    let tls = match EnrollmentTls::new(credential.credential()) {
        Ok(tls) => tls,
        Err(error) => return dial::own_fault(&error),
    };
    match connect_for_enrollment(&assigned.endpoint, &tls, &DialLimits::default()).await {
        Ok(_) => Failure::new(
            Cause::Upkeep(upkeep::Cause::NotAwaiting),
            "the agent has no certificate yet: it awaits enrolment. Somebody answers there who accepts this gateway; \
             who it is shows when it is enrolled",
        ),
        Err(error) => dial::of_dial(&error),
    }
}

/// Whether everything about the agent's certificate is right but its end, which isn't long ago.
async fn can_be_recovered(assigned: &Assigned, credential: &TenantCredential) -> bool {
    let Ok(expected) = dial::expectation(assigned) else {
        return false;
    };
    let Ok(tls) = gateway_recovering_agent(credential.credential(), RecoveryExpectation(expected)) else {
        return false;
    };
    connect(&assigned.endpoint, &tls, &DialLimits::default())
        .await
        .is_ok()
}

async fn resolve(endpoint: &str) -> Result<Vec<SocketAddr>, Failure> {
    let unresolved = |detail: String| Failure::new(Cause::NameResolution, detail);
    let addresses: Vec<SocketAddr> = timeout(STEP_DEADLINE, lookup_host(endpoint))
        .await
        .map_err(|_| unresolved(format!("{endpoint}: the resolver gave no answer")))?
        .map_err(|error| unresolved(format!("{endpoint}: {error}")))?
        .collect();
    if addresses.is_empty() {
        return Err(unresolved(format!("{endpoint} has no address")));
    }
    Ok(addresses)
}

/// The first address at which something listens.
async fn reach(addresses: &[SocketAddr]) -> Result<SocketAddr, Failure> {
    let mut last = Failure::new(Cause::NameResolution, "no address");
    for address in addresses {
        last = match timeout(STEP_DEADLINE, TcpStream::connect(address)).await {
            Ok(Ok(_)) => return Ok(*address),
            Ok(Err(error)) => {
                let failure = failure::of_io(&error);
                Failure::new(failure.cause, format!("{address}: {}", failure.detail))
            }
            Err(_) => Failure::new(
                Cause::Timeout,
                format!("{address}: no answer within {} s", STEP_DEADLINE.as_secs()),
            ),
        };
    }
    Err(last)
}

fn describe(facts: &Facts, draft: &mut Draft) {
    draft.passed(StepName::Version, facts.version.as_str(), None);
    let skew = facts.clock_skew_ms;
    let found = match skew {
        0 => "the agent's clock is as ours".to_owned(),
        ahead @ 1.. => format!("the agent's clock is {ahead} ms ahead of ours"),
        behind => format!("the agent's clock is {} ms behind ours", behind.unsigned_abs()),
    };
    if skew.unsigned_abs() <= TOLERATED_SKEW_MS {
        draft.passed(StepName::Skew, found, None);
    } else {
        draft.problem(
            StepName::Skew,
            found,
            "clock_skew",
            "synchronise both clocks (NTP): results carry the agent's time",
        );
    }
    let Some(spool) = &facts.spool else {
        draft.passed(StepName::Lag, "the agent doesn't say what it holds", None);
        return;
    };
    let held = match spool.last_seq {
        0 => 0,
        last => last.saturating_sub(spool.first_seq).saturating_add(1),
    };
    let found = format!(
        "{held} results held, the newest has sequence number {}; {} of {} bytes used; {} dropped for want of room",
        spool.last_seq, spool.bytes, spool.quota_bytes, spool.dropped
    );
    draft.passed(StepName::Lag, found, None);
}
