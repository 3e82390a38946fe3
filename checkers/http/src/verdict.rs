//! From the last response, or a failure, to a report.

use picket_checker_sdk::http::{self, Response, TlsSession};
use picket_checker_sdk::prelude::*;
use picket_checker_sdk::tls;
use serde_json::{Value, json};

use crate::config::Config;
use crate::expectation::Expectations;
use crate::redirect::Hop;

/// A hop that was left behind, as evidence.
pub(crate) fn visit(hop: &Hop, response: &Response) -> Value {
    json!({
        "method": hop.method,
        "url": hop.url.to_string(),
        "status": response.status,
        "peer": response.peer,
        "total_us": response.phases.total_us,
    })
}

pub(crate) fn report(
    ctx: &Context,
    config: &Config,
    expectations: &Expectations,
    hop: &Hop,
    visited: &[Value],
    response: &Response,
) -> Report {
    let total_s = seconds(response.phases.total_us);
    let mut report = Report::ok(format!(
        "{} {}: {} in {:.0} ms",
        hop.method,
        hop.url,
        response.status,
        total_s * 1000.0
    ));
    for problem in expectations.problems(response) {
        report.add_problem(Status::Critical, format!("{}: {problem}", hop.url));
    }
    add_phases(&mut report, config, response);
    let size = Metric::gauge("size", count(response.body.len()), "By")
        .min(0.0)
        .thresholds(&config.size);
    report = report
        .metric(size)
        .metric(Metric::gauge("status", f64::from(response.status), "1"))
        .metric(Metric::gauge("redirects", count(visited.len()), "{redirect}").min(0.0))
        .label("http_version", &response.version)
        .label("peer", &response.peer)
        .evidence(
            "phases",
            "How long each phase of the last request took",
            &response.phases.evidence(),
        );
    if let Some(session) = &response.tls {
        report = with_session(report, ctx, config, session);
    }
    with_chain(report, visited)
}

/// No response: what is known up to there. The host's refusal, or a request that makes no sense, is no report.
pub(crate) fn failure(
    ctx: &Context,
    config: &Config,
    hop: &Hop,
    visited: &[Value],
    error: http::Error,
) -> Result<Report, Error> {
    let elapsed = seconds(error.elapsed_us);
    let session = error.tls.clone();
    let mut report = error
        .into_report()?
        .details(format!("{} {}", hop.method, hop.url));
    report.add_metric(Metric::gauge("failed_after", elapsed, "s").min(0.0));
    if let Some(session) = &session {
        report = with_session(report, ctx, config, session);
    }
    Ok(with_chain(report, visited))
}

fn with_chain(report: Report, visited: &[Value]) -> Report {
    if visited.is_empty() {
        return report;
    }
    report.evidence("redirects", "The hops before the last request", &visited)
}

fn add_phases(report: &mut Report, config: &Config, response: &Response) {
    let phases = &response.phases;
    let total = Metric::gauge("response_time", seconds(phases.total_us), "s").min(0.0);
    report.add_metric(total.thresholds(&config.response_time));
    let each = [
        ("name_resolution", phases.name_resolution_us),
        ("connect", Some(phases.connect_us)),
        ("tls", phases.tls_us),
        ("first_byte", Some(phases.first_byte_us)),
        ("body", Some(phases.body_us)),
    ];
    for (phase, microseconds) in each {
        if let Some(microseconds) = microseconds {
            report.add_metric(
                Metric::gauge("phase", seconds(microseconds), "s")
                    .min(0.0)
                    .label("phase", phase),
            );
        }
    }
}

fn with_session(mut report: Report, ctx: &Context, config: &Config, session: &TlsSession) -> Report {
    let now = ctx.now_unix_ms();
    if let Some(days) = tls::days_left(&session.peer_certificates, now) {
        report.add_metric(Metric::gauge("certificate_days", days, "d").thresholds(&config.certificate_days));
    }
    if let (Err(reason), true) = (&session.trusted, config.insecure) {
        report = report.details(format!("the peer is not trusted: {reason}"));
    }
    report.label("tls_version", &session.version).evidence(
        "certificates",
        format!("The peer's chain, {}", session.cipher_suite),
        &tls::chain_evidence(&session.peer_certificates, now),
    )
}

#[expect(clippy::cast_precision_loss, reason = "no request takes 285 years")]
fn seconds(microseconds: u64) -> f64 {
    microseconds as f64 / 1e6
}

#[expect(clippy::cast_precision_loss, reason = "a body has at most 4 MiB")]
fn count(number: usize) -> f64 {
    number as f64
}
