//! From two readings to a report.

use picket_checker_sdk::facts::{CpuFacts, Pressure};
use picket_checker_sdk::prelude::*;

use crate::config::Config;
use crate::usage::{Reading, Shares};

/// More cores than this share the metric limit of a report with nothing else.
const MOST_CORES: usize = 256;

pub(crate) fn report(config: &Config, facts: &CpuFacts, before: &Reading, after: &Reading) -> Report {
    let Some(shares) = Shares::between(&before.total, &after.total) else {
        return Report::unknown(
            "the processors' counters stood still between two readings; run the check again",
        );
    };
    let cores = facts.cores.len().max(1);
    #[expect(
        clippy::cast_precision_loss,
        reason = "a machine has far fewer than 2^52 processors"
    )]
    let per_core = |load: f64| load / cores as f64;
    let summary = format!(
        "{:.1} % busy on {cores} cores, load {:.2} {:.2} {:.2}",
        shares.busy(),
        facts.load1,
        facts.load5,
        facts.load15
    );
    let mut report = Report::ok(summary)
        .metric(Metric::percent("usage", shares.busy()).thresholds(&config.usage))
        .metric(Metric::percent("iowait", shares.iowait()).thresholds(&config.iowait))
        .metric(Metric::percent("steal", shares.steal()).thresholds(&config.steal));
    for (mode, share) in shares.by_mode() {
        report.add_metric(Metric::percent("mode", share).label("mode", mode));
    }
    let loads = [
        ("load1_per_core", facts.load1, &config.load1),
        ("load5_per_core", facts.load5, &config.load5),
        ("load15_per_core", facts.load15, &config.load15),
    ];
    for (name, load, thresholds) in loads {
        report.add_metric(
            Metric::gauge(name, per_core(load), "1")
                .min(0.0)
                .thresholds(thresholds),
        );
    }
    report = report.metric(Metric::gauge("load1", facts.load1, "1").min(0.0));
    add_cores(&mut report, config, before, after);
    match &facts.pressure {
        Some(pressure) => add_pressure(&mut report, config, pressure),
        None if config.pressure != Thresholds::default() => report.add_problem(
            Status::Unknown,
            "this kernel has no pressure information (PSI); leave `pressure` out or boot with psi=1",
        ),
        None => {}
    }
    let modes: serde_json::Map<_, _> = shares
        .by_mode()
        .map(|(mode, share)| (mode.to_owned(), share.into()))
        .collect();
    report.evidence("modes", "Share of time in each mode, in percent", &modes)
}

fn add_cores(report: &mut Report, config: &Config, before: &Reading, after: &Reading) {
    let judged = config.core != Thresholds::default();
    // A core that went on- or offline shifts the others' places.
    if before.cores.len() != after.cores.len() || !(config.per_core || judged) {
        return;
    }
    let pairs = before.cores.iter().zip(&after.cores).take(MOST_CORES).enumerate();
    for (index, (before, after)) in pairs {
        if let Some(shares) = Shares::between(before, after) {
            let metric = Metric::percent("core_usage", shares.busy()).label("core", index.to_string());
            report.add_metric(metric.thresholds(&config.core));
        }
    }
}

fn add_pressure(report: &mut Report, config: &Config, pressure: &Pressure) {
    report.add_metric(Metric::percent("pressure_some_10s", pressure.some_avg10));
    report.add_metric(Metric::percent("pressure_some_60s", pressure.some_avg60).thresholds(&config.pressure));
    report.add_metric(Metric::percent("pressure_some_300s", pressure.some_avg300));
}
