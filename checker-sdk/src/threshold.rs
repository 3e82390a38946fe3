//! Alert ranges in the syntax of the Nagios plugin guidelines ("Threshold and Ranges").
//!
//! | text | alerts where the value is |
//! |---|---|
//! | `10` | below 0 or above 10 |
//! | `10:` | below 10 |
//! | `~:10` | above 10 |
//! | `10:20` | below 10 or above 20 |
//! | `@10:20` | from 10 to 20, both included |

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde::{Serialize, Serializer};

use crate::Status;

/// One alert range.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Range {
    start: f64,
    end: f64,
    inside: bool,
}

/// Why a text is no range.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RangeError {
    /// Nothing there.
    #[error("expected an alert range such as `90`, `10:`, `~:90`, `10:20` or `@10:20`; found nothing")]
    Empty,
    /// A bound that is no finite number.
    #[error("expected a number in the alert range `{range}`; found `{bound}`")]
    NotANumber {
        /// The whole text.
        range: String,
        /// The part that isn't a number.
        bound: String,
    },
    /// The start lies above the end.
    #[error("the alert range `{range}` starts above its end; write the lower bound first")]
    Reversed {
        /// The whole text.
        range: String,
    },
}

impl Range {
    /// Alerts outside `start..=end`; infinite bounds are open.
    #[must_use]
    pub fn outside(start: f64, end: f64) -> Self {
        Self {
            start,
            end,
            inside: false,
        }
    }

    /// Alerts below `least`.
    #[must_use]
    pub fn at_least(least: f64) -> Self {
        Self::outside(least, f64::INFINITY)
    }

    /// Alerts above `most`, and not below zero as a bare `most` does.
    #[must_use]
    pub fn at_most(most: f64) -> Self {
        Self::outside(f64::NEG_INFINITY, most)
    }

    /// Whether `value` raises the alert. What is not a number always does: it can't be seen to be right.
    #[must_use]
    pub fn alerts(&self, value: f64) -> bool {
        if value.is_nan() {
            return true;
        }
        let within = self.start <= value && value <= self.end;
        within == self.inside
    }

    /// The lower bound; minus infinity where there is none.
    #[must_use]
    pub fn start(&self) -> f64 {
        self.start
    }

    /// The upper bound; infinity where there is none.
    #[must_use]
    pub fn end(&self) -> f64 {
        self.end
    }

    /// What a value has to be to raise no alert, in words: `at most 90`.
    #[must_use]
    pub fn in_words(&self) -> String {
        let Self { start, end, inside } = *self;
        let open_start = start == f64::NEG_INFINITY;
        let open_end = end == f64::INFINITY;
        match (inside, open_start, open_end) {
            (false, true, true) => "anything".to_owned(),
            (false, true, false) => format!("at most {end}"),
            (false, false, true) => format!("at least {start}"),
            (false, false, false) if start == 0.0 => format!("at most {end}"),
            (false, false, false) => format!("from {start} to {end}"),
            (true, true, true) => "nothing".to_owned(),
            (true, true, false) => format!("above {end}"),
            (true, false, true) => format!("below {start}"),
            (true, false, false) => format!("below {start} or above {end}"),
        }
    }
}

impl FromStr for Range {
    type Err = RangeError;

    fn from_str(text: &str) -> Result<Self, RangeError> {
        let trimmed = text.trim();
        let (inside, bounds) = match trimmed.strip_prefix('@') {
            Some(rest) => (true, rest),
            None => (false, trimmed),
        };
        if bounds.is_empty() {
            return Err(RangeError::Empty);
        }
        let number = |bound: &str| {
            bound
                .parse::<f64>()
                .ok()
                .filter(|number| number.is_finite())
                .ok_or_else(|| RangeError::NotANumber {
                    range: text.to_owned(),
                    bound: bound.to_owned(),
                })
        };
        let (start, end) = match bounds.split_once(':') {
            None => (0.0, number(bounds)?),
            Some((start, end)) => {
                let start = match start {
                    "" => 0.0,
                    "~" => f64::NEG_INFINITY,
                    bound => number(bound)?,
                };
                let end = if end.is_empty() {
                    f64::INFINITY
                } else {
                    number(end)?
                };
                (start, end)
            }
        };
        if start > end {
            return Err(RangeError::Reversed {
                range: text.to_owned(),
            });
        }
        Ok(Self { start, end, inside })
    }
}

impl fmt::Display for Range {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.inside {
            formatter.write_str("@")?;
        }
        let plain = self.start == 0.0 && self.end.is_finite();
        if !plain {
            if self.start == f64::NEG_INFINITY {
                formatter.write_str("~:")?;
            } else {
                write!(formatter, "{}:", self.start)?;
            }
        }
        if self.end.is_finite() {
            write!(formatter, "{}", self.end)?;
        }
        Ok(())
    }
}

impl Serialize for Range {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Range {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RangeVisitor)
    }
}

struct RangeVisitor;

impl Visitor<'_> for RangeVisitor {
    type Value = Range;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an alert range such as `90`, `10:`, `~:90`, `10:20` or `@10:20`")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Range, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Range, E> {
        number.to_string().parse().map_err(E::custom)
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Range, E> {
        number.to_string().parse().map_err(E::custom)
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<Range, E> {
        number.to_string().parse().map_err(E::custom)
    }
}

impl JsonSchema for Range {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Range".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["string", "number"],
            "examples": ["90", "10:", "~:90", "10:20", "@10:20"],
        })
    }
}

/// The two ranges that most numbers of a configuration have.
#[derive(Debug, Clone, Copy, Default, PartialEq, serde::Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
pub struct Thresholds {
    /// Alert range for `warning`, in Nagios syntax.
    pub warning: Option<Range>,
    /// Alert range for `critical`, in Nagios syntax.
    pub critical: Option<Range>,
}

impl Thresholds {
    /// Both ranges.
    #[must_use]
    pub fn new(warning: Option<Range>, critical: Option<Range>) -> Self {
        Self { warning, critical }
    }

    /// What `value` means: critical wins.
    #[must_use]
    pub fn judge(&self, value: f64) -> Status {
        if self.critical.is_some_and(|range| range.alerts(value)) {
            Status::Critical
        } else if self.warning.is_some_and(|range| range.alerts(value)) {
            Status::Warning
        } else {
            Status::Ok
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn range(text: &str) -> Range {
        text.parse().unwrap()
    }

    #[test]
    fn a_bare_number_alerts_below_zero_and_above_it() {
        let range = range("10");
        assert!(range.alerts(-0.1) && range.alerts(10.1));
        assert!(!range.alerts(0.0) && !range.alerts(10.0));
    }

    #[test]
    fn an_open_end_alerts_only_below() {
        assert!(range("10:").alerts(9.9));
        assert!(!range("10:").alerts(1e300));
    }

    #[test]
    fn a_tilde_opens_the_start() {
        assert!(!range("~:10").alerts(-1e300));
        assert!(range("~:10").alerts(10.1));
    }

    #[test]
    fn an_at_sign_alerts_inside_with_both_ends() {
        let range = range("@10:20");
        assert!(range.alerts(10.0) && range.alerts(20.0) && range.alerts(15.0));
        assert!(!range.alerts(9.9) && !range.alerts(20.1));
    }

    #[test]
    fn an_empty_start_is_zero() {
        assert_eq!(range(":10"), range("10"));
    }

    #[test]
    fn what_is_not_a_number_always_alerts() {
        for text in ["10", "~:", "@10:20"] {
            assert!(range(text).alerts(f64::NAN), "{text}");
        }
    }

    #[test]
    fn refuses_what_is_no_range() {
        for text in [
            "", "@", "ten", "1:2:3", "20:10", "inf", "nan:", "~", "10%", "1 : 2",
        ] {
            assert!(text.parse::<Range>().is_err(), "{text}");
        }
        assert_eq!(
            "20:10".parse::<Range>(),
            Err(RangeError::Reversed {
                range: "20:10".to_owned()
            })
        );
    }

    #[test]
    fn critical_wins_over_warning() {
        let thresholds = Thresholds::new(Some(range("80")), Some(range("90")));
        assert_eq!(thresholds.judge(70.0), Status::Ok);
        assert_eq!(thresholds.judge(85.0), Status::Warning);
        assert_eq!(thresholds.judge(95.0), Status::Critical);
    }

    #[test]
    fn a_configuration_may_hold_a_number_or_a_text() {
        let thresholds: Thresholds =
            serde_json::from_str(r#"{"warning": 80, "critical": "~:90.5"}"#).unwrap();
        assert_eq!(
            thresholds,
            Thresholds::new(Some(range("80")), Some(range("~:90.5")))
        );
    }

    #[test]
    fn says_in_words_what_is_right() {
        assert_eq!(range("90").in_words(), "at most 90");
        assert_eq!(range("14:").in_words(), "at least 14");
        assert_eq!(range("@1:2").in_words(), "below 1 or above 2");
    }

    fn any_range() -> impl Strategy<Value = Range> {
        let finite = || -1e12..1e12_f64;
        (finite(), finite(), any::<bool>(), any::<bool>(), any::<bool>()).prop_map(
            |(a, b, open_start, open_end, inside)| Range {
                start: if open_start { f64::NEG_INFINITY } else { a.min(b) },
                end: if open_end { f64::INFINITY } else { a.max(b) },
                inside,
            },
        )
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(range in any_range()) {
            prop_assert_eq!(range.to_string().parse::<Range>(), Ok(range));
        }

        #[test]
        fn an_at_sign_turns_the_answer_round(range in any_range(), value in -1e13..1e13_f64) {
            let turned = Range { inside: !range.inside, ..range };
            prop_assert_ne!(range.alerts(value), turned.alerts(value));
        }

        #[test]
        fn no_text_breaks_the_parser(text in ".{0,40}") {
            let _ = text.parse::<Range>();
        }
    }
}
