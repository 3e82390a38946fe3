//! The cpu checker: how busy the machine's processors are, in which mode, and how much waits for them.
//!
//! `config` is what an operator writes, `usage` the arithmetic between two readings, `verdict` the report.

mod config;
mod usage;
mod verdict;

use std::time::Duration;

use picket_checker_sdk::prelude::*;
use serde::Serialize;

use config::Config;
use usage::Reading;

/// Where the reading of the last run is kept.
const STATE_KEY: &str = "reading";
/// A reading that lies further back says nothing about now.
const OLDEST_READING: Duration = Duration::from_secs(3_600);

/// What one run leaves for the next.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    unix_ms: u64,
    reading: Reading,
}

#[checker(
    name = "cpu",
    summary = "Processor usage by mode and core, load and pressure",
    interval = "30s",
    timeout = "10s"
)]
fn run(ctx: &mut Context, config: Config) -> Result<Report, Error> {
    let mut facts = ctx.cpu()?;
    let now = ctx.now_unix_ms();
    let current = Reading::from(&facts);
    let before = match ctx
        .state::<Kept>(STATE_KEY)
        .filter(|kept| is_usable(kept, &current, now))
    {
        Some(kept) => kept.reading,
        None => {
            // The first run, a reboot, or a long pause: a short sample instead of a guess.
            let sample = config.sample.as_duration().min(ctx.time_left() / 2);
            ctx.sleep(sample);
            facts = ctx.cpu()?;
            current
        }
    };
    let after = Reading::from(&facts);
    let report = verdict::report(&config, &facts, &before, &after);
    ctx.set_state(
        STATE_KEY,
        &Kept {
            unix_ms: ctx.now_unix_ms(),
            reading: after,
        },
    );
    Ok(report)
}

fn is_usable(kept: &Kept, current: &Reading, now_unix_ms: u64) -> bool {
    let age = now_unix_ms.checked_sub(kept.unix_ms);
    let recent = age.is_some_and(|age| u128::from(age) <= OLDEST_READING.as_millis());
    recent && current.follows(&kept.reading)
}

#[cfg(test)]
mod tests;
