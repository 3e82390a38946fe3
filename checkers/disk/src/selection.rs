//! Which file systems are meant.

use std::collections::BTreeSet;

use picket_checker_sdk::facts::FileSystem;

use crate::config::Config;

/// File systems that hold no data, or whose space is not their own.
const WITHOUT_DATA: [&str; 31] = [
    "autofs",
    "binfmt_misc",
    "bpf",
    "cgroup",
    "cgroup2",
    "configfs",
    "debugfs",
    "devpts",
    "devtmpfs",
    "efivarfs",
    "fuse.gvfsd-fuse",
    "fuse.lxcfs",
    "fuse.portal",
    "fusectl",
    "hugetlbfs",
    "iso9660",
    "mqueue",
    "nsfs",
    "overlay",
    "proc",
    "pstore",
    "ramfs",
    "rpc_pipefs",
    "securityfs",
    "selinuxfs",
    "squashfs",
    "sysfs",
    "tmpfs",
    "tracefs",
    "udf",
    "none",
];

/// The file systems that a configuration means, each mount point once.
pub(crate) fn select<'a>(config: &Config, mounted: &'a [FileSystem]) -> Vec<&'a FileSystem> {
    // A later mount over the same point hides the earlier one.
    let mut seen = BTreeSet::new();
    let mut selected: Vec<&FileSystem> = mounted
        .iter()
        .rev()
        .filter(|system| seen.insert(system.mount.as_str()))
        .filter(|system| is_meant(config, system))
        .collect();
    selected.sort_by(|a, b| a.mount.cmp(&b.mount));
    selected
}

fn is_meant(config: &Config, system: &FileSystem) -> bool {
    let any = |patterns: &[String], text: &str| patterns.iter().any(|pattern| matches(pattern, text));
    if any(&config.exclude_mounts, &system.mount) || any(&config.exclude_types, &system.kind) {
        return false;
    }
    if !config.types.is_empty() && !any(&config.types, &system.kind) {
        return false;
    }
    if !config.mounts.is_empty() {
        return any(&config.mounts, &system.mount);
    }
    // Who names a mount point or a type gets it; who names nothing gets what can fill up.
    let named = !config.types.is_empty() || config.mount.contains_key(&system.mount);
    named || (system.size > 0 && !WITHOUT_DATA.contains(&system.kind.as_str()))
}

/// Whether `text` has the form of `pattern`, in which `*` stands for any text.
pub(crate) fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else {
        return false;
    };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        match rest.find(part) {
            Some(position) => rest = &rest[position + part.len()..],
            None => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_text() {
        for (pattern, text) in [
            ("/", "/"),
            ("*", "/a"),
            ("/var*", "/var/lib"),
            ("/*/b", "/a/b"),
            ("a*b*c", "abbc"),
        ] {
            assert!(matches(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [
            ("/", "/a"),
            ("/var", "/var/lib"),
            ("a*a", "a"),
            ("*b*", "ac"),
            ("", "a"),
        ] {
            assert!(!matches(pattern, text), "{pattern} {text}");
        }
    }
}
