//! What an operator writes.

use picket_checker_sdk::prelude::*;

/// Processor usage by mode and core, load and pressure.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(inline)]
pub(crate) struct Config {
    /// Share of time that all processors together were at work, in percent.
    pub(crate) usage: Thresholds,
    /// The same for each processor by itself, in percent.
    pub(crate) core: Thresholds,
    /// Share of time spent waiting for disks, in percent.
    pub(crate) iowait: Thresholds,
    /// Share of time that the hypervisor gave to others, in percent.
    pub(crate) steal: Thresholds,
    /// Load average over one minute, divided by the number of processors.
    pub(crate) load1: Thresholds,
    /// Load average over five minutes, divided by the number of processors.
    pub(crate) load5: Thresholds,
    /// Load average over fifteen minutes, divided by the number of processors.
    pub(crate) load15: Thresholds,
    /// Share of the last minute in which some task waited for a processor (PSI), in percent.
    pub(crate) pressure: Thresholds,
    /// Whether each processor gets metrics of its own.
    pub(crate) per_core: bool,
    /// How long the first run measures, which has no earlier reading to compare with.
    pub(crate) sample: Period,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            usage: Thresholds::default(),
            core: Thresholds::default(),
            iowait: Thresholds::default(),
            steal: Thresholds::default(),
            load1: Thresholds::default(),
            load5: Thresholds::default(),
            load15: Thresholds::default(),
            pressure: Thresholds::default(),
            per_core: true,
            sample: Period::from_secs(1),
        }
    }
}

impl Needs for Config {
    fn needs(&self) -> Vec<Need> {
        vec![Need::host_facts(
            "cpu",
            "to read processor times, load and pressure",
        )]
    }
}
