//! A result as JSON, the same wherever the command line prints one: fields are added, never changed.

use std::collections::BTreeMap;

use picket_proto::agent::v1::{CheckResult, Evidence, FailureClass, Metric, Status, Usage};
use serde::{Deserialize, Serialize};

use crate::runner::convert::{failure_word, status_word};

/// A result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ResultModel {
    check: String,
    checker: String,
    checker_version: String,
    /// `ok`, `warning`, `critical` or `unknown`.
    status: String,
    /// Why there is no report, `timeout` for example.
    failure: Option<String>,
    summary: String,
    details: String,
    metrics: Vec<MetricModel>,
    labels: BTreeMap<String, String>,
    evidence: Vec<EvidenceModel>,
    scheduled_at_unix_ms: u64,
    started_at_unix_ms: u64,
    usage: Option<UsageModel>,
    skipped: u32,
    interval_ms: u64,
    attempt: u32,
    hard: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct MetricModel {
    name: String,
    value: f64,
    unit: String,
    counter: bool,
    warning: Option<String>,
    critical: Option<String>,
    min: Option<f64>,
    max: Option<f64>,
    labels: BTreeMap<String, String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct EvidenceModel {
    kind: String,
    title: String,
    /// JSON where it is, else its text.
    body: serde_json::Value,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct UsageModel {
    cpu_us: u64,
    wall_us: u64,
    peak_memory_bytes: u64,
    host_calls: u64,
    bytes_sent: u64,
    bytes_received: u64,
    cpu_limit_us: u64,
    wall_limit_us: u64,
    memory_limit_bytes: u64,
}

impl From<&CheckResult> for ResultModel {
    fn from(result: &CheckResult) -> Self {
        Self {
            check: result.check.clone(),
            checker: result.checker.clone(),
            checker_version: result.checker_version.clone(),
            status: status_word(result.status()).to_owned(),
            failure: failure_word(result.failure()).map(str::to_owned),
            summary: result.summary.clone(),
            details: result.details.clone(),
            metrics: result.metrics.iter().map(MetricModel::from).collect(),
            labels: result.labels.clone().into_iter().collect(),
            evidence: result.evidence.iter().map(EvidenceModel::from).collect(),
            scheduled_at_unix_ms: result.scheduled_at_unix_ms,
            started_at_unix_ms: result.started_at_unix_ms,
            usage: result.usage.as_ref().map(UsageModel::from),
            skipped: result.skipped,
            interval_ms: result.interval_ms,
            attempt: result.attempt,
            hard: result.hard,
        }
    }
}

impl From<ResultModel> for CheckResult {
    fn from(model: ResultModel) -> Self {
        let statuses = [Status::Ok, Status::Warning, Status::Critical, Status::Unknown];
        let status = statuses
            .into_iter()
            .find(|&status| status_word(status) == model.status);
        // The contract's classes are numbered without gaps; a word of a newer agent's is no class that is known here.
        let failure = (1..=64)
            .map_while(|number| FailureClass::try_from(number).ok())
            .find(|&class| failure_word(class) == model.failure.as_deref() && model.failure.is_some());
        Self {
            check: model.check,
            checker: model.checker,
            checker_version: model.checker_version,
            status: status.unwrap_or(Status::Unknown).into(),
            failure: failure.unwrap_or_default().into(),
            summary: model.summary,
            details: model.details,
            metrics: model.metrics.into_iter().map(Metric::from).collect(),
            labels: model.labels.into_iter().collect(),
            evidence: model.evidence.into_iter().map(Evidence::from).collect(),
            scheduled_at_unix_ms: model.scheduled_at_unix_ms,
            started_at_unix_ms: model.started_at_unix_ms,
            usage: model.usage.map(Usage::from),
            skipped: model.skipped,
            interval_ms: model.interval_ms,
            attempt: model.attempt,
            hard: model.hard,
        }
    }
}

impl From<&Metric> for MetricModel {
    fn from(metric: &Metric) -> Self {
        Self {
            name: metric.name.clone(),
            value: metric.value,
            unit: metric.unit.clone(),
            counter: metric.counter,
            warning: metric.warning.clone(),
            critical: metric.critical.clone(),
            min: metric.min,
            max: metric.max,
            labels: metric.labels.clone().into_iter().collect(),
        }
    }
}

impl From<MetricModel> for Metric {
    fn from(model: MetricModel) -> Self {
        Self {
            name: model.name,
            value: model.value,
            unit: model.unit,
            counter: model.counter,
            warning: model.warning,
            critical: model.critical,
            min: model.min,
            max: model.max,
            labels: model.labels.into_iter().collect(),
        }
    }
}

impl From<&Evidence> for EvidenceModel {
    fn from(evidence: &Evidence) -> Self {
        let text = || serde_json::Value::String(evidence.body.clone());
        Self {
            kind: evidence.kind.clone(),
            title: evidence.title.clone(),
            body: serde_json::from_str(&evidence.body).unwrap_or_else(|_| text()),
        }
    }
}

impl From<EvidenceModel> for Evidence {
    fn from(model: EvidenceModel) -> Self {
        Self {
            kind: model.kind,
            title: model.title,
            body: model.body.to_string(),
        }
    }
}

impl From<&Usage> for UsageModel {
    fn from(usage: &Usage) -> Self {
        Self {
            cpu_us: usage.cpu_us,
            wall_us: usage.wall_us,
            peak_memory_bytes: usage.peak_memory_bytes,
            host_calls: usage.host_calls,
            bytes_sent: usage.bytes_sent,
            bytes_received: usage.bytes_received,
            cpu_limit_us: usage.cpu_limit_us,
            wall_limit_us: usage.wall_limit_us,
            memory_limit_bytes: usage.memory_limit_bytes,
        }
    }
}

impl From<UsageModel> for Usage {
    fn from(model: UsageModel) -> Self {
        Self {
            cpu_us: model.cpu_us,
            wall_us: model.wall_us,
            peak_memory_bytes: model.peak_memory_bytes,
            host_calls: model.host_calls,
            bytes_sent: model.bytes_sent,
            bytes_received: model.bytes_received,
            cpu_limit_us: model.cpu_limit_us,
            wall_limit_us: model.wall_limit_us,
            memory_limit_bytes: model.memory_limit_bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_comes_back_as_it_went() {
        let result = CheckResult {
            check: "web".to_owned(),
            status: Status::Unknown.into(),
            failure: FailureClass::Unsupported.into(),
            metrics: vec![Metric {
                name: "time".to_owned(),
                value: 0.25,
                warning: Some("1".to_owned()),
                labels: [("phase".to_owned(), "dns".to_owned())].into(),
                ..Metric::default()
            }],
            evidence: vec![Evidence {
                kind: "tls".to_owned(),
                title: "chain".to_owned(),
                body: "{\"depth\":2}".to_owned(),
            }],
            usage: Some(Usage {
                cpu_us: 7,
                ..Usage::default()
            }),
            attempt: 2,
            hard: true,
            ..CheckResult::default()
        };
        let text = serde_json::to_string(&ResultModel::from(&result)).unwrap();
        let model: ResultModel = serde_json::from_str(&text).unwrap();
        assert_eq!(CheckResult::from(model), result);
    }

    #[test]
    fn a_result_without_a_failure_has_none_when_it_comes_back() {
        let ok = CheckResult {
            status: Status::Ok.into(),
            ..CheckResult::default()
        };
        assert_eq!(CheckResult::from(ResultModel::from(&ok)), ok);
    }
}
