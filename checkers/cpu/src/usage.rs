//! The arithmetic between two readings of the processors' counters.

use picket_checker_sdk::facts::{CpuFacts, CpuTimes};
use serde::{Deserialize, Serialize};

/// The names of the modes, in the order of [`modes`].
pub(crate) const MODES: [&str; 8] = [
    "user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal",
];

/// Seconds in each mode.
pub(crate) type Seconds = [f64; 8];

/// One reading of the counters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Reading {
    pub(crate) total: Seconds,
    pub(crate) cores: Vec<Seconds>,
}

/// The share of time in each mode between two readings, in percent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Shares([f64; 8]);

impl From<&CpuFacts> for Reading {
    fn from(facts: &CpuFacts) -> Self {
        Self {
            total: modes(&facts.total),
            cores: facts.cores.iter().map(modes).collect(),
        }
    }
}

fn modes(times: &CpuTimes) -> Seconds {
    [
        times.user_s,
        times.nice_s,
        times.system_s,
        times.idle_s,
        times.iowait_s,
        times.irq_s,
        times.softirq_s,
        times.steal_s,
    ]
}

impl Reading {
    /// Whether this reading can be a later one of the same boot. The kernel lets single modes (iowait, idle) run back a
    /// little, so the sum decides.
    pub(crate) fn follows(&self, earlier: &Self) -> bool {
        let sum = |seconds: &Seconds| seconds.iter().sum::<f64>();
        sum(&self.total) > sum(&earlier.total)
    }
}

impl Shares {
    /// `None` where no time went by.
    pub(crate) fn between(before: &Seconds, after: &Seconds) -> Option<Self> {
        let mut spent = [0.0; 8];
        for (spent, (before, after)) in spent.iter_mut().zip(before.iter().zip(after)) {
            *spent = (after - before).max(0.0);
        }
        let total: f64 = spent.iter().sum();
        (total > 0.0).then(|| Self(spent.map(|seconds| seconds / total * 100.0)))
    }

    /// Mode names with their share.
    pub(crate) fn by_mode(&self) -> impl Iterator<Item = (&'static str, f64)> {
        MODES.into_iter().zip(self.0)
    }

    /// The share of all modes but idle and iowait: the processor was at work, or kept from it by its hypervisor.
    pub(crate) fn busy(&self) -> f64 {
        let [user, nice, system, _, _, irq, softirq, steal] = self.0;
        user + nice + system + irq + softirq + steal
    }

    pub(crate) fn iowait(&self) -> f64 {
        self.0[4]
    }

    pub(crate) fn steal(&self) -> f64 {
        self.0[7]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_add_up_to_a_hundred() {
        let shares = Shares::between(&[0.0; 8], &[1.0, 0.0, 1.0, 6.0, 1.0, 0.0, 0.0, 1.0]).unwrap();
        assert!((shares.by_mode().map(|(_, share)| share).sum::<f64>() - 100.0).abs() < 1e-9);
        assert!((shares.busy() - 30.0).abs() < 1e-9);
        assert!((shares.iowait() - 10.0).abs() < 1e-9);
        assert!((shares.steal() - 10.0).abs() < 1e-9);
    }

    #[test]
    fn a_mode_that_runs_back_counts_as_nothing() {
        let before = [5.0; 8];
        let mut after = [6.0; 8];
        after[4] = 4.0;
        assert_eq!(Shares::between(&before, &after).unwrap().iowait(), 0.0);
    }

    #[test]
    fn no_time_gives_no_shares() {
        assert_eq!(Shares::between(&[1.0; 8], &[1.0; 8]), None);
    }

    #[test]
    fn a_reading_after_a_reboot_does_not_follow() {
        let old = Reading {
            total: [100.0; 8],
            cores: Vec::new(),
        };
        let new = Reading {
            total: [1.0; 8],
            cores: Vec::new(),
        };
        assert!(!new.follows(&old) && old.follows(&new));
    }
}
