//! What the kernel says of a process (proc(5)).

use std::time::Duration;

use anyhow::Context as _;
use rustix::time::{ClockId, clock_gettime};

/// The unit of `/proc/PID/stat` on Linux.
const TICKS_PER_SECOND: f64 = 100.0;

/// CPU seconds that the process has used, of all its threads.
pub(crate) fn cpu_seconds(process: u32) -> anyhow::Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The second field is the name, in parentheses, and may hold anything.
    let (_, fields) = stat.rsplit_once(')').context("/proc/PID/stat has no name")?;
    let field = |number: usize| -> anyhow::Result<f64> {
        Ok(fields
            .split_whitespace()
            .nth(number - 3)
            .context("too few fields")?
            .parse()?)
    };
    Ok((field(14)? + field(15)?) / TICKS_PER_SECOND)
}

/// Resident memory in MiB.
pub(crate) fn resident_mebibytes(process: u32) -> anyhow::Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .context("no VmRSS")?;
    let kibibytes: f64 = line
        .split_whitespace()
        .next()
        .context("VmRSS is empty")?
        .parse()?;
    Ok(kibibytes / 1024.0)
}

/// CPU time that this process has used, of all its threads.
pub(crate) fn own_cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(
        time.tv_sec.try_into().unwrap_or(0),
        time.tv_nsec.try_into().unwrap_or(0),
    )
}

/// CPU time of the children that have ended and were waited for, user and system, in seconds.
pub(crate) fn children_cpu() -> anyhow::Result<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let (_, fields) = stat.rsplit_once(')').context("/proc/self/stat has no name")?;
    let field = |number: usize| -> anyhow::Result<f64> {
        Ok(fields
            .split_whitespace()
            .nth(number - 3)
            .context("too few fields")?
            .parse()?)
    };
    Ok((field(16)? + field(17)?) / TICKS_PER_SECOND)
}
