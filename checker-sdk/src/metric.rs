//! One number that was measured.

use crate::bindings::picket::checker::types;
use crate::{Range, Status, Thresholds};

/// One number that was measured, with the ranges in which it is wrong.
#[derive(Debug, Clone, PartialEq)]
pub struct Metric {
    pub(crate) name: String,
    pub(crate) value: f64,
    unit: String,
    counter: bool,
    thresholds: Thresholds,
    min: Option<f64>,
    max: Option<f64>,
    labels: Vec<(String, String)>,
}

impl Metric {
    /// A value that goes up and down. `unit` is a UCUM unit: `s`, `By`, `%`, `1` for a pure number, `{thing}` for a
    /// count of things.
    #[must_use]
    pub fn gauge(name: impl Into<String>, value: f64, unit: &str) -> Self {
        Self {
            name: name.into(),
            value,
            unit: unit.to_owned(),
            counter: false,
            thresholds: Thresholds::default(),
            min: None,
            max: None,
            labels: Vec::new(),
        }
    }

    /// A value that only rises until it is reset.
    #[must_use]
    pub fn counter(name: impl Into<String>, value: f64, unit: &str) -> Self {
        Self {
            counter: true,
            ..Self::gauge(name, value, unit)
        }
    }

    /// A share in percent, from 0 to 100.
    #[must_use]
    pub fn percent(name: impl Into<String>, value: f64) -> Self {
        Self::gauge(name, value, "%").min(0.0).max(100.0)
    }

    /// The range that makes the report at least a warning.
    #[must_use]
    pub fn warning(mut self, range: impl Into<Option<Range>>) -> Self {
        self.thresholds.warning = range.into();
        self
    }

    /// The range that makes the report critical.
    #[must_use]
    pub fn critical(mut self, range: impl Into<Option<Range>>) -> Self {
        self.thresholds.critical = range.into();
        self
    }

    /// Both ranges at once.
    #[must_use]
    pub fn thresholds(mut self, thresholds: &Thresholds) -> Self {
        self.thresholds = *thresholds;
        self
    }

    /// The least value that is possible.
    #[must_use]
    pub fn min(mut self, min: f64) -> Self {
        self.min = Some(min);
        self
    }

    /// The greatest value that is possible.
    #[must_use]
    pub fn max(mut self, max: f64) -> Self {
        self.max = Some(max);
        self
    }

    /// What tells this metric from others of its name.
    #[must_use]
    pub fn label(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.labels.push((name.into(), value.into()));
        self
    }

    /// What the value means by its ranges.
    #[must_use]
    pub fn status(&self) -> Status {
        self.thresholds.judge(self.value)
    }

    /// Why the value is wrong, where it is: `load_per_core is 3.2, expected at most 2`.
    pub(crate) fn complaint(&self) -> Option<String> {
        let range = match self.status() {
            Status::Critical => self.thresholds.critical,
            Status::Warning => self.thresholds.warning,
            Status::Ok | Status::Unknown => None,
        }?;
        let labels: Vec<&str> = self.labels.iter().map(|(_, value)| value.as_str()).collect();
        let of = if labels.is_empty() {
            String::new()
        } else {
            format!(" of {}", labels.join(", "))
        };
        let unit = match self.unit.as_str() {
            "1" => String::new(),
            unit if unit.starts_with('{') => String::new(),
            unit => format!(" {unit}"),
        };
        let value = rounded(self.value);
        Some(format!(
            "{}{of} is {value}{unit}, expected {}",
            self.name,
            range.in_words()
        ))
    }

    pub(crate) fn has_label(&self, wanted: &str) -> bool {
        wanted.is_empty() || self.labels.iter().any(|(_, value)| value == wanted)
    }

    /// `None` where the contract has no room for it: a value that is not finite has no meaning to the host.
    pub(crate) fn into_wire(self) -> Option<types::Metric> {
        if !self.value.is_finite() {
            return None;
        }
        Some(types::Metric {
            name: self.name,
            value: self.value,
            unit: self.unit,
            counter: self.counter,
            warning: self.thresholds.warning.map(|range| range.to_string()),
            critical: self.thresholds.critical.map(|range| range.to_string()),
            min: self.min,
            max: self.max,
            labels: self.labels,
        })
    }
}

/// Four significant digits are enough for a sentence.
fn rounded(value: f64) -> String {
    let magnitude = value.abs();
    let decimals = match magnitude {
        m if m >= 1000.0 || m == 0.0 => 0,
        m if m >= 100.0 => 1,
        m if m >= 1.0 => 2,
        m if m >= 0.001 => 4,
        _ => 7,
    };
    let text = format!("{value:.decimals$}");
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complains_in_words_with_its_labels() {
        let metric = Metric::percent("used", 93.456)
            .label("mount", "/var")
            .warning(Range::at_most(90.0));
        assert_eq!(
            metric.complaint().unwrap(),
            "used of /var is 93.46 %, expected at most 90"
        );
        assert_eq!(metric.status(), Status::Warning);
    }

    #[test]
    fn is_content_inside_its_range() {
        assert_eq!(
            Metric::gauge("load", 1.0, "1")
                .warning(Range::at_most(1.0))
                .complaint(),
            None
        );
    }

    #[test]
    fn an_infinite_value_is_left_out() {
        assert!(Metric::gauge("x", f64::INFINITY, "1").into_wire().is_none());
    }

    #[test]
    fn rounds_for_reading() {
        assert_eq!(rounded(12345.6), "12346");
        assert_eq!(rounded(0.01234), "0.0123");
        assert_eq!(rounded(3.0), "3");
        assert_eq!(rounded(100.0), "100");
    }
}
