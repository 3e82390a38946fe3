//! From answers to a report.

use std::collections::{BTreeMap, BTreeSet};

use picket_checker_sdk::prelude::*;
use serde_json::json;

use crate::Outcomes;
use crate::codec::record::{self, RecordType};
use crate::config::{Config, Matching};
use crate::exchange::Exchange;

pub(crate) fn report(config: &Config, outcomes: &Outcomes) -> Report {
    let mut report = Report::ok(summary(config, outcomes));
    for (server, outcome) in outcomes {
        match outcome {
            Ok(exchange) => {
                add_metrics(&mut report, config, server, exchange);
                for problem in problems(config, exchange) {
                    report.add_problem(Status::Critical, format!("{server}: {problem}"));
                }
            }
            Err(message) => report.add_problem(Status::Critical, message.clone()),
        }
    }
    if config.serials_agree {
        compare_serials(&mut report, config, outcomes);
    }
    let rows: Vec<_> = outcomes
        .iter()
        .map(|(server, outcome)| evidence(server, outcome))
        .collect();
    report.evidence("answers", "What each server answered", &rows)
}

fn summary(config: &Config, outcomes: &Outcomes) -> String {
    let first = outcomes.iter().find_map(|(_, outcome)| outcome.as_ref().ok());
    let question = format!("{} {}", config.name, config.record.name());
    match first {
        Some(exchange) if exchange.answer.records.is_empty() => {
            format!("{question}: {}", exchange.answer.rcode)
        }
        Some(exchange) => format!(
            "{question}: {} in {:.1} ms",
            exchange.answer.records.join(", "),
            exchange.seconds * 1000.0
        ),
        None => question,
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "an answer holds at most 65,535 records"
)]
fn add_metrics(report: &mut Report, config: &Config, server: &str, exchange: &Exchange) {
    let of = |metric: Metric| metric.min(0.0).label("server", server);
    report.add_metric(of(
        Metric::gauge("latency", exchange.seconds, "s").thresholds(&config.latency)
    ));
    report.add_metric(of(Metric::gauge(
        "answers",
        exchange.answer.records.len() as f64,
        "{record}",
    )));
    if let Some(ttl) = exchange.answer.ttl {
        report.add_metric(of(Metric::gauge("ttl", f64::from(ttl), "s")));
    }
}

/// What is wrong with an answer, in words.
fn problems(config: &Config, exchange: &Exchange) -> Vec<String> {
    let answer = &exchange.answer;
    let expected_code = config.rcode.to_ascii_uppercase();
    if answer.rcode != expected_code {
        return vec![format!("answered {}, expected {expected_code}", answer.rcode)];
    }
    let mut problems = Vec::new();
    if expected_code == "NOERROR" {
        problems.extend(compare(config, &answer.records));
    }
    let flags = [
        ("authoritative", config.authoritative, answer.authoritative),
        (
            "authenticated by DNSSEC",
            config.authenticated,
            answer.authenticated,
        ),
    ];
    for (what, expected, found) in flags {
        match expected {
            Some(true) if !found => problems.push(format!("the answer isn't {what}, expected that it is")),
            Some(false) if found => problems.push(format!("the answer is {what}, expected that it isn't")),
            _ => {}
        }
    }
    problems
}

fn compare(config: &Config, records: &[String]) -> Option<String> {
    let found: BTreeSet<String> = records
        .iter()
        .map(|record| config.record.normalized(record))
        .collect();
    if config.answers.is_empty() {
        return found
            .is_empty()
            .then(|| format!("no {} records", config.record.name()));
    }
    let expected: BTreeSet<String> = config
        .answers
        .iter()
        .map(|text| config.record.normalized(text))
        .collect();
    let list = |set: &BTreeSet<String>| match set.len() {
        0 => "nothing".to_owned(),
        _ => set.iter().map(String::as_str).collect::<Vec<_>>().join(", "),
    };
    let (right, how) = match config.matching {
        Matching::All => (expected.is_subset(&found), "all of"),
        Matching::Exact => (expected == found, "exactly"),
        Matching::Any => (!expected.is_disjoint(&found), "any of"),
    };
    (!right).then(|| format!("answered {}, expected {how} {}", list(&found), list(&expected)))
}

fn compare_serials(report: &mut Report, config: &Config, outcomes: &Outcomes) {
    if config.record != RecordType::Soa {
        report.add_problem(Status::Unknown, "`serials_agree` needs `record = \"SOA\"`");
        return;
    }
    let mut serials: BTreeMap<u32, Vec<&str>> = BTreeMap::new();
    for (server, outcome) in outcomes {
        let soa = outcome
            .as_ref()
            .ok()
            .and_then(|exchange| exchange.answer.records.first());
        if let Some(serial) = soa.and_then(|soa| record::serial(soa)) {
            serials.entry(serial).or_default().push(server);
            report.add_metric(Metric::gauge("serial", f64::from(serial), "1").label("server", server));
        }
    }
    if serials.len() > 1 {
        let groups: Vec<String> = serials
            .iter()
            .map(|(serial, servers)| format!("{serial} at {}", servers.join(", ")))
            .collect();
        report.add_problem(Status::Critical, format!("serials differ: {}", groups.join("; ")));
    }
}

fn evidence(server: &str, outcome: &Result<Exchange, String>) -> serde_json::Value {
    match outcome {
        Ok(Exchange {
            answer,
            seconds,
            over_tcp,
        }) => json!({
            "server": server, "rcode": answer.rcode, "records": answer.records.iter().take(64).collect::<Vec<_>>(),
            "authoritative": answer.authoritative, "authenticated": answer.authenticated,
            "truncated": answer.truncated, "ttl": answer.ttl, "seconds": seconds, "over_tcp": over_tcp,
        }),
        Err(message) => json!({ "server": server, "error": message }),
    }
}
