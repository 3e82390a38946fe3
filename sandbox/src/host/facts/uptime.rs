//! `/proc/uptime`, the kernel's names, and who is logged in.

use std::collections::HashSet;

use super::{FactError, optional, text, unreadable};

#[derive(Debug, PartialEq)]
pub(crate) struct Uptime {
    pub(crate) uptime_s: f64,
    pub(crate) boot_unix_ms: u64,
    pub(crate) kernel: String,
    pub(crate) hostname: String,
    pub(crate) users: u32,
}

pub(crate) fn read() -> Result<Uptime, FactError> {
    let uptime_s = parse_uptime(&text("/proc/uptime")?).ok_or_else(|| unreadable("/proc/uptime"))?;
    let boot_unix_ms = boot_unix_ms()?;
    let names = rustix::system::uname();
    let kernel = format!(
        "{} {}",
        names.sysname().to_string_lossy(),
        names.release().to_string_lossy()
    );
    let hostname = names.nodename().to_string_lossy().into_owned();
    Ok(Uptime {
        uptime_s,
        boot_unix_ms,
        kernel,
        hostname,
        users: users(),
    })
}

pub(super) fn boot_unix_ms() -> Result<u64, FactError> {
    parse_boot(&text("/proc/stat")?).ok_or_else(|| unreadable("/proc/stat"))
}

fn parse_uptime(text: &str) -> Option<f64> {
    text.split_whitespace()
        .next()?
        .parse()
        .ok()
        .filter(|seconds: &f64| seconds.is_finite())
}

fn parse_boot(text: &str) -> Option<u64> {
    let seconds: u64 = text
        .lines()
        .find_map(|line| line.strip_prefix("btime "))?
        .trim()
        .parse()
        .ok()?;
    seconds.checked_mul(1000)
}

/// systemd-logind keeps a file for each session. Where it doesn't run, nobody is counted.
fn users() -> u32 {
    let Ok(sessions) = std::fs::read_dir("/run/systemd/sessions") else {
        return 0;
    };
    let users: HashSet<String> = sessions
        .flatten()
        .filter_map(|entry| optional(entry.path()))
        .filter_map(|text| {
            Some(
                text.lines()
                    .find_map(|line| line.strip_prefix("USER="))?
                    .to_owned(),
            )
        })
        .collect();
    u32::try_from(users.len()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_read() {
        assert_eq!(parse_uptime("12.50 99.00\n"), Some(12.5));
        assert_eq!(parse_uptime("inf"), None);
        assert_eq!(parse_boot("cpu 1\nbtime 1700000000\n"), Some(1_700_000_000_000));
    }

    #[test]
    fn this_machine_is_read() {
        let found = read().unwrap();
        assert!(found.uptime_s > 0.0 && found.kernel.starts_with("Linux"));
    }
}
