//! The limits of the contract on what checkers say. A report beyond them is refused whole, with the limit that it broke:
//! a report cut to size would say something that its checker didn't.

use std::collections::BTreeSet;

use super::{Descriptor, Metric, Report};

pub(crate) const SUMMARY: usize = 1024;
pub(crate) const DETAILS: usize = 16 << 10;
pub(crate) const METRICS: usize = 512;
pub(crate) const METRIC_NAME: usize = 128;
const METRIC_LABELS: usize = 16;
const LABELS: usize = 32;
const EVIDENCE: usize = 16;
const EVIDENCE_KIND: usize = 64;
const EVIDENCE_BODY: usize = 16 << 10;
const EXTRA: usize = 64;
/// One-line texts: titles, units, ranges, the parts of labels.
pub(crate) const SHORT: usize = 256;
const SCHEMA: usize = 256 << 10;

/// Checks a report.
///
/// # Errors
/// The first limit that it breaks, in words.
pub fn check_report(report: &Report) -> Result<(), String> {
    line("the summary", &report.summary, SUMMARY)?;
    if let Some(details) = &report.details {
        at_most("bytes of details", details.len(), DETAILS)?;
    }
    at_most("metrics", report.metrics.len(), METRICS)?;
    let mut seen = BTreeSet::new();
    for metric in &report.metrics {
        check_metric(metric)?;
        let mut labels: Vec<_> = metric.labels.iter().collect();
        labels.sort();
        if !seen.insert((&metric.name, labels)) {
            return Err(format!(
                "the metric {} occurs twice with the same labels",
                metric.name
            ));
        }
    }
    check_pairs("labels", &report.labels, LABELS)?;
    check_pairs("extra fields", &report.extra, EXTRA)?;
    at_most("pieces of evidence", report.evidence.len(), EVIDENCE)?;
    for evidence in &report.evidence {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let kind = &evidence.kind;
        if !(1..=EVIDENCE_KIND).contains(&kind.len()) || !kind.bytes().all(plain) {
            return Err(format!(
                "an evidence's kind is 1 to {EVIDENCE_KIND} bytes of [a-z0-9-], found {}",
                shown(kind)
            ));
        }
        line("an evidence's title", &evidence.title, SHORT)?;
        at_most("bytes in one evidence", evidence.body.len(), EVIDENCE_BODY)?;
        serde_json::from_str::<serde::de::IgnoredAny>(&evidence.body)
            .map_err(|error| format!("the evidence {kind} isn't JSON: {error}"))?;
    }
    Ok(())
}

fn check_metric(metric: &Metric) -> Result<(), String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_.:/-".contains(&byte);
    let name = &metric.name;
    if !(1..=METRIC_NAME).contains(&name.len()) || !name.bytes().all(plain) {
        return Err(format!(
            "a metric's name is 1 to {METRIC_NAME} bytes of [a-zA-Z0-9_.:/-], found {}",
            shown(name)
        ));
    }
    let numbers = [Some(metric.value), metric.min, metric.max];
    if let Some(number) = numbers.into_iter().flatten().find(|number| !number.is_finite()) {
        return Err(format!(
            "the metric {name} has the value {number}, expected a finite number"
        ));
    }
    line("a metric's unit", &metric.unit, SHORT)?;
    for range in [&metric.warning, &metric.critical].into_iter().flatten() {
        line("a metric's range", range, SHORT)?;
    }
    check_pairs("labels of one metric", &metric.labels, METRIC_LABELS)
}

/// Checks what a checker says of itself.
///
/// # Errors
/// The first rule that it breaks, in words.
pub fn check_descriptor(descriptor: &Descriptor) -> Result<(), String> {
    let name = descriptor.name.as_bytes();
    let plain = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'-';
    let ends = |byte: Option<&u8>| byte.is_some_and(|byte| *byte != b'-');
    if !(1..=40).contains(&name.len()) || !name.iter().all(plain) || !ends(name.first()) || !ends(name.last())
    {
        let found = shown(&descriptor.name);
        return Err(format!(
            "a checker's name is 1 to 40 bytes of [a-z0-9-], with no hyphen at its ends; found {found}"
        ));
    }
    if !is_semver(&descriptor.version) {
        return Err(format!(
            "expected a semantic version such as 1.2.3, found {}",
            shown(&descriptor.version)
        ));
    }
    line("the summary", &descriptor.summary, SUMMARY)?;
    at_most(
        "bytes of configuration schema",
        descriptor.config_schema.len(),
        SCHEMA,
    )?;
    let schema: serde_json::Value = serde_json::from_str(&descriptor.config_schema)
        .map_err(|error| format!("the configuration schema isn't JSON: {error}"))?;
    if !schema.is_object() {
        return Err("the configuration schema isn't a JSON object".to_owned());
    }
    if descriptor.default_interval_ms == 0 || descriptor.default_timeout_ms == 0 {
        return Err("the default interval and timeout are more than 0 ms".to_owned());
    }
    check_pairs("extra fields", &descriptor.extra, EXTRA)
}

/// Semantic Versioning 2.0.0, without its rule about leading zeros in pre-release numbers.
pub(crate) fn is_semver(text: &str) -> bool {
    let (rest, build) = text
        .split_once('+')
        .map_or((text, None), |(rest, build)| (rest, Some(build)));
    let (core, pre) = rest
        .split_once('-')
        .map_or((rest, None), |(core, pre)| (core, Some(pre)));
    let number = |part: &str| {
        !part.is_empty()
            && part.bytes().all(|byte| byte.is_ascii_digit())
            && (part == "0" || !part.starts_with('0'))
    };
    let identifiers = |part: &str| {
        part.split('.').all(|word| {
            !word.is_empty()
                && word
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        })
    };
    text.len() <= 64
        && core.split('.').count() == 3
        && core.split('.').all(number)
        && pre.is_none_or(identifiers)
        && build.is_none_or(identifiers)
}

fn check_pairs(what: &str, pairs: &[(String, String)], limit: usize) -> Result<(), String> {
    at_most(what, pairs.len(), limit)?;
    let mut names = BTreeSet::new();
    for (name, value) in pairs {
        line(&format!("a name among the {what}"), name, SHORT)?;
        line(&format!("a value among the {what}"), value, SUMMARY)?;
        if name.is_empty() || !names.insert(name) {
            return Err(format!(
                "among the {what} {} is empty or occurs twice",
                shown(name)
            ));
        }
    }
    Ok(())
}

fn at_most(what: &str, found: usize, limit: usize) -> Result<(), String> {
    if found > limit {
        Err(format!("{found} {what}, at most {limit} are allowed"))
    } else {
        Ok(())
    }
}

fn line(what: &str, text: &str, limit: usize) -> Result<(), String> {
    if text.len() > limit {
        return Err(format!(
            "{what} has {} bytes, at most {limit} are allowed",
            text.len()
        ));
    }
    if text.contains(char::is_control) {
        return Err(format!("{what} has control characters or more than one line"));
    }
    Ok(())
}

fn shown(text: &str) -> String {
    let start: String = text.chars().take(60).collect();
    format!("{start:?}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Evidence, Status};

    fn metric(name: &str, value: f64) -> Metric {
        Metric {
            name: name.to_owned(),
            value,
            unit: "1".to_owned(),
            counter: false,
            warning: None,
            critical: None,
            min: None,
            max: None,
            labels: Vec::new(),
        }
    }

    fn report() -> Report {
        Report {
            status: Status::Ok,
            summary: "fine".to_owned(),
            details: None,
            metrics: vec![metric("a", 1.0)],
            labels: Vec::new(),
            evidence: Vec::new(),
            extra: Vec::new(),
        }
    }

    fn refused(change: impl FnOnce(&mut Report)) -> String {
        let mut report = report();
        change(&mut report);
        check_report(&report).unwrap_err()
    }

    #[test]
    fn a_plain_report_passes() {
        check_report(&report()).unwrap();
    }

    #[test]
    fn each_limit_names_itself() {
        assert!(refused(|r| r.summary = "x".repeat(1025)).contains("at most 1024"));
        assert!(refused(|r| r.summary = "a\nb".to_owned()).contains("one line"));
        assert!(refused(|r| r.details = Some("x".repeat((16 << 10) + 1))).contains("details"));
        assert!(
            refused(|r| r.metrics = (0..513).map(|n| metric(&format!("m{n}"), 0.0)).collect())
                .contains("512")
        );
        assert!(refused(|r| r.labels = vec![("a".to_owned(), String::new()); 33]).contains("at most 32"));
        assert!(refused(|r| r.labels = vec![("a".to_owned(), String::new()); 2]).contains("twice"));
    }

    #[test]
    fn numbers_are_finite() {
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert!(refused(|r| r.metrics = vec![metric("a", value)]).contains("finite"));
            assert!(refused(|r| r.metrics[0].max = Some(value)).contains("finite"));
        }
    }

    #[test]
    fn a_metric_is_unique_by_name_and_labels_in_any_order() {
        let pair = |a: &str| (a.to_owned(), "x".to_owned());
        let mut first = metric("a", 1.0);
        first.labels = vec![pair("x"), pair("y")];
        let mut second = metric("a", 2.0);
        second.labels = vec![pair("y"), pair("x")];
        assert!(refused(|r| r.metrics = vec![first.clone(), second]).contains("twice"));
        let mut fine = report();
        fine.metrics = vec![first, metric("a", 2.0)];
        check_report(&fine).unwrap();
    }

    #[test]
    fn evidence_is_json_of_a_plain_kind() {
        let evidence = |kind: &str, body: &str| Evidence {
            kind: kind.to_owned(),
            title: "t".to_owned(),
            body: body.to_owned(),
        };
        assert!(refused(|r| r.evidence = vec![evidence("phases", "{")]).contains("JSON"));
        assert!(refused(|r| r.evidence = vec![evidence("Phases", "{}")]).contains("kind"));
        assert!(
            refused(|r| r.evidence = vec![evidence("a", &"9".repeat((16 << 10) + 1))]).contains("evidence")
        );
    }

    #[test]
    fn versions_are_semantic() {
        for good in ["0.1.0", "1.2.3-rc.1+build.5"] {
            assert!(is_semver(good), "{good}");
        }
        for bad in ["", "1", "1.2", "01.2.3", "1.2.3-", "1.2.3+", "v1.2.3", "1.2.3.4"] {
            assert!(!is_semver(bad), "{bad}");
        }
    }
}
