//! The disk checker: space and inodes of mounted file systems, remounts, and when they will be full.
//!
//! `config` is what an operator writes, `selection` which file systems are meant, `trend` the forecast, `verdict` the
//! report.

mod config;
mod selection;
mod trend;
mod verdict;

use picket_checker_sdk::prelude::*;

use config::Config;
use trend::History;

/// Where earlier readings are kept.
const STATE_KEY: &str = "history";

#[checker(
    name = "disk",
    summary = "Space, inodes, read-only remounts and time to full of mounted file systems",
    interval = "60s",
    timeout = "10s"
)]
fn run(ctx: &mut Context, config: Config) -> Result<Report, Error> {
    let mounted = ctx.disks()?;
    let selected = selection::select(&config, &mounted);
    let mut history = ctx.state::<History>(STATE_KEY).unwrap_or_default();
    let now_s = ctx.now_unix_ms() / 1000;
    let report = verdict::report(&config, &selected, &history, now_s);
    history.record(&selected, now_s);
    ctx.set_state(STATE_KEY, &history);
    Ok(report)
}

#[cfg(test)]
mod tests;
