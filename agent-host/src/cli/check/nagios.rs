//! A result as a Nagios plugin prints it (Nagios plugin development guidelines, §2 and §2.6). What a command printed comes
//! out as it went in.

use std::fmt::Write;

use picket_proto::agent::v1::{CheckResult, Metric, Status};
use picket_sandbox::nagios::{ORIGINAL_LABEL, leading_status, unit};

use crate::runner::convert;

/// `STATUS: summary | perfdata`, then the details. A summary that begins with the status, as commands print it, doesn't get
/// it twice.
pub(super) fn line(result: &CheckResult) -> String {
    // A bar would begin the performance data, a line feed the long output.
    let clean = |text: &str| text.replace('|', "¦");
    let mut text = clean(&result.summary).replace('\n', " ");
    if leading_status(&result.summary).map(convert::status) != Some(result.status()) {
        text = format!("{}: {text}", word(result.status()));
    }
    let perfdata: Vec<String> = result.metrics.iter().map(perfdata).collect();
    if !perfdata.is_empty() {
        // Writing to a String can't fail.
        let _ = write!(text, " | {}", perfdata.join(" "));
    }
    if !result.details.is_empty() {
        let _ = write!(text, "\n{}", clean(&result.details));
    }
    text
}

/// 0 to 3.
pub(super) fn exit_code(status: Status) -> u8 {
    match status {
        Status::Ok => 0,
        Status::Warning => 1,
        Status::Critical => 2,
        Status::Unknown | Status::Unspecified => 3,
    }
}

fn word(status: Status) -> &'static str {
    match status {
        Status::Ok => "OK",
        Status::Warning => "WARNING",
        Status::Critical => "CRITICAL",
        Status::Unknown | Status::Unspecified => "UNKNOWN",
    }
}

fn perfdata(metric: &Metric) -> String {
    let label = label(metric);
    let unit = if metric.counter {
        "c".into()
    } else {
        unit::in_perfdata(&metric.unit)
    };
    let number = |value: Option<f64>| value.map(|value| value.to_string()).unwrap_or_default();
    let text = format!(
        "{label}={}{unit};{};{};{};{}",
        metric.value,
        metric.warning.as_deref().unwrap_or_default(),
        metric.critical.as_deref().unwrap_or_default(),
        number(metric.min),
        number(metric.max),
    );
    text.trim_end_matches(';').to_owned()
}

/// What performance data called it, else its name and what tells it from others.
fn label(metric: &Metric) -> String {
    if let Some(original) = metric.labels.get(ORIGINAL_LABEL) {
        let quoted = original.contains(|char: char| char.is_whitespace() || "'=".contains(char));
        return if quoted {
            format!("'{}'", original.replace('\'', "''"))
        } else {
            original.clone()
        };
    }
    let mut labels: Vec<_> = metric.labels.iter().collect();
    labels.sort();
    let label = labels.iter().fold(metric.name.clone(), |label, (_, value)| {
        format!("{label} {value}")
    });
    // The guidelines forbid `'` and `=` in a label; quotes are needed around spaces.
    let label = label.replace(['\'', '='], "_");
    if label.contains(' ') {
        format!("'{label}'")
    } else {
        label
    }
}

#[cfg(test)]
mod tests {
    use picket_sandbox::nagios::{Exit, parse};
    use picket_sandbox::run::{Limits, Logs, RunOutcome, Usage};
    use proptest::prelude::*;

    use super::*;

    /// Reads what a plugin printed, as a run does.
    fn read(printed: &str, code: u8) -> CheckResult {
        let outcome = RunOutcome {
            result: Ok(parse(printed.as_bytes(), Exit::Code(code)).unwrap()),
            usage: Usage::default(),
            logs: Logs::default(),
            denials: Vec::new(),
            learned: Vec::new(),
            started_at_unix_ms: 0,
        };
        convert::outcome(outcome, &Limits::default())
    }

    #[test]
    fn what_a_command_printed_comes_out_as_it_went_in() {
        for (printed, code) in [
            ("DISK OK - free space: / 3326 MB | /=2643MB;5948;5958;0;5968", 0),
            ("WARNING: slow | time=0.5s;0.2;~:1 'Time offset'=-3ms", 1),
            ("PING CRITICAL - Packet loss = 100%\nmore\nand more", 2),
            (
                "UNKNOWN - usage | octets=12c 'it''s'=1KiB temp(in)=21.5°C load1=0.25;;;0",
                3,
            ),
        ] {
            let result = read(printed, code);
            assert_eq!(line(&result), printed);
            assert_eq!(exit_code(result.status()), code);
        }
    }

    #[test]
    fn a_status_that_the_line_contradicts_goes_before_it() {
        let printed = line(&read("CRITICAL - down", 0));
        assert!(printed.starts_with("OK: CRITICAL - down\n"), "{printed}");
    }

    fn any_metric() -> impl Strategy<Value = Metric> {
        let number = || proptest::option::of(-1e9..1e9_f64);
        let unit = proptest::sample::select(vec!["1", "s", "ms", "us", "%", "By", "kBy", "GiBy", "rpm"]);
        (
            "[a-z][a-z0-9_./:-]{0,20}",
            -1e9..1e9_f64,
            unit,
            any::<bool>(),
            number(),
            number(),
        )
            .prop_map(|(name, value, unit, counter, min, max)| Metric {
                name,
                value,
                unit: if counter { "1" } else { unit }.to_owned(),
                counter,
                warning: Some("@1:2".to_owned()),
                critical: None,
                min,
                max,
                ..Metric::default()
            })
    }

    proptest! {
        #[test]
        fn what_is_printed_reads_back(metrics in proptest::collection::btree_map("[a-z]{1,5}", any_metric(), 0..10)) {
            let metrics: Vec<_> = metrics
                .into_iter()
                .map(|(name, metric)| Metric { name, ..metric })
                .collect();
            let result = CheckResult {
                status: Status::Critical.into(),
                summary: "something is wrong".to_owned(),
                metrics,
                ..CheckResult::default()
            };
            let read = read(&line(&result), 2);
            prop_assert_eq!(read.summary, "CRITICAL: something is wrong");
            prop_assert_eq!(read.metrics, result.metrics);
            prop_assert_eq!(read.details, "");
        }
    }

    #[test]
    fn a_result_is_a_line_that_nagios_reads() {
        let result = CheckResult {
            status: Status::Warning.into(),
            summary: "disk | full".to_owned(),
            metrics: vec![
                Metric {
                    name: "used".to_owned(),
                    value: 91.5,
                    unit: "%".to_owned(),
                    warning: Some("90".to_owned()),
                    critical: Some("95".to_owned()),
                    min: Some(0.0),
                    max: Some(100.0),
                    labels: [("mount".to_owned(), "/var".to_owned())].into(),
                    ..Metric::default()
                },
                Metric {
                    name: "files".to_owned(),
                    value: 3.0,
                    unit: "{file}".to_owned(),
                    ..Metric::default()
                },
            ],
            ..CheckResult::default()
        };
        assert_eq!(
            line(&result),
            "WARNING: disk ¦ full | 'used /var'=91.5%;90;95;0;100 files=3"
        );
        assert_eq!(exit_code(result.status()), 1);
    }
}
