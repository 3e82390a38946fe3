//! `/proc/PID/stat`, `cmdline` and the users' names.

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::{FactError, optional, ticks_per_second, uptime};

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Process {
    pub(crate) pid: u32,
    pub(crate) parent: u32,
    pub(crate) name: String,
    pub(crate) command: Option<Vec<String>>,
    pub(crate) user: String,
    pub(crate) state: String,
    pub(crate) cpu_s: f64,
    pub(crate) resident_bytes: u64,
    pub(crate) started_unix_ms: u64,
    pub(crate) threads: u32,
    pub(crate) open_files: Option<u32>,
}

/// Beyond it the list would not fit into a guest.
const MAX: usize = 16_384;
/// Of one process's arguments.
const MAX_ARGUMENTS: usize = 4096;

pub(crate) fn read(with_arguments: bool) -> Result<Vec<Process>, FactError> {
    let boot = uptime::boot_unix_ms()?;
    let users = parse_users(&optional("/etc/passwd").unwrap_or_default());
    let hertz = ticks_per_second();
    let page = rustix::param::page_size() as u64;
    let listing = std::fs::read_dir("/proc").map_err(|error| FactError::Unsupported(error.to_string()))?;
    let mut processes = Vec::new();
    for entry in listing.flatten() {
        if processes.len() == MAX {
            break;
        }
        let path = entry.path();
        let is_process = entry
            .file_name()
            .to_str()
            .is_some_and(|name| name.bytes().all(|b| b.is_ascii_digit()));
        // A process that ended meanwhile has no files left.
        let Some(stat) = is_process.then(|| optional(path.join("stat"))).flatten() else {
            continue;
        };
        let Some(mut process) = parse_stat(&stat, hertz, page, boot) else {
            continue;
        };
        if let Ok(metadata) = std::fs::metadata(&path) {
            let id = metadata.uid();
            process.user = users.get(&id).cloned().unwrap_or_else(|| id.to_string());
        }
        process.command = with_arguments.then(|| arguments(&path));
        process.open_files = open_files(&path);
        processes.push(process);
    }
    Ok(processes)
}

/// proc(5). The name is in parentheses and may hold any character, so that the last one closes it.
fn parse_stat(text: &str, hertz: f64, page: u64, boot_unix_ms: u64) -> Option<Process> {
    let (pid, rest) = text.split_once(" (")?;
    let (name, rest) = rest.rsplit_once(") ")?;
    let fields: Vec<_> = rest.split_whitespace().collect();
    // Field 3 of the manual page is the first one here.
    let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
    let ticks = number(14)?.saturating_add(number(15)?);
    let started_ms = number(22)? as f64 / hertz * 1000.0;
    Some(Process {
        pid: pid.parse().ok()?,
        parent: u32::try_from(number(4)?).ok()?,
        name: name.to_owned(),
        command: None,
        user: String::new(),
        state: (*fields.first()?).to_owned(),
        cpu_s: ticks as f64 / hertz,
        resident_bytes: number(24)?.saturating_mul(page),
        started_unix_ms: boot_unix_ms.saturating_add(started_ms as u64),
        threads: u32::try_from(number(20)?).ok()?,
        open_files: None,
    })
}

fn arguments(process: &Path) -> Vec<String> {
    let mut bytes = std::fs::read(process.join("cmdline")).unwrap_or_default();
    bytes.truncate(MAX_ARGUMENTS);
    let text = String::from_utf8_lossy(&bytes);
    let text = text.strip_suffix('\0').unwrap_or(&text);
    if text.is_empty() {
        Vec::new()
    } else {
        text.split('\0').map(str::to_owned).collect()
    }
}

/// Only of processes that this user may look into.
fn open_files(process: &Path) -> Option<u32> {
    u32::try_from(std::fs::read_dir(process.join("fd")).ok()?.count()).ok()
}

fn parse_users(passwd: &str) -> HashMap<u32, String> {
    let parse = |line: &str| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        Some((fields.nth(1)?.parse().ok()?, name.to_owned()))
    };
    passwd.lines().filter_map(parse).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_name_may_hold_anything() {
        let text = "42 (a) b (c) S 1 42 42 0 -1 4194560 1 2 3 4 150 50 0 0 20 0 7 0 1000 99999 10 18446744073709551615\n";
        let process = parse_stat(text, 100.0, 4096, 1_000_000).unwrap();
        assert_eq!(
            (process.pid, process.parent, process.name.as_str()),
            (42, 1, "a) b (c")
        );
        assert_eq!(
            (process.state.as_str(), process.cpu_s, process.threads),
            ("S", 2.0, 7)
        );
        assert_eq!(
            (process.resident_bytes, process.started_unix_ms),
            (40_960, 1_010_000)
        );
    }

    #[test]
    fn users_are_known_by_number() {
        assert_eq!(
            parse_users("root:x:0:0:root:/root:/bin/sh\nbad\n")
                .get(&0)
                .unwrap(),
            "root"
        );
    }

    #[test]
    fn this_process_is_found_with_arguments_only_when_asked() {
        let own = |with| {
            read(with)
                .unwrap()
                .into_iter()
                .find(|process| process.pid == std::process::id())
                .unwrap()
        };
        assert_eq!(own(false).command, None);
        assert!(!own(true).command.unwrap().is_empty());
    }

    proptest! {
        #[test]
        fn reading_never_panics(text in ".{0,200}") {
            let _ = parse_stat(&text, 100.0, 4096, 0);
        }
    }
}
