//! Every log line and every metric of the gateway.
//!
//! Levels: ERROR where an operator must act, WARN where something is wrong and nothing is lost, INFO for changes, DEBUG
//! for each poll. Metrics are named `picket_gateway_<noun>_<unit>[_total]`.

use std::net::SocketAddr;
use std::sync::OnceLock;
use std::time::Duration;

use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use picket_identity::Serial;
use tracing::{debug, error, info, warn};

use crate::assignment::{AgentKey, Unusable};
use crate::poll::{FrameError, Outcome};
use crate::reachability::{Failure, Reachability, State};
use crate::upkeep::{Cause, Need, Step, Trouble};

const POLLS: &str = "picket_gateway_polls_total";
const LATENESS: &str = "picket_gateway_poll_lateness_seconds";
const POLL_TIME: &str = "picket_gateway_poll_duration_seconds";
const IN_FLIGHT: &str = "picket_gateway_polls_in_flight";
const HANDSHAKES: &str = "picket_gateway_handshakes_total";
const AGENTS: &str = "picket_gateway_agents";
const RESULTS: &str = "picket_gateway_results_total";
const BYTES: &str = "picket_gateway_batch_bytes_total";
const SUBMITS: &str = "picket_gateway_submits_total";
const REFUSED_BATCHES: &str = "picket_gateway_refused_batches_total";
const SESSIONS: &str = "picket_gateway_sessions_total";
const SESSION_UP: &str = "picket_gateway_session_up";
const CLAIMS: &str = "picket_gateway_claims_total";
const CREDENTIALS: &str = "picket_gateway_tenant_credentials_total";
const ERRANDS: &str = "picket_gateway_agent_upkeep_total";
const CONNECTIONS_CUT: &str = "picket_gateway_connections_cut_total";
const OWN_UPKEEP: &str = "picket_gateway_own_upkeep_total";
const CERTIFICATE: &str = "picket_gateway_certificate_not_after_timestamp_seconds";

/// Installs the process's recorder, once; later calls give the same handle. `None` where something else installed one.
pub fn recorder() -> Option<&'static PrometheusHandle> {
    static HANDLE: OnceLock<Option<PrometheusHandle>> = OnceLock::new();
    HANDLE
        .get_or_init(|| {
            // From a poll over a kept connection (under a millisecond) to one that runs into its deadlines.
            const SECONDS: &[f64] = &[0.001, 0.005, 0.025, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
            let recorder = PrometheusBuilder::new()
                .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), SECONDS)
                .ok()?
                .build_recorder();
            let handle = recorder.handle();
            metrics::set_global_recorder(recorder).ok()?;
            describe();
            Some(handle)
        })
        .as_ref()
}

fn describe() {
    describe_counter!(POLLS, "Polls that ended, by outcome");
    describe_histogram!(LATENESS, Unit::Seconds, "How long after its time a poll began");
    describe_histogram!(POLL_TIME, Unit::Seconds, "How long a poll took");
    describe_gauge!(IN_FLIGHT, "Polls in flight");
    describe_counter!(HANDSHAKES, "Dials to agents, by outcome: ok, or why not");
    describe_gauge!(AGENTS, "Agents that this gateway owns, by reachability");
    describe_counter!(RESULTS, "Results that the platform has committed");
    describe_counter!(
        BYTES,
        Unit::Bytes,
        "Bytes of sealed batches that the platform has committed"
    );
    describe_counter!(SUBMITS, "Batches handed to the platform, by what became of them");
    describe_counter!(
        REFUSED_BATCHES,
        "Batches that went no further than this gateway, by reason"
    );
    describe_counter!(SESSIONS, "Sessions with the platform that ended, by why");
    describe_gauge!(SESSION_UP, "1 while there is a session with the platform");
    describe_counter!(CLAIMS, "Reachability claims sent to the platform");
    describe_counter!(CREDENTIALS, "Requests for tenant certificates, by outcome");
    describe_counter!(
        ERRANDS,
        "Enrolments, renewals, recoveries and trust updates of agents, by what was needed and how it went"
    );
    describe_counter!(
        CONNECTIONS_CUT,
        "Connections that were cut because their agent's certificate isn't accepted any more, by reason"
    );
    describe_counter!(
        OWN_UPKEEP,
        "Changes of this gateway's own certificate and trust, by what and how it went"
    );
    describe_gauge!(
        CERTIFICATE,
        Unit::Seconds,
        "When this gateway's own certificate expires"
    );
}

pub(crate) fn session_joined(instance: &str, platform: &str, agents: usize, revision: u64) {
    info!(instance, platform, agents, revision, "joined the platform");
    gauge!(SESSION_UP).set(1.0);
}

pub(crate) fn session_ended(reason: &'static str, detail: &str, retry_in: Duration) {
    warn!(
        reason,
        detail,
        ?retry_in,
        "session with the platform ended; all polling stopped"
    );
    counter!(SESSIONS, "reason" => reason).increment(1);
    gauge!(SESSION_UP).set(0.0);
}

pub(crate) fn session_moved() {
    info!("a certificate behind the session's connection ends soon; joining anew");
}

pub(crate) fn session_closed() {
    info!("left the platform");
    counter!(SESSIONS, "reason" => "shutdown").increment(1);
    gauge!(SESSION_UP).set(0.0);
}

pub(crate) fn identity_not_reloaded(error: &dyn std::fmt::Display) {
    error!(%error, "the identity folder can't be read any more; going on with what was read before");
}

pub(crate) fn own_identity_changed(serial: &Serial) {
    info!(%serial, "this gateway goes by another certificate");
}

pub(crate) fn own_renewed(serial: &Serial, not_after_unix_s: u64, trust_sequence: u64) {
    info!(%serial, not_after_unix_s, trust_sequence, "this gateway's certificate was renewed");
    counter!(OWN_UPKEEP, "what" => "renewal", "outcome" => "ok").increment(1);
}

pub(crate) fn own_trust_taken(sequence: u64) {
    info!(sequence, "this gateway trusts the platform by its newest word");
    counter!(OWN_UPKEEP, "what" => "trust", "outcome" => "ok").increment(1);
}

/// `retry_in` is absent where the platform's next word is waited for.
pub(crate) fn own_upkeep_failed(
    what: &'static str,
    error: &dyn std::fmt::Display,
    retry_in: Option<Duration>,
) {
    error!(what, %error, ?retry_in, "this gateway's own identity stays as it is");
    counter!(OWN_UPKEEP, "what" => what, "outcome" => "failed").increment(1);
}

/// An SVID lives for an hour or so: only its source can say whether another one is late.
pub(crate) fn own_svid(not_after_unix_s: u64) {
    // Whole seconds of Unix time are exact in a float until far beyond any certificate.
    #[expect(clippy::cast_precision_loss, reason = "exact below 2^53 seconds")]
    gauge!(CERTIFICATE).set(not_after_unix_s as f64);
}

pub(crate) fn own_certificate(not_after_unix_s: u64, now_unix_s: u64) {
    // Whole seconds of Unix time are exact in a float until far beyond any certificate.
    #[expect(clippy::cast_precision_loss, reason = "exact below 2^53 seconds")]
    gauge!(CERTIFICATE).set(not_after_unix_s as f64);
    let days_left = not_after_unix_s.saturating_sub(now_unix_s) / 86_400;
    if days_left < 7 {
        error!(
            days_left,
            "this gateway's certificate is about to expire, and couldn't be renewed: see why above, or have it issued again"
        );
    }
}

pub(crate) fn agent_unusable(unusable: &Unusable) {
    error!(
        tenant = unusable.tenant,
        agent = unusable.agent,
        problem = unusable.problem,
        "assigned agent can't be polled"
    );
}

pub(crate) fn assignment_changed(added_or_changed: usize, removed: usize, agents: usize, revision: u64) {
    info!(added_or_changed, removed, agents, revision, "assignment changed");
}

pub(crate) fn claims_sent(claims: usize) {
    counter!(CLAIMS).increment(claims as u64);
}

pub(crate) fn agents_by_state(state: State, agents: usize) {
    #[expect(
        clippy::cast_precision_loss,
        reason = "a gateway has far fewer than 2^53 agents"
    )]
    gauge!(AGENTS, "reachability" => state.as_str()).set(agents as f64);
}

pub(crate) fn reachability_changed(key: &AgentKey, reachability: &Reachability) {
    let state = reachability.state().as_str();
    match reachability.failure() {
        None => info!(agent = %key, state, "agent answers"),
        Some(failure) => warn!(
            agent = %key,
            state,
            cause = failure.cause.as_str(),
            detail = failure.detail,
            attempts = reachability.failures(),
            "agent doesn't answer as it should"
        ),
    }
}

pub(crate) fn enrolment_dialled(key: &AgentKey, correlation_id: &str, address: SocketAddr) {
    debug!(agent = %key, correlation_id, %address, "somebody answers where an agent awaits enrolment");
}

pub(crate) fn certificate_installed(key: &AgentKey, need: Need, correlation_id: &str, serial: &Serial) {
    info!(agent = %key, need = need.as_str(), correlation_id, %serial, "the agent has installed a certificate");
    counter!(ERRANDS, "need" => need.as_str(), "outcome" => "ok").increment(1);
}

pub(crate) fn trust_delivered(key: &AgentKey, sequence: u64) {
    debug!(agent = %key, sequence, "the agent goes by the newest trust statement");
    counter!(ERRANDS, "need" => Need::Trust.as_str(), "outcome" => "ok").increment(1);
}

pub(crate) fn errand_failed(
    key: &AgentKey,
    need: Need,
    correlation_id: &str,
    trouble: &Trouble,
    retry_in: Duration,
) {
    let (step, cause) = (trouble.step.as_str(), trouble.failure.cause.as_str());
    let detail = trouble.failure.detail.as_str();
    let need_word = need.as_str();
    // An agent that nobody has started yet, or that goes on with the certificate that it has, is tried every few seconds:
    // its claim says so.
    let is_awaited = trouble.step == Step::Dial || cause == Cause::NotAwaiting.as_str();
    if need == Need::Enrolment && is_awaited {
        debug!(agent = %key, need = need_word, correlation_id, step, cause, detail, ?retry_in, "not yet");
    } else {
        warn!(
            agent = %key,
            need = need_word,
            correlation_id,
            step,
            cause,
            detail,
            ?retry_in,
            "an agent's identity wasn't looked after"
        );
    }
    counter!(ERRANDS, "need" => need_word, "outcome" => cause).increment(1);
}

pub(crate) fn errand_crashed(key: &AgentKey, error: &dyn std::fmt::Display) {
    error!(agent = %key, %error, "looking after an agent's identity ended in a defect of the gateway");
    counter!(ERRANDS, "need" => "unknown", "outcome" => "crashed").increment(1);
}

/// `refusal` is absent where the agent has only moved.
pub(crate) fn connection_cut(key: &AgentKey, serial: &Serial, refusal: Option<&Failure>) {
    let Some(refusal) = refusal else {
        return debug!(agent = %key, "the agent has moved; its connection was cut");
    };
    warn!(
        agent = %key,
        %serial,
        cause = refusal.cause.as_str(),
        detail = refusal.detail,
        "connection cut: its agent isn't accepted any more"
    );
    counter!(CONNECTIONS_CUT, "reason" => refusal.cause.as_str()).increment(1);
}

pub(crate) fn poll_started(lateness: Duration, in_flight: usize) {
    histogram!(LATENESS).record(lateness.as_secs_f64());
    #[expect(clippy::cast_precision_loss, reason = "capped by configuration")]
    gauge!(IN_FLIGHT).set(in_flight as f64);
}

pub(crate) fn poll_ended(key: &AgentKey, outcome: &Outcome, took: Duration, in_flight: usize) {
    debug!(agent = %key, outcome = outcome.as_str(), ?took, "poll ended");
    counter!(POLLS, "outcome" => outcome.as_str()).increment(1);
    histogram!(POLL_TIME).record(took.as_secs_f64());
    #[expect(clippy::cast_precision_loss, reason = "capped by configuration")]
    gauge!(IN_FLIGHT).set(in_flight as f64);
    if let Outcome::PlatformBusy(detail) = outcome {
        // Not a warning: it would come once for each agent, and the stream itself has warned already.
        debug!(agent = %key, detail, "the platform can't take results now; they stay with the agent");
    }
}

pub(crate) fn poll_crashed(key: &AgentKey, error: &dyn std::fmt::Display) {
    error!(agent = %key, %error, "a poll ended in a defect of the gateway");
    counter!(POLLS, "outcome" => "crashed").increment(1);
}

pub(crate) fn dialled(outcome: &'static str) {
    counter!(HANDSHAKES, "outcome" => outcome).increment(1);
}

pub(crate) fn batch_refused(key: &AgentKey, error: &FrameError) {
    error!(agent = %key, reason = error.reason(), %error, "batch refused; nothing of it was passed on");
    counter!(REFUSED_BATCHES, "reason" => error.reason()).increment(1);
}

pub(crate) fn batch_committed(results: u64, bytes: usize) {
    counter!(RESULTS).increment(results);
    counter!(BYTES).increment(bytes as u64);
}

pub(crate) fn submitted(outcome: &'static str) {
    counter!(SUBMITS, "outcome" => outcome).increment(1);
}

pub(crate) fn results_refused(key: &AgentKey, detail: &str) {
    error!(agent = %key, detail, "the platform refused a batch; it stays with the agent");
}

pub(crate) fn ingest_lost(error: &dyn std::fmt::Display, retry_in: Duration) {
    warn!(%error, ?retry_in, "the stream that carries results to the platform is down");
}

pub(crate) fn credential_issued(tenant: &str, not_after_unix_s: u64) {
    info!(
        tenant,
        not_after_unix_s, "got a client certificate for the tenant's agents"
    );
    counter!(CREDENTIALS, "outcome" => "issued").increment(1);
}

pub(crate) fn credential_refused(tenant: &str, error: &dyn std::fmt::Display, retry_in: Duration) {
    error!(tenant, %error, ?retry_in, "no client certificate for the tenant's agents");
    counter!(CREDENTIALS, "outcome" => "failed").increment(1);
}

pub(crate) fn metrics_listener_failed(error: &dyn std::fmt::Display) {
    warn!(%error, "the metrics listener has ended");
}
