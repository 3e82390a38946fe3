//! CPU and wall time of a round, by run.

use std::time::Instant;

use crate::process::{children_cpu, own_cpu};
use crate::rows::median;

/// From where it was made on.
pub(crate) struct Meter {
    began: Instant,
    cpu_s: f64,
}

/// What one run of a round took.
#[derive(Clone, Copy)]
pub(crate) struct Cost {
    /// CPU of this process and of the children that have ended, user and system.
    pub(crate) cpu_us: f64,
    pub(crate) wall_us: f64,
}

impl Meter {
    pub(crate) fn start() -> anyhow::Result<Self> {
        Ok(Self {
            began: Instant::now(),
            cpu_s: cpu_s()?,
        })
    }

    pub(crate) fn stop(self, runs: u32) -> anyhow::Result<Cost> {
        let each = |seconds: f64| seconds * 1e6 / f64::from(runs);
        Ok(Cost {
            wall_us: each(self.began.elapsed().as_secs_f64()),
            cpu_us: each(cpu_s()? - self.cpu_s),
        })
    }
}

fn cpu_s() -> anyhow::Result<f64> {
    Ok(own_cpu().as_secs_f64() + children_cpu()?)
}

/// The medians of some rounds.
pub(crate) fn medians(rounds: &[Cost]) -> Cost {
    let of = |figure: fn(&Cost) -> f64| median(rounds.iter().map(figure).collect());
    Cost {
        cpu_us: of(|cost| cost.cpu_us),
        wall_us: of(|cost| cost.wall_us),
    }
}
