//! The memory checker: what is available, how far swap is used, how long tasks stall, and whom the kernel killed.

use picket_checker_sdk::facts::{MemoryFacts, Pressure};
use picket_checker_sdk::prelude::*;
use serde::Serialize;

/// Where the counter of the last run is kept.
const STATE_KEY: &str = "oom";

/// Memory, swap, pressure, and processes killed for lack of memory.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(inline)]
struct Config {
    /// Memory that can be had without swapping, in percent of all; `10:` alerts below ten percent.
    available: Thresholds,
    /// The same in bytes.
    available_bytes: Thresholds,
    /// Used swap space, in percent of all.
    swap: Thresholds,
    /// Share of the last minute in which some task waited for memory (PSI), in percent.
    pressure: Thresholds,
    /// Processes that the kernel killed for lack of memory since the last run.
    oom_kills: Thresholds,
}

impl Default for Config {
    fn default() -> Self {
        // A killed process is worth a look unless an operator says otherwise.
        let oom_kills = Thresholds::new(Some(Range::at_most(0.0)), None);
        let none = Thresholds::default();
        Self {
            available: none,
            available_bytes: none,
            swap: none,
            pressure: none,
            oom_kills,
        }
    }
}

impl Needs for Config {
    fn needs(&self) -> Vec<Need> {
        vec![Need::host_facts("memory", "to read memory, swap and pressure")]
    }
}

/// The kernel's counter at the last run.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    oom_kills: u64,
}

#[checker(
    name = "memory",
    summary = "Available memory, swap, pressure and processes killed for lack of memory",
    interval = "30s",
    timeout = "5s"
)]
fn run(ctx: &mut Context, config: Config) -> Result<Report, Error> {
    let facts = ctx.memory()?;
    if facts.total == 0 {
        return Ok(Report::unknown("the host says that it has no memory at all"));
    }
    let mut report = usage(&config, &facts);
    add_swap(&mut report, &config, &facts);
    match &facts.pressure {
        Some(pressure) => add_pressure(&mut report, &config, pressure),
        None if config.pressure != Thresholds::default() => report.add_problem(
            Status::Unknown,
            "this kernel has no pressure information (PSI); leave `pressure` out or boot with psi=1",
        ),
        None => {}
    }
    if let Some(total) = facts.oom_kills {
        let before = ctx.state::<Kept>(STATE_KEY);
        let killed = before.map_or(0, |kept| killed_since(kept.oom_kills, total));
        report.add_metric(count("oom_kills", killed).thresholds(&config.oom_kills));
        report.add_metric(Metric::counter("oom_kills_total", as_f64(total), "{process}").min(0.0));
        ctx.set_state(STATE_KEY, &Kept { oom_kills: total });
    }
    Ok(report)
}

/// A counter below its last value was reset by a reboot: all that it counts is new.
fn killed_since(before: u64, now: u64) -> u64 {
    now.checked_sub(before).unwrap_or(now)
}

fn usage(config: &Config, facts: &MemoryFacts) -> Report {
    let total = as_f64(facts.total);
    let available = as_f64(facts.available.min(facts.total));
    let percent = available / total * 100.0;
    let summary = format!("{percent:.1} % of {} available", readable(facts.total));
    let bytes = |name: &str, value: u64| Metric::gauge(name, as_f64(value), "By").min(0.0).max(total);
    Report::ok(summary)
        .metric(Metric::percent("available", percent).thresholds(&config.available))
        .metric(bytes("available_bytes", facts.available).thresholds(&config.available_bytes))
        .metric(Metric::percent("used", 100.0 - percent))
        .metric(bytes("free_bytes", facts.free))
        .metric(bytes("buffers_bytes", facts.buffers))
        .metric(bytes("cached_bytes", facts.cached))
        .metric(Metric::gauge("total_bytes", total, "By").min(0.0))
        .evidence(
            "memory",
            "Memory and swap in bytes",
            &serde_json::json!({
                "total": facts.total, "available": facts.available, "free": facts.free,
                "buffers": facts.buffers, "cached": facts.cached,
                "swap_total": facts.swap_total, "swap_free": facts.swap_free,
            }),
        )
}

fn add_swap(report: &mut Report, config: &Config, facts: &MemoryFacts) {
    // Without swap space none of it is used, and a threshold on it holds.
    let used = facts.swap_total.saturating_sub(facts.swap_free);
    let percent = if facts.swap_total == 0 {
        0.0
    } else {
        as_f64(used) / as_f64(facts.swap_total) * 100.0
    };
    report.add_metric(Metric::percent("swap_used", percent).thresholds(&config.swap));
    report.add_metric(
        Metric::gauge("swap_used_bytes", as_f64(used), "By")
            .min(0.0)
            .max(as_f64(facts.swap_total)),
    );
}

fn add_pressure(report: &mut Report, config: &Config, pressure: &Pressure) {
    report.add_metric(Metric::percent("pressure_some_10s", pressure.some_avg10));
    report.add_metric(Metric::percent("pressure_some_60s", pressure.some_avg60).thresholds(&config.pressure));
    report.add_metric(Metric::percent("pressure_full_60s", pressure.full_avg60));
}

fn count(name: &str, value: u64) -> Metric {
    Metric::gauge(name, as_f64(value), "{process}").min(0.0)
}

#[expect(
    clippy::cast_precision_loss,
    reason = "exact up to 8 PiB, and a rounded byte beyond is none missed"
)]
fn as_f64(value: u64) -> f64 {
    value as f64
}

/// Bytes in the largest unit that leaves a number of at least one.
fn readable(bytes: u64) -> String {
    let mut value = as_f64(bytes);
    let mut unit = "B";
    for larger in ["KiB", "MiB", "GiB", "TiB"] {
        if value < 1024.0 {
            break;
        }
        value /= 1024.0;
        unit = larger;
    }
    format!("{value:.1} {unit}")
}

#[cfg(test)]
mod tests;
