//! `/proc/meminfo` and `/proc/vmstat`.

use super::pressure::{self, Pressure};
use super::{FactError, optional, text, unreadable};

/// In bytes.
#[derive(Debug, PartialEq)]
pub(crate) struct Memory {
    pub(crate) total: u64,
    pub(crate) available: u64,
    pub(crate) free: u64,
    pub(crate) buffers: u64,
    pub(crate) cached: u64,
    pub(crate) swap_total: u64,
    pub(crate) swap_free: u64,
    pub(crate) oom_kills: Option<u64>,
    pub(crate) pressure: Option<Pressure>,
}

pub(crate) fn read() -> Result<Memory, FactError> {
    let mut memory = parse(&text("/proc/meminfo")?).ok_or_else(|| unreadable("/proc/meminfo"))?;
    memory.oom_kills = optional("/proc/vmstat").and_then(|text| parse_oom(&text));
    memory.pressure = optional("/proc/pressure/memory").and_then(|text| pressure::parse(&text));
    Ok(memory)
}

fn parse(text: &str) -> Option<Memory> {
    let field = |name: &str| {
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        let kibibytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
        kibibytes.checked_mul(1024)
    };
    let (free, buffers, cached) = (
        field("MemFree")?,
        field("Buffers").unwrap_or(0),
        field("Cached").unwrap_or(0),
    );
    Some(Memory {
        total: field("MemTotal")?,
        // Kernels before 3.14 don't estimate it themselves.
        available: field("MemAvailable").unwrap_or(free + buffers + cached),
        free,
        buffers,
        cached,
        swap_total: field("SwapTotal").unwrap_or(0),
        swap_free: field("SwapFree").unwrap_or(0),
        oom_kills: None,
        pressure: None,
    })
}

fn parse_oom(text: &str) -> Option<u64> {
    text.lines()
        .find_map(|line| line.strip_prefix("oom_kill "))?
        .trim()
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn meminfo_is_bytes() {
        let text = "MemTotal:       1000 kB\nMemFree:         100 kB\nMemAvailable:    600 kB\nBuffers: 10 kB\n\
                    Cached:  200 kB\nSwapCached: 5 kB\nSwapTotal: 50 kB\nSwapFree: 40 kB\nHugePages_Total: 0\n";
        let memory = parse(text).unwrap();
        assert_eq!(
            (memory.total, memory.available, memory.cached),
            (1_024_000, 614_400, 204_800)
        );
        assert_eq!((memory.swap_total, memory.swap_free), (51_200, 40_960));
    }

    #[test]
    fn garbage_is_no_memory() {
        assert!(parse("MemTotal: lots").is_none());
        assert!(parse("MemTotal: 18446744073709551615 kB\nMemFree: 1 kB").is_none());
        assert_eq!(parse_oom("nr_free_pages 1\noom_kill 7\n"), Some(7));
    }

    #[test]
    fn this_machine_is_read() {
        assert!(read().unwrap().total > 0);
    }
}
