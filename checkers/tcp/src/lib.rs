//! The tcp checker: whether a port answers, how fast, and whether it says what it should.
//!
//! `config` is what an operator writes, `dialogue` what is said over one connection,
//! `starttls` what is said before TLS.

mod config;
mod dialogue;
mod starttls;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use picket_checker_sdk::net::{self, ErrorKind};
use picket_checker_sdk::prelude::*;
use picket_checker_sdk::tls;
use serde_json::json;

use config::{Addresses, Config, Family};
use dialogue::Conversation;

#[checker(
    name = "tcp",
    summary = "Connects to a TCP port, optionally with TLS, sends and expects text",
    interval = "30s",
    timeout = "10s"
)]
fn run(ctx: &mut Context, config: Config) -> Result<Report, Error> {
    let addresses = match ctx.resolve(&config.host) {
        Ok(addresses) => of_family(addresses, config.family),
        Err(error) => return error.into_report(),
    };
    if addresses.is_empty() {
        return Ok(Report::critical(format!(
            "{} has no address of the wanted family",
            config.host
        )));
    }
    let attempts = attempt(ctx, &config, &addresses)?;
    Ok(verdict(ctx, &config, &attempts))
}

/// What came of one address.
struct Attempt {
    peer: SocketAddr,
    result: Result<Conversation, String>,
}

fn of_family(addresses: Vec<IpAddr>, family: Option<Family>) -> Vec<IpAddr> {
    let wanted = |address: &IpAddr| match family {
        None => true,
        Some(Family::Ipv4) => address.is_ipv4(),
        Some(Family::Ipv6) => address.is_ipv6(),
    };
    addresses.into_iter().filter(wanted).collect()
}

/// Tries the addresses in turn: all of them, or until one answers.
fn attempt(ctx: &Context, config: &Config, addresses: &[IpAddr]) -> Result<Vec<Attempt>, Error> {
    let mut attempts = Vec::new();
    for (index, address) in addresses.iter().enumerate() {
        let peer = SocketAddr::new(*address, config.port);
        // A silent address must leave time for those after it.
        let share = u32::try_from(addresses.len() - index).unwrap_or(u32::MAX);
        let timeout = (ctx.time_left() / share).min(limit(config));
        let result = match dialogue::hold(ctx, config, peer, timeout) {
            Ok(conversation) => Ok(conversation),
            Err(net::Error {
                kind: ErrorKind::Denied,
                message,
            }) => return Err(Error::denied(message)),
            Err(error) => Err(error.message),
        };
        let answered = result.is_ok();
        attempts.push(Attempt { peer, result });
        if answered && config.addresses == Addresses::Any {
            break;
        }
    }
    Ok(attempts)
}

fn limit(config: &Config) -> Duration {
    config.timeout.map_or(Duration::MAX, Period::as_duration)
}

fn verdict(ctx: &Context, config: &Config, attempts: &[Attempt]) -> Report {
    let answered: Vec<(&Attempt, &Conversation)> = attempts
        .iter()
        .filter_map(|attempt| attempt.result.as_ref().ok().map(|talk| (attempt, talk)))
        .collect();
    let target = format!("{}:{}", config.host, config.port);
    let mut report = match answered.first() {
        Some((attempt, talk)) => Report::ok(format!(
            "{target} answered at {} in {:.1} ms{}",
            attempt.peer,
            talk.connect_s * 1000.0,
            if talk.session.is_some() { " with TLS" } else { "" }
        )),
        None => Report::ok(target),
    };
    let failures_count = answered.is_empty() || config.addresses == Addresses::All;
    for attempt in attempts {
        if let (Err(message), true) = (&attempt.result, failures_count) {
            report.add_problem(Status::Critical, message.clone());
        }
    }
    for (attempt, talk) in &answered {
        add_conversation(ctx, config, &mut report, attempt.peer, talk);
    }
    let rows: Vec<_> = attempts.iter().map(evidence).collect();
    report.evidence("addresses", "What came of each address", &rows)
}

fn add_conversation(
    ctx: &Context,
    config: &Config,
    report: &mut Report,
    peer: SocketAddr,
    talk: &Conversation,
) {
    let of = |metric: Metric| metric.label("address", peer.ip().to_string());
    report.add_metric(of(Metric::gauge("connect", talk.connect_s, "s")
        .min(0.0)
        .thresholds(&config.connect_time)));
    if let Some(seconds) = talk.response_s {
        report.add_metric(of(Metric::gauge("response", seconds, "s")
            .min(0.0)
            .thresholds(&config.response_time)));
    }
    let Some(session) = &talk.session else { return };
    #[expect(clippy::cast_precision_loss, reason = "a handshake takes no 285 years")]
    let handshake_s = session.handshake_us as f64 / 1e6;
    report.add_metric(of(Metric::gauge("tls", handshake_s, "s").min(0.0)));
    if let Err(reason) = &session.trusted {
        let status = if config.tls.insecure {
            Status::Ok
        } else {
            Status::Critical
        };
        report.add_problem(status, format!("{peer} is not trusted: {reason}"));
    }
    let now = ctx.now_unix_ms();
    if let Some(days) = tls::days_left(&session.peer_certificates, now) {
        report.add_metric(of(
            Metric::gauge("certificate_days", days, "d").thresholds(&config.tls.certificate_days)
        ));
    }
    *report = report.clone().label("tls_version", &session.version).evidence(
        "certificates",
        format!("Chain of {peer}"),
        &tls::chain_evidence(&session.peer_certificates, now),
    );
}

fn evidence(attempt: &Attempt) -> serde_json::Value {
    match &attempt.result {
        Ok(talk) => json!({
            "address": attempt.peer.to_string(),
            "connect_s": talk.connect_s,
            "received": talk.received,
        }),
        Err(message) => json!({ "address": attempt.peer.to_string(), "error": message }),
    }
}

#[cfg(test)]
mod tests;
