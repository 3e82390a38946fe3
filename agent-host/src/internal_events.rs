//! Every log line and every metric of the agent, one function for each thing that happens.
//!
//! Levels: ERROR means that data is lost or that somebody must act; WARN that something is wrong and nothing is lost.

pub(crate) mod check_metrics;

use std::io;
use std::net::SocketAddr;
use std::path::Path;

use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use picket_identity::Serial;
use picket_identity::bundle::Identity;
use picket_identity::name::CheckName;
use picket_identity::serve::{HandshakeFailure, TurnedAway};
use picket_identity::spiffe::SpiffeId;
use picket_identity::verify;
use picket_proto::agent::v1::CheckResult;
use picket_sandbox::run::{LogLevel, Logs};
use tracing::{debug, error, info, warn};
use uuid::Uuid;

use crate::catalogue::Change;
use crate::config::Problem;
use crate::control::ControlError;
use crate::exchange::failure::{CorrelationId, Failure, Origin};
use crate::identity::{IdentityError, Validity};
use crate::runner::convert;
use crate::runner::meter::late_ms;
use crate::schedule::health::Health;
use crate::spool::View;
use crate::spool::log::Incident;

/// Says what each metric is.
pub(crate) fn describe_metrics() {
    describe_counter!(
        "picket_agent_runs_total",
        "Runs of checks, by status and failure class."
    );
    describe_histogram!("picket_agent_run_seconds", "Wall time of runs.");
    describe_histogram!("picket_agent_run_cpu_seconds", "CPU time of runs.");
    describe_histogram!(
        "picket_agent_run_lateness_seconds",
        "From when a run was due to when it started."
    );
    describe_counter!("picket_agent_runs_skipped_total", "Runs that didn't happen.");
    describe_gauge!("picket_agent_checks", "Checks that are configured.");
    describe_gauge!(
        "picket_agent_check_problems",
        "Checks that can't run as they are configured."
    );
    describe_gauge!("picket_agent_checkers", "Checkers that are loaded.");
    describe_gauge!(
        "picket_agent_checker_problems",
        "Checker files that can't be used."
    );
    describe_gauge!(
        "picket_agent_checker_notes",
        "Checkers that run unsigned, by an unknown publisher, or as a rollback."
    );
    describe_gauge!("picket_agent_config_problems", "Problems in the files of checks.");
    describe_gauge!("picket_agent_spool_bytes", "Bytes of the spool on disk.");
    describe_gauge!("picket_agent_spool_quota_bytes", "Bytes that the spool may have.");
    describe_gauge!(
        "picket_agent_spool_waiting_results",
        "Results that aren't acknowledged."
    );
    describe_counter!(
        "picket_agent_results_lost_total",
        "Results that are gone, by cause."
    );
    describe_counter!(
        "picket_agent_batches_total",
        "Batches that were sent to gateways."
    );
    describe_counter!(
        "picket_agent_results_sent_total",
        "Results that were sent to gateways."
    );
    describe_counter!(
        "picket_agent_batch_bytes_total",
        "Compressed bytes of results that were sent."
    );
    describe_counter!(
        "picket_agent_handshakes_total",
        "Handshakes of gateways, by outcome."
    );
    describe_gauge!(
        "picket_agent_certificate_expiry_seconds",
        "When the agent's certificate expires, in s since 1970."
    );
    describe_gauge!(
        "picket_agent_certificate_ends_soon",
        "1 where the certificate should have been renewed by now."
    );
    describe_gauge!(
        "picket_agent_certificate_expired",
        "1 where the certificate's time is over: gateways get nothing until it is recovered."
    );
    describe_counter!(
        "picket_agent_certificates_installed_total",
        "Certificates that were installed, by exchange (enrolment, renewal)."
    );
    describe_counter!(
        "picket_agent_steps_failed_total",
        "Failed steps of enrolments and renewals, by exchange, step and cause."
    );
    describe_counter!(
        "picket_agent_trust_updates_total",
        "Trust updates, by outcome (applied, unchanged, refused)."
    );
    describe_gauge!(
        "picket_agent_trust_sequence",
        "The sequence of the trust statement that the agent goes by."
    );
    describe_counter!(
        "picket_agent_control_refused_total",
        "Connections to the control socket by other users."
    );
    describe_counter!(
        "picket_agent_calls_refused_total",
        "Calls of peers that may not call."
    );
}

pub(crate) fn started(addresses: &crate::app::Addresses) {
    info!(grpc = %addresses.grpc, metrics = addresses.metrics.map(tracing::field::display), "agent-host is ready");
}

pub(crate) fn stopping() {
    info!("shutting down");
}

pub(crate) fn stopped() {
    info!("shut down; every result is on disk");
}

pub(crate) fn check_ran(result: &CheckResult) {
    let status = convert::status_word(result.status());
    let failure = convert::failure_word(result.failure()).unwrap_or_default();
    counter!("picket_agent_runs_total", "status" => status, "failure" => failure).increment(1);
    counter!("picket_agent_runs_skipped_total").increment(u64::from(result.skipped));
    let late_ms = late_ms(result);
    histogram!("picket_agent_run_lateness_seconds").record(seconds(late_ms.saturating_mul(1_000)));
    if let Some(usage) = &result.usage {
        histogram!("picket_agent_run_seconds").record(seconds(usage.wall_us));
        histogram!("picket_agent_run_cpu_seconds").record(seconds(usage.cpu_us));
    }
    debug!(
        check = result.check,
        status,
        failure,
        summary = result.summary,
        late_ms,
        "check ran"
    );
}

fn seconds(micros: u64) -> f64 {
    std::time::Duration::from_micros(micros).as_secs_f64()
}

pub(crate) fn checker_logged(check: &CheckName, logs: &Logs) {
    for line in &logs.lines {
        let fields: Vec<String> = line
            .fields
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let (message, fields) = (&line.message, fields.join(" "));
        match line.level {
            LogLevel::Debug => tracing::trace!(%check, fields, "checker: {message}"),
            LogLevel::Info | LogLevel::Warn | LogLevel::Error => debug!(%check, fields, "checker: {message}"),
        }
    }
    if logs.dropped > 0 || !logs.stderr.is_empty() {
        debug!(%check, dropped = logs.dropped, stderr = logs.stderr, "checker: more output");
    }
}

pub(crate) fn checker_failing(check: &CheckName, health: Health, apart_ms: u64) {
    let health = Health::of_checker([health]).map(|health| health.to_string());
    warn!(%check, health, apart_ms, "a checker keeps crashing; its runs are put apart");
}

pub(crate) fn checker_recovered(check: &CheckName) {
    info!(%check, "a checker that crashed is well again");
}

pub(crate) fn run_crashed(check: &CheckName, reason: &str) {
    error!(%check, reason, "a run crashed the host's task; this is a bug of agent-host");
}

pub(crate) fn checkers_changed(changes: &[Change]) {
    for change in changes {
        match change {
            Change::Loaded(stem) => info!(checker = stem, "checker loaded"),
            Change::Loading(stem) => info!(checker = stem, "checker is being compiled"),
            Change::Removed(stem) => info!(checker = stem, "checker removed"),
            Change::Broken(stem, problem) => warn!(checker = stem, problem, "checker can't be used"),
            Change::Noted(stem, note) => {
                warn!(checker = stem, note, "checker runs, and is not as it should be");
            }
        }
    }
}

pub(crate) fn signed_versions_unreadable(path: &Path, error: &io::Error) {
    warn!(path = %path.display(), %error, "what was signed before can't be read; an older version won't be noticed as one");
}

pub(crate) fn signed_versions_unsaved(path: &Path, error: &io::Error) {
    warn!(path = %path.display(), %error, "can't write down what is signed; an older version won't be noticed after a restart");
}

pub(crate) fn checkers_counted(usable: usize, problems: usize, notes: usize) {
    gauge!("picket_agent_checkers").set(usable as f64);
    gauge!("picket_agent_checker_problems").set(problems as f64);
    gauge!("picket_agent_checker_notes").set(notes as f64);
}

pub(crate) fn checks_counted(checks: usize, problems: usize) {
    gauge!("picket_agent_checks").set(checks as f64);
    gauge!("picket_agent_check_problems").set(problems as f64);
}

pub(crate) fn check_problem(check: &CheckName, problem: &str) {
    warn!(%check, problem, "check can't run as it is configured");
}

pub(crate) fn check_files_read(problems: &[Problem], unreadable: &[String]) {
    gauge!("picket_agent_config_problems").set((problems.len() + unreadable.len()) as f64);
}

pub(crate) fn check_file_problem(problem: &str) {
    warn!(
        problem,
        "a file of checks is wrong; what was good in it before goes on"
    );
}

pub(crate) fn folder_unreadable(folder: &Path, error: &io::Error) {
    warn!(folder = %folder.display(), %error, "can't read a folder; what was read before goes on");
}

pub(crate) fn watch_failed(folder: &Path, error: &notify::Error) {
    warn!(folder = %folder.display(), %error, "can't watch a folder; it is looked at regularly instead");
}

pub(crate) fn spool_incident(incident: &Incident) {
    match incident {
        Incident::Lost(lost) => {
            counter!("picket_agent_results_lost_total", "cause" => lost.cause.as_str())
                .increment(lost.count());
            error!(
                first = lost.first_seq,
                last = lost.last_seq,
                cause = lost.cause.as_str(),
                "results are lost"
            );
        }
        Incident::TornEnd => info!("the spool's last write was cut off; nothing that was durable is missing"),
        Incident::Foreign(path) => warn!(file = %path.display(), "set a segment of another spool aside"),
        Incident::DiskFailed(reason) => {
            error!(
                reason,
                "the spool's disk refuses results; free some room on the disk of data_dir"
            );
        }
        Incident::DiskRecovered => info!("the spool's disk takes results again"),
        Incident::NewStream { old, abandoned } => {
            counter!("picket_agent_results_lost_total", "cause" => "restored").increment(*abandoned);
            error!(%old, abandoned, "the spool is an old copy of what the platform knows; began a new stream");
        }
    }
}

pub(crate) fn spool_measured(view: &View) {
    gauge!("picket_agent_spool_bytes").set(view.bytes() as f64);
    gauge!("picket_agent_spool_quota_bytes").set(view.quota() as f64);
    gauge!("picket_agent_spool_waiting_results")
        .set((view.last_seq().saturating_sub(view.acknowledged())) as f64);
}

pub(crate) fn spool_unreadable(error: &io::Error) {
    error!(%error, "the spool can't be read");
}

pub(crate) fn secret_is_twice(name: &str, folder: &Path) {
    warn!(
        name,
        secrets_dir = %folder.display(),
        "a secret is a credential of the service and a file, and they differ; the credential is used, remove the file"
    );
}

pub(crate) fn identity_loaded(identity: &Identity) {
    let not_after = identity.verified().not_after();
    gauge!("picket_agent_certificate_expiry_seconds").set(not_after.as_secs() as f64);
    gauge!("picket_agent_trust_sequence").set(identity.trust_sequence() as f64);
    let left_s = not_after.as_secs().saturating_sub(verify::now().as_secs());
    info!(id = %identity.id(), serial = %identity.verified().serial(), days_left = left_s / 86_400, trust_sequence = identity.trust_sequence(), "identity loaded");
}

pub(crate) fn certificate_validity(validity: Validity) {
    let is = |what: bool| if what { 1.0 } else { 0.0 };
    gauge!("picket_agent_certificate_ends_soon").set(is(validity == Validity::EndsSoon));
    gauge!("picket_agent_certificate_expired").set(is(validity.is_expired()));
}

pub(crate) fn certificate_trouble(validity: Validity, trouble: &str) {
    if validity.is_expired() {
        error!(validity = validity.as_str(), "{trouble}");
    } else {
        warn!(validity = validity.as_str(), "{trouble}");
    }
}

pub(crate) fn certificate_asked_for(exchange: &'static str, id: &CorrelationId, gateway: &str) {
    debug!(exchange, correlation_id = %id, gateway, "a gateway begins");
}

pub(crate) fn certificate_installed(
    exchange: &'static str,
    id: &CorrelationId,
    gateway: &str,
    serial: &Serial,
) {
    counter!("picket_agent_certificates_installed_total", "exchange" => exchange).increment(1);
    info!(exchange, correlation_id = %id, gateway, %serial, "certificate installed");
}

pub(crate) fn step_failed(
    exchange: &'static str,
    id: &CorrelationId,
    gateway: &str,
    failure: &Failure,
    origin: Origin,
) {
    let (step, cause) = (failure.step.as_str(), failure.cause.as_str());
    counter!("picket_agent_steps_failed_total", "exchange" => exchange, "step" => step, "cause" => cause)
        .increment(1);
    warn!(
        exchange,
        correlation_id = %id,
        gateway,
        step,
        cause,
        detail = failure.detail,
        found_by = origin.as_str(),
        advice = failure.cause.advice(),
        "a step failed"
    );
}

pub(crate) fn trust_applied(gateway: &str, before: u64, identity: &Identity) {
    counter!("picket_agent_trust_updates_total", "outcome" => "applied").increment(1);
    info!(
        gateway,
        before,
        sequence = identity.trust_sequence(),
        roots = identity.peers().roots().len(),
        gateway_cas = identity.peers().cas().len(),
        denied = identity.denied().len(),
        "what is trusted has changed"
    );
}

pub(crate) fn trust_unchanged(gateway: &str, known: u64, got: u64) {
    counter!("picket_agent_trust_updates_total", "outcome" => "unchanged").increment(1);
    debug!(
        gateway,
        known, got, "a trust update that isn't newer changes nothing"
    );
}

pub(crate) fn trust_refused(gateway: &str, detail: &str) {
    counter!("picket_agent_trust_updates_total", "outcome" => "refused").increment(1);
    warn!(gateway, detail, "refused a trust update");
}

pub(crate) fn pending_key_left(path: &Path, error: &io::Error) {
    warn!(path = %path.display(), %error, "can't remove the key of an enrolment that is over; remove it by hand");
}

pub(crate) fn identity_refused(error: &IdentityError) {
    warn!(%error, "the identity folder is wrong; the last good identity goes on");
}

pub(crate) fn identity_changed_name(before: &SpiffeId, now: &SpiffeId) {
    warn!(%before, %now, "the identity folder is another agent's now; restart to become that one");
}

pub(crate) fn call_refused(peer: &str) {
    counter!("picket_agent_calls_refused_total").increment(1);
    warn!(peer, "refused a call");
}

pub(crate) fn pull_started(gateway: &str, stream: Uuid, cursor: u64, follow: bool) {
    debug!(gateway, %stream, cursor, follow, "a gateway pulls");
}

pub(crate) fn batch_sealed(results: usize, bytes: usize) {
    counter!("picket_agent_batches_total").increment(1);
    counter!("picket_agent_results_sent_total").increment(results as u64);
    counter!("picket_agent_batch_bytes_total").increment(bytes as u64);
}

pub(crate) fn handshake_ok() {
    counter!("picket_agent_handshakes_total", "outcome" => "ok").increment(1);
}

pub(crate) fn handshake_failed(peer: SocketAddr, failure: &HandshakeFailure) {
    let outcome = match failure {
        HandshakeFailure::Refused(refusal) => {
            warn!(
                %peer,
                reason = refusal.reason.as_str(),
                expected = refusal.expected,
                got = refusal.got,
                "refused a connection"
            );
            refusal.reason.as_str()
        }
        HandshakeFailure::Timeout => {
            debug!(%peer, "a handshake took too long");
            "timeout"
        }
        HandshakeFailure::Broken(error) => {
            debug!(%peer, %error, "a handshake broke off");
            "broken"
        }
    };
    counter!("picket_agent_handshakes_total", "outcome" => outcome).increment(1);
}

pub(crate) fn turned_away(peer: SocketAddr, cause: TurnedAway) {
    counter!("picket_agent_handshakes_total", "outcome" => "turned_away").increment(1);
    warn!(%peer, ?cause, "turned a connection away");
}

pub(crate) fn control_unavailable(error: &ControlError) {
    warn!(%error, "`agent-host top` and `check run --on-agent` can't reach this agent");
}

pub(crate) fn control_refused(uid: u32) {
    counter!("picket_agent_control_refused_total").increment(1);
    warn!(uid, "refused a connection to the control socket");
}

pub(crate) fn control_connection_failed(error: &io::Error) {
    debug!(%error, "a connection to the control socket failed");
}

pub(crate) fn metrics_listener_failed(error: &io::Error) {
    debug!(%error, "a metrics connection failed");
}

pub(crate) fn notify_failed(error: &io::Error) {
    warn!(%error, "can't tell the service manager that the agent is ready");
}
