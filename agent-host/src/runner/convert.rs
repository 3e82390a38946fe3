//! The sandbox's words as the contract's.

use picket_proto::agent::v1 as proto;
use picket_sandbox::report::{Evidence, Metric, Report, Status};
use picket_sandbox::run::{FailureClass, Limits, RunOutcome, Usage};

/// The longest summary that the contract allows, in bytes.
const SUMMARY: usize = 1_024;

/// A result without names and times, of what came of a run.
#[must_use]
pub fn outcome(outcome: RunOutcome, limits: &Limits) -> proto::CheckResult {
    let usage = usage(&outcome.usage, limits);
    let mut result = match outcome.result {
        Ok(report) => reported(report),
        Err(failure) => failed(class(failure.class), &failure.message),
    };
    if !outcome.denials.is_empty() {
        // What was refused on the way explains a verdict that nobody expected.
        let refused = format!("refused by the host:\n{}", outcome.denials.join("\n"));
        result.details = if result.details.is_empty() {
            refused
        } else {
            format!("{}\n{refused}", result.details)
        };
    }
    result.usage = Some(usage);
    result.started_at_unix_ms = outcome.started_at_unix_ms;
    result
}

/// A result `unknown`, with its class and its sentence.
#[must_use]
pub fn failed(class: proto::FailureClass, sentence: &str) -> proto::CheckResult {
    let mut lines = sentence.splitn(2, '\n');
    let first = lines.next().unwrap_or_default();
    let summary = shortened(first);
    // What the summary has no room for isn't lost.
    let details = if summary.len() == first.len() {
        lines.next().unwrap_or_default().to_owned()
    } else {
        sentence.to_owned()
    };
    proto::CheckResult {
        status: proto::Status::Unknown.into(),
        failure: class.into(),
        summary,
        details,
        ..proto::CheckResult::default()
    }
}

/// The same run, without the report that doesn't fit the spool.
#[must_use]
pub fn too_large(result: &proto::CheckResult, bytes: usize) -> proto::CheckResult {
    let sentence = format!("the result has {bytes} bytes, which is more than the spool takes; report less");
    proto::CheckResult {
        check: result.check.clone(),
        checker: result.checker.clone(),
        checker_version: result.checker_version.clone(),
        scheduled_at_unix_ms: result.scheduled_at_unix_ms,
        started_at_unix_ms: result.started_at_unix_ms,
        usage: result.usage,
        skipped: result.skipped,
        interval_ms: result.interval_ms,
        attempt: result.attempt,
        hard: result.hard,
        ..failed(proto::FailureClass::BadOutput, &sentence)
    }
}

fn shortened(text: &str) -> String {
    if text.len() <= SUMMARY {
        return text.to_owned();
    }
    let end = (0..=SUMMARY - '…'.len_utf8())
        .rev()
        .find(|&end| text.is_char_boundary(end))
        .unwrap_or(0);
    format!("{}…", &text[..end])
}

fn reported(report: Report) -> proto::CheckResult {
    proto::CheckResult {
        status: status(report.status).into(),
        summary: report.summary,
        details: report.details.unwrap_or_default(),
        metrics: report.metrics.into_iter().map(metric).collect(),
        labels: report.labels.into_iter().collect(),
        evidence: report.evidence.into_iter().map(evidence).collect(),
        ..proto::CheckResult::default()
    }
}

/// The status as the contract between agents and gateways names it.
#[must_use]
pub fn status(status: Status) -> proto::Status {
    match status {
        Status::Ok => proto::Status::Ok,
        Status::Warning => proto::Status::Warning,
        Status::Critical => proto::Status::Critical,
        Status::Unknown => proto::Status::Unknown,
    }
}

/// A status in the word that people, metrics and JSON have for it.
#[must_use]
pub fn status_word(status: proto::Status) -> &'static str {
    match status {
        proto::Status::Ok => "ok",
        proto::Status::Warning => "warning",
        proto::Status::Critical => "critical",
        proto::Status::Unknown | proto::Status::Unspecified => "unknown",
    }
}

/// A failure's class in the same way, `bad_output` for example; `None` where there was none.
#[must_use]
pub fn failure_word(class: proto::FailureClass) -> Option<&'static str> {
    Some(match class {
        proto::FailureClass::Unspecified => return None,
        proto::FailureClass::Crash => "crash",
        proto::FailureClass::Timeout => "timeout",
        proto::FailureClass::Cpu => "cpu",
        proto::FailureClass::Memory => "memory",
        proto::FailureClass::BadOutput => "bad_output",
        proto::FailureClass::Denied => "denied",
        proto::FailureClass::InvalidConfig => "invalid_config",
        proto::FailureClass::NoChecker => "no_checker",
        proto::FailureClass::Failed => "failed",
        proto::FailureClass::Unsupported => "unsupported",
    })
}

/// The class as the contract names it.
#[must_use]
pub fn class(class: FailureClass) -> proto::FailureClass {
    match class {
        FailureClass::Crash => proto::FailureClass::Crash,
        FailureClass::Timeout => proto::FailureClass::Timeout,
        FailureClass::Cpu => proto::FailureClass::Cpu,
        FailureClass::Memory => proto::FailureClass::Memory,
        FailureClass::BadOutput => proto::FailureClass::BadOutput,
        FailureClass::Denied => proto::FailureClass::Denied,
        FailureClass::InvalidConfig => proto::FailureClass::InvalidConfig,
        FailureClass::NoChecker => proto::FailureClass::NoChecker,
        FailureClass::Failed => proto::FailureClass::Failed,
        FailureClass::Unsupported => proto::FailureClass::Unsupported,
    }
}

fn metric(metric: Metric) -> proto::Metric {
    proto::Metric {
        name: metric.name,
        value: metric.value,
        unit: metric.unit,
        counter: metric.counter,
        warning: metric.warning,
        critical: metric.critical,
        min: metric.min,
        max: metric.max,
        labels: metric.labels.into_iter().collect(),
    }
}

fn evidence(evidence: Evidence) -> proto::Evidence {
    proto::Evidence {
        kind: evidence.kind,
        title: evidence.title,
        body: evidence.body,
    }
}

fn usage(usage: &Usage, limits: &Limits) -> proto::Usage {
    let micros = |duration: std::time::Duration| u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
    proto::Usage {
        cpu_us: micros(usage.cpu),
        wall_us: micros(usage.wall),
        peak_memory_bytes: usage.peak_memory,
        host_calls: usage.host_calls,
        bytes_sent: usage.bytes_out,
        bytes_received: usage.bytes_in,
        cpu_limit_us: micros(limits.cpu),
        wall_limit_us: micros(limits.wall),
        memory_limit_bytes: limits.memory as u64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_sentence_is_cut_between_characters_and_kept_whole_in_the_details() {
        let sentence = "ä".repeat(2_000);
        let result = failed(proto::FailureClass::Crash, &sentence);
        assert!(result.summary.len() <= SUMMARY && result.summary.ends_with('…'));
        assert_eq!(result.details, sentence);
        assert_eq!(result.status(), proto::Status::Unknown);
    }

    #[test]
    fn a_failures_further_lines_are_details() {
        let result = failed(proto::FailureClass::Crash, "it trapped\nat f\nat g");
        assert_eq!(
            (result.summary.as_str(), result.details.as_str()),
            ("it trapped", "at f\nat g")
        );
    }
}
