//! What one run found.

use serde::Serialize;

use crate::bindings::picket::checker::types;
use crate::{Metric, Status};

/// The contract's limits; the host refuses what is larger, so the SDK cuts first.
const SUMMARY_BYTES: usize = 1024;
const DETAILS_BYTES: usize = 16 * 1024;
const EVIDENCE_BYTES: usize = 16 * 1024;
const METRICS: usize = 512;
const LABELS: usize = 32;
const EVIDENCE: usize = 16;

/// What one run found, built up step by step. Its status is the worst of all that was said.
///
/// ```
/// use picket_checker_sdk::{Metric, Range, Report, Status};
///
/// let report = Report::ok("answered in 0.7 s")
///     .metric(Metric::gauge("rtt", 0.7, "s").warning(Range::at_most(0.5)));
/// assert_eq!(report.status(), Status::Warning);
/// assert_eq!(report.summary(), "rtt is 0.7 s, expected at most 0.5");
/// ```
#[derive(Debug, Clone)]
pub struct Report {
    status: Status,
    headline: String,
    headline_status: Status,
    problems: Vec<(Status, String)>,
    details: Vec<String>,
    metrics: Vec<Metric>,
    labels: Vec<(String, String)>,
    evidence: Vec<types::Evidence>,
}

impl Report {
    /// A report of the given status.
    #[must_use]
    pub fn new(status: Status, summary: impl Into<String>) -> Self {
        Self {
            status,
            headline: summary.into(),
            headline_status: status,
            problems: Vec::new(),
            details: Vec::new(),
            metrics: Vec::new(),
            labels: Vec::new(),
            evidence: Vec::new(),
        }
    }

    /// All is well.
    #[must_use]
    pub fn ok(summary: impl Into<String>) -> Self {
        Self::new(Status::Ok, summary)
    }

    /// Something should be looked at.
    #[must_use]
    pub fn warning(summary: impl Into<String>) -> Self {
        Self::new(Status::Warning, summary)
    }

    /// The target is down or wrong.
    #[must_use]
    pub fn critical(summary: impl Into<String>) -> Self {
        Self::new(Status::Critical, summary)
    }

    /// The checker ran but could not tell.
    #[must_use]
    pub fn unknown(summary: impl Into<String>) -> Self {
        Self::new(Status::Unknown, summary)
    }

    /// Adds a number; one outside its ranges is a problem of this report.
    #[must_use]
    pub fn metric(mut self, metric: Metric) -> Self {
        self.add_metric(metric);
        self
    }

    /// Adds a problem: raises the status and joins the summary.
    #[must_use]
    pub fn problem(mut self, status: Status, text: impl Into<String>) -> Self {
        self.add_problem(status, text);
        self
    }

    /// Adds lines below the summary.
    #[must_use]
    pub fn details(mut self, text: impl Into<String>) -> Self {
        self.details.push(text.into());
        self
    }

    /// Adds something worth filtering results by.
    #[must_use]
    pub fn label(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.labels.push((name.into(), value.into()));
        self
    }

    /// Adds what backs up the verdict. `kind` is of `[a-z0-9-]`, for example `phases`.
    #[must_use]
    pub fn evidence(mut self, kind: &str, title: impl Into<String>, body: &impl Serialize) -> Self {
        self.evidence.push(types::Evidence {
            kind: kind.to_owned(),
            title: title.into(),
            body: evidence_body(body),
        });
        self
    }

    /// As [`metric`](Self::metric), in place.
    pub fn add_metric(&mut self, metric: Metric) {
        if let Some(complaint) = metric.complaint() {
            self.add_problem(metric.status(), complaint);
        }
        self.metrics.push(metric);
    }

    /// As [`problem`](Self::problem), in place.
    pub fn add_problem(&mut self, status: Status, text: impl Into<String>) {
        self.status = worse(self.status, status);
        self.problems.push((status, text.into()));
    }

    /// The worst of all that was said.
    #[must_use]
    pub fn status(&self) -> Status {
        self.status
    }

    /// The one line: what is wrong, worst first, or else what was said at the start.
    #[must_use]
    pub fn summary(&self) -> String {
        let mut problems: Vec<(Status, &str)> = Vec::new();
        if self.headline_status != Status::Ok {
            problems.push((self.headline_status, &self.headline));
        }
        problems.extend(
            self.problems
                .iter()
                .filter(|(status, _)| *status != Status::Ok)
                .map(|(s, t)| (*s, t.as_str())),
        );
        if problems.is_empty() {
            return one_line(&self.headline);
        }
        problems.sort_by_key(|(status, _)| std::cmp::Reverse(severity(*status)));
        let texts: Vec<&str> = problems.iter().map(|(_, text)| *text).collect();
        one_line(&texts.join("; "))
    }

    /// The value of a metric, by name and the value of one of its labels (or "" for any).
    #[must_use]
    pub fn value(&self, name: &str, label: &str) -> Option<f64> {
        let wanted = self
            .metrics
            .iter()
            .find(|metric| metric.name == name && metric.has_label(label));
        wanted.map(|metric| metric.value)
    }

    /// As the contract has it, within its limits.
    #[must_use]
    pub fn into_wire(self) -> types::Report {
        let summary = cut(self.summary(), SUMMARY_BYTES);
        let mut details = self.details;
        if self.headline_status == Status::Ok && self.status != Status::Ok {
            details.insert(0, self.headline);
        }
        let metrics = self
            .metrics
            .into_iter()
            .filter_map(Metric::into_wire)
            .take(METRICS)
            .collect();
        let details = details.join("\n");
        types::Report {
            status: self.status,
            summary,
            details: (!details.is_empty()).then(|| cut(details, DETAILS_BYTES)),
            metrics,
            labels: self.labels.into_iter().take(LABELS).collect(),
            evidence: self.evidence.into_iter().take(EVIDENCE).collect(),
            extra: Vec::new(),
        }
    }
}

/// The worse of two: critical, then unknown, warning, ok. Who knows that something is broken need not ask whether
/// something else can't be seen.
#[must_use]
pub fn worse(a: Status, b: Status) -> Status {
    if severity(a) >= severity(b) { a } else { b }
}

fn severity(status: Status) -> u8 {
    match status {
        Status::Ok => 0,
        Status::Warning => 1,
        Status::Unknown => 2,
        Status::Critical => 3,
    }
}

fn one_line(text: &str) -> String {
    text.replace(['\n', '\r'], " ")
}

fn cut(mut text: String, limit: usize) -> String {
    const MARK: &str = "…";
    if text.len() > limit {
        text.truncate(text.floor_char_boundary(limit - MARK.len()));
        text.push_str(MARK);
    }
    text
}

/// Half of a JSON text is none, so what is too long is replaced by a note.
fn evidence_body(body: &impl Serialize) -> String {
    match serde_json::to_string(body) {
        Ok(text) if text.len() <= EVIDENCE_BYTES => text,
        Ok(text) => format!(
            r#"{{"omitted":"{} bytes, the limit is {EVIDENCE_BYTES}"}}"#,
            text.len()
        ),
        Err(error) => serde_json::json!({ "omitted": error.to_string() }).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Range;

    #[test]
    fn problems_stand_worst_first_and_the_headline_moves_to_the_details() {
        let report = Report::ok("all fine")
            .problem(Status::Warning, "slow")
            .problem(Status::Critical, "wrong")
            .into_wire();
        assert_eq!(report.status, Status::Critical);
        assert_eq!(report.summary, "wrong; slow");
        assert_eq!(report.details.as_deref(), Some("all fine"));
    }

    #[test]
    fn a_metric_outside_its_range_raises_the_status() {
        let report = Report::ok("x").metric(Metric::gauge("a", 3.0, "1").critical(Range::at_most(2.0)));
        assert_eq!(report.status(), Status::Critical);
    }

    #[test]
    fn a_later_mild_problem_does_not_lower_the_status() {
        assert_eq!(
            Report::critical("down").problem(Status::Warning, "slow").status(),
            Status::Critical
        );
    }

    #[test]
    fn everything_is_cut_to_the_limits_of_the_contract() {
        let mut report = Report::ok("ä".repeat(2000)).details("ü".repeat(20_000));
        for index in 0..600 {
            report.add_metric(Metric::gauge(format!("m{index}"), 1.0, "1"));
            report = report.label(index.to_string(), "x");
        }
        let wire = report.evidence("big", "big", &"x".repeat(20_000)).into_wire();
        assert!(wire.summary.len() <= 1024 && wire.summary.ends_with('…'));
        assert!(wire.details.unwrap().len() <= 16 * 1024);
        assert_eq!((wire.metrics.len(), wire.labels.len()), (512, 32));
        assert!(serde_json::from_str::<serde_json::Value>(&wire.evidence[0].body).is_ok());
    }

    #[test]
    fn a_summary_is_one_line() {
        assert_eq!(Report::ok("a\nb").into_wire().summary, "a b");
    }
}
