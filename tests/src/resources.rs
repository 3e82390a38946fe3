//! The memory, descriptors and children of a running process, as the kernel sees them (proc(5)).

use std::collections::BTreeMap;

use anyhow::Context as _;

/// Resident memory, in bytes.
pub fn resident(process: u32) -> anyhow::Result<u64> {
    let path = format!("/proc/{process}/status");
    let text = std::fs::read_to_string(&path).with_context(|| path.clone())?;
    let kibibytes = text.lines().find_map(|line| {
        let rest = line.strip_prefix("VmRSS:")?;
        rest.split_whitespace().next()?.parse::<u64>().ok()
    });
    Ok(kibibytes.with_context(|| format!("{path} has no VmRSS"))? << 10)
}

/// How many descriptors are open, by what they are: a path, or a kind such as `socket`.
pub fn descriptors(process: u32) -> anyhow::Result<BTreeMap<String, usize>> {
    let path = format!("/proc/{process}/fd");
    let mut kinds = BTreeMap::new();
    for entry in std::fs::read_dir(&path).with_context(|| path)? {
        // One that was closed since the folder was read isn't there.
        let Ok(target) = std::fs::read_link(entry?.path()) else {
            continue;
        };
        let target = target.to_string_lossy().into_owned();
        let kind = target.split_once(":[").map_or(target.as_str(), |(kind, _)| kind);
        *kinds.entry(kind.to_owned()).or_default() += 1;
    }
    Ok(kinds)
}

/// The children that live now, of all its threads.
pub fn children(process: u32) -> anyhow::Result<Vec<u32>> {
    let path = format!("/proc/{process}/task");
    let mut children = Vec::new();
    for thread in std::fs::read_dir(&path).with_context(|| path)? {
        // A thread may have ended since the folder was read.
        let Ok(text) = std::fs::read_to_string(thread?.path().join("children")) else {
            continue;
        };
        children.extend(text.split_whitespace().filter_map(|id| id.parse::<u32>().ok()));
    }
    Ok(children)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sees_memory_a_file_and_a_child_of_this_process() {
        let own = std::process::id();
        assert!(resident(own).unwrap() > 1 << 20);
        let files: Vec<_> = (0..50)
            .map(|_| std::fs::File::open("/dev/null").unwrap())
            .collect();
        assert!(descriptors(own).unwrap()["/dev/null"] >= files.len());
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        assert!(children(own).unwrap().contains(&child.id()));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!children(own).unwrap().contains(&child.id()));
    }
}
