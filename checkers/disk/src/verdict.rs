//! From file systems to a report.

use picket_checker_sdk::facts::FileSystem;
use picket_checker_sdk::prelude::*;
use serde_json::json;

use crate::config::Config;
use crate::selection::matches;
use crate::trend::History;

/// A report holds 512 metrics, and a file system has up to six.
const MOST_WITH_METRICS: usize = 80;

pub(crate) fn report(config: &Config, systems: &[&FileSystem], history: &History, now_s: u64) -> Report {
    let mut report = Report::ok(summary(systems));
    if systems.is_empty() {
        let text = "no mounted file system matches; see `mounts`, `types` and their exclusions";
        report.add_problem(Status::Unknown, text);
    }
    for missing in missing_mounts(config, systems) {
        report.add_problem(Status::Critical, format!("{missing} is not mounted"));
    }
    for (index, system) in systems.iter().enumerate() {
        add_writability(&mut report, config, system, history);
        if index < MOST_WITH_METRICS {
            add_metrics(&mut report, config, system, history, now_s);
        }
    }
    if systems.len() > MOST_WITH_METRICS {
        report.add_problem(
            Status::Unknown,
            format!(
                "{} file systems match, more than {MOST_WITH_METRICS}; select fewer with `mounts`",
                systems.len()
            ),
        );
    }
    report.evidence("file-systems", "Selected file systems", &evidence(systems))
}

fn summary(systems: &[&FileSystem]) -> String {
    let fullest = systems
        .iter()
        .map(|system| (used_percent(system), system))
        .max_by(|a, b| a.0.total_cmp(&b.0));
    match fullest {
        Some((percent, system)) => {
            format!(
                "{} file systems, fullest {} with {percent:.1} % used",
                systems.len(),
                system.mount
            )
        }
        None => "no file systems".to_owned(),
    }
}

/// Mount points that the configuration names in full and that aren't there.
fn missing_mounts<'a>(config: &'a Config, systems: &[&FileSystem]) -> Vec<&'a str> {
    let named = config
        .mounts
        .iter()
        .chain(config.mount.keys())
        .chain(&config.writable);
    let mut missing: Vec<&str> = named
        .map(String::as_str)
        .filter(|mount| !mount.contains('*') && systems.iter().all(|system| system.mount != *mount))
        .collect();
    missing.sort_unstable();
    missing.dedup();
    missing
}

fn add_writability(report: &mut Report, config: &Config, system: &FileSystem, history: &History) {
    if !system.read_only {
        return;
    }
    if history.was_writable(&system.mount) {
        report.add_problem(
            Status::Critical,
            format!("{} was remounted read-only", system.mount),
        );
    } else if config
        .writable
        .iter()
        .any(|pattern| matches(pattern, &system.mount))
    {
        report.add_problem(
            Status::Critical,
            format!("{} is read-only, expected writable", system.mount),
        );
    }
}

fn add_metrics(report: &mut Report, config: &Config, system: &FileSystem, history: &History, now_s: u64) {
    let limits = config.limits(&system.mount);
    let of = |metric: Metric| metric.label("mount", &system.mount);
    let usable = as_f64(usable(system));
    report.add_metric(of(
        Metric::percent("used", used_percent(system)).thresholds(&limits.used)
    ));
    let free = Metric::gauge("free_bytes", as_f64(system.available), "By")
        .min(0.0)
        .max(usable);
    report.add_metric(of(free.thresholds(&limits.free_bytes)));
    report.add_metric(of(Metric::gauge("size_bytes", as_f64(system.size), "By").min(0.0)));
    // btrfs and others have no fixed number of inodes and say zero.
    if system.inodes > 0 {
        let used = as_f64(system.inodes.saturating_sub(system.inodes_free)) / as_f64(system.inodes) * 100.0;
        report.add_metric(of(Metric::percent("inodes_used", used).thresholds(&limits.inodes)));
        let free = Metric::gauge("inodes_free", as_f64(system.inodes_free), "{inode}").min(0.0);
        report.add_metric(of(free.max(as_f64(system.inodes))));
    }
    if let Some(hours) = history.hours_to_full(system, now_s) {
        report.add_metric(of(Metric::gauge("hours_to_full", hours, "h")
            .min(0.0)
            .thresholds(&limits.hours_to_full)));
    }
}

/// What an ordinary user can have at all: what is used and what is available to them, without root's reserve.
fn usable(system: &FileSystem) -> u64 {
    used(system).saturating_add(system.available)
}

fn used(system: &FileSystem) -> u64 {
    system.size.saturating_sub(system.free)
}

/// As `df` counts.
fn used_percent(system: &FileSystem) -> f64 {
    match usable(system) {
        0 => 0.0,
        usable => as_f64(used(system)) / as_f64(usable) * 100.0,
    }
}

fn evidence(systems: &[&FileSystem]) -> serde_json::Value {
    let rows = systems.iter().take(MOST_WITH_METRICS).map(|system| {
        json!({
            "mount": system.mount, "device": system.device, "type": system.kind, "size": system.size,
            "available": system.available, "read_only": system.read_only,
        })
    });
    serde_json::Value::Array(rows.collect())
}

#[expect(
    clippy::cast_precision_loss,
    reason = "exact up to 8 PiB, and a rounded byte beyond is none missed"
)]
fn as_f64(value: u64) -> f64 {
    value as f64
}
