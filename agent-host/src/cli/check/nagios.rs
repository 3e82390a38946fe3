//! A result as a Nagios plugin prints it (Nagios plugin development guidelines, §2 and §2.6).

use std::fmt::Write;

use picket_proto::agent::v1::{CheckResult, Metric, Status};

/// `STATUS: summary | perfdata`, then the details.
pub(super) fn line(result: &CheckResult) -> String {
    // A bar would begin the performance data, a line feed the long output.
    let clean = |text: &str| text.replace('|', "¦");
    let mut text = format!(
        "{}: {}",
        word(result.status()),
        clean(&result.summary).replace('\n', " ")
    );
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
    let mut labels: Vec<_> = metric.labels.iter().collect();
    labels.sort();
    let label = labels.iter().fold(metric.name.clone(), |label, (_, value)| {
        format!("{label} {value}")
    });
    // The guidelines forbid `'` and `=` in a label; quotes are needed around spaces.
    let label = label.replace(['\'', '='], "_");
    let label = if label.contains(' ') {
        format!("'{label}'")
    } else {
        label
    };
    let unit = match metric.unit.as_str() {
        _ if metric.counter => "c",
        "s" | "ms" | "us" | "%" => metric.unit.as_str(),
        "By" => "B",
        _ => "",
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

#[cfg(test)]
mod tests {
    use super::*;

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
