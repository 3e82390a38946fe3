//! The metrics of single checks, in the text format of Prometheus (exposition format 0.0.4).
//!
//! Rendered from the checks' own meters at each scrape rather than recorded: the series of a check that is removed go with
//! it, so that there are never more of them than checks.

use std::collections::BTreeMap;
use std::fmt::Write;

use picket_identity::name::CheckName;

use crate::runner::convert::status_word;
use crate::runner::meter::{Meter, STATUSES};

/// One number of each check.
struct Family {
    name: &'static str,
    kind: &'static str,
    help: &'static str,
    value: fn(&Meter) -> f64,
}

const FAMILIES: &[Family] = &[
    Family {
        name: "picket_agent_check_cpu_seconds_total",
        kind: "counter",
        help: "CPU time of a check's runs.",
        value: |meter| seconds(meter.total.cpu_us),
    },
    Family {
        name: "picket_agent_check_wall_seconds_total",
        kind: "counter",
        help: "Wall time of a check's runs, without waiting for a place to run in.",
        value: |meter| seconds(meter.total.wall_us),
    },
    Family {
        name: "picket_agent_check_skipped_runs_total",
        kind: "counter",
        help: "Runs of a check that didn't happen, because the last one still ran, the machine slept, or its checker crashes.",
        value: |meter| meter.skipped as f64,
    },
    Family {
        name: "picket_agent_check_host_calls_total",
        kind: "counter",
        help: "Calls of host interfaces by a check's runs.",
        value: |meter| meter.total.host_calls as f64,
    },
    Family {
        name: "picket_agent_check_sent_bytes_total",
        kind: "counter",
        help: "Bytes that a check's runs sent.",
        value: |meter| meter.total.bytes_sent as f64,
    },
    Family {
        name: "picket_agent_check_received_bytes_total",
        kind: "counter",
        help: "Bytes that a check's runs received.",
        value: |meter| meter.total.bytes_received as f64,
    },
    Family {
        name: "picket_agent_check_memory_bytes",
        kind: "gauge",
        help: "Peak memory of a check's newest run.",
        value: |meter| meter.last.peak_memory_bytes as f64,
    },
    Family {
        name: "picket_agent_check_memory_max_bytes",
        kind: "gauge",
        help: "Highest peak memory of a check's runs.",
        value: |meter| meter.total.peak_memory_bytes as f64,
    },
    Family {
        name: "picket_agent_check_lateness_seconds",
        kind: "gauge",
        help: "From when a check's newest run was due to when it started, with waiting for a place to run in.",
        value: |meter| seconds(meter.late_ms.saturating_mul(1_000)),
    },
    Family {
        name: "picket_agent_check_lateness_max_seconds",
        kind: "gauge",
        help: "The longest of a check's lateness.",
        value: |meter| seconds(meter.most_late_ms.saturating_mul(1_000)),
    },
    Family {
        name: "picket_agent_check_crashed_runs",
        kind: "gauge",
        help: "Runs in a row, up to the newest, in which a check's checker crashed; from three on its runs are put apart.",
        value: |meter| f64::from(meter.course.health().crashes_in_row()),
    },
];

/// Writes every check's metrics, after what is there.
pub(crate) fn render(text: &mut String, meters: &BTreeMap<CheckName, Meter>) {
    if meters.is_empty() {
        return;
    }
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    runs(text, meters);
    for family in FAMILIES {
        head(text, family.name, family.kind, family.help);
        for (check, meter) in meters {
            // Writing to a String can't fail.
            let _ = writeln!(
                text,
                "{}{{{}}} {}",
                family.name,
                labels(check, meter),
                (family.value)(meter)
            );
        }
    }
}

fn runs(text: &mut String, meters: &BTreeMap<CheckName, Meter>) {
    let name = "picket_agent_check_runs_total";
    head(text, name, "counter", "Runs of a check, by status.");
    for (check, meter) in meters {
        for (status, count) in STATUSES.into_iter().zip(meter.runs) {
            let (labels, status) = (labels(check, meter), status_word(status));
            let _ = writeln!(text, "{name}{{{labels},status=\"{status}\"}} {count}");
        }
    }
}

fn head(text: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

fn labels(check: &CheckName, meter: &Meter) -> String {
    format!("check=\"{check}\",checker=\"{}\"", escaped(&meter.checker))
}

/// A label's value: backslash, quote and line feed are escaped.
fn escaped(value: &str) -> String {
    value
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

fn seconds(micros: u64) -> f64 {
    std::time::Duration::from_micros(micros).as_secs_f64()
}

#[cfg(test)]
mod tests {
    use picket_proto::agent::v1::Usage;

    use super::*;

    fn rendered(checker: &str) -> String {
        let meter = Meter {
            checker: checker.to_owned(),
            runs: [3, 0, 0, 1],
            total: Usage {
                cpu_us: 1_500_000,
                ..Usage::default()
            },
            ..Meter::default()
        };
        let mut text = "before 1".to_owned();
        render(&mut text, &BTreeMap::from([("web".parse().unwrap(), meter)]));
        text
    }

    #[test]
    fn each_check_has_its_series_with_its_checker() {
        let text = rendered("http");
        for line in [
            "# TYPE picket_agent_check_runs_total counter",
            "picket_agent_check_runs_total{check=\"web\",checker=\"http\",status=\"ok\"} 3",
            "picket_agent_check_runs_total{check=\"web\",checker=\"http\",status=\"unknown\"} 1",
            "picket_agent_check_cpu_seconds_total{check=\"web\",checker=\"http\"} 1.5",
            "picket_agent_check_memory_bytes{check=\"web\",checker=\"http\"} 0",
        ] {
            assert!(
                text.lines().any(|found| found == line),
                "{line} is not in\n{text}"
            );
        }
        assert!(text.starts_with("before 1\n# HELP ") && text.ends_with('\n'));
    }

    #[test]
    fn names_follow_the_convention_and_come_once() {
        let text = rendered("http");
        let families: Vec<_> = text
            .lines()
            .filter_map(|line| line.strip_prefix("# TYPE "))
            .collect();
        assert_eq!(families.len(), FAMILIES.len() + 1);
        for family in families {
            let (name, kind) = family.split_once(' ').unwrap();
            assert!(name.starts_with("picket_agent_check_"), "{name}");
            assert_eq!(name.ends_with("_total"), kind == "counter", "{name} is a {kind}");
            assert_eq!(text.matches(&format!("# TYPE {name} ")).count(), 1);
        }
    }

    #[test]
    fn a_checkers_name_cant_break_out_of_its_label() {
        let text = rendered("a\"} 1\nx\\");
        assert!(text.contains("checker=\"a\\\"} 1\\nx\\\\\"}"), "{text}");
    }
}
