//! `/proc/self/mountinfo` and `statvfs`.

use std::collections::HashSet;

use super::{FactError, text};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FileSystem {
    pub(crate) mount: String,
    pub(crate) device: String,
    pub(crate) kind: String,
    pub(crate) options: Vec<String>,
    pub(crate) size: u64,
    pub(crate) free: u64,
    pub(crate) available: u64,
    pub(crate) inodes: u64,
    pub(crate) inodes_free: u64,
    pub(crate) read_only: bool,
}

/// What the kernel makes up, and what has no size that anybody could run out of.
const PSEUDO: [&str; 24] = [
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
    "fusectl",
    "hugetlbfs",
    "mqueue",
    "nsfs",
    "proc",
    "pstore",
    "ramfs",
    "rpc_pipefs",
    "securityfs",
    "selinuxfs",
    "squashfs",
    "sysfs",
    "tracefs",
    "fuse.gvfsd-fuse",
];
/// A machine with more is one of containers, whose mounts are the same few disks again.
const MAX: usize = 1024;

pub(crate) fn read() -> Result<Vec<FileSystem>, FactError> {
    let mounts = parse(&text("/proc/self/mountinfo")?);
    Ok(mounts.into_iter().take(MAX).filter_map(measured).collect())
}

fn measured(mut system: FileSystem) -> Option<FileSystem> {
    // A mount that this user may not see is left out.
    let found = rustix::fs::statvfs(system.mount.as_str()).ok()?;
    let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
    system.size = bytes(found.f_blocks);
    system.free = bytes(found.f_bfree);
    system.available = bytes(found.f_bavail);
    system.inodes = found.f_files;
    system.inodes_free = found.f_ffree;
    system.read_only |= found.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY);
    (system.size > 0).then_some(system)
}

/// proc(5): mount ID, parent, major:minor, root, mount point, options, optional fields, `-`, type, source, super options.
fn parse(text: &str) -> Vec<FileSystem> {
    let mut systems: Vec<FileSystem> = Vec::new();
    for line in text.lines() {
        let Some((left, right)) = line.split_once(" - ") else {
            continue;
        };
        let left: Vec<_> = left.split(' ').collect();
        let right: Vec<_> = right.split(' ').collect();
        let ([_, _, _, _, mount, options, ..], [kind, device, ..]) = (left.as_slice(), right.as_slice())
        else {
            continue;
        };
        if PSEUDO.contains(kind) {
            continue;
        }
        let options: Vec<String> = options.split(',').map(str::to_owned).collect();
        systems.push(FileSystem {
            mount: unescape(mount),
            device: unescape(device),
            kind: (*kind).to_owned(),
            read_only: options.iter().any(|option| option == "ro"),
            options,
            size: 0,
            free: 0,
            available: 0,
            inodes: 0,
            inodes_free: 0,
        });
    }
    // Of mounts on top of each other, only the last is to be seen.
    let mut seen = HashSet::new();
    let mut visible: Vec<_> = systems
        .into_iter()
        .rev()
        .filter(|system| seen.insert(system.mount.clone()))
        .collect();
    visible.reverse();
    visible
}

/// Space, tab, newline and backslash are written as three octal digits.
fn unescape(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut plain = Vec::with_capacity(bytes.len());
    let mut index = 0;
    while index < bytes.len() {
        let code = (bytes[index] == b'\\')
            .then(|| {
                text.get(index + 1..index + 4)
                    .and_then(|digits| u8::from_str_radix(digits, 8).ok())
            })
            .flatten();
        match code {
            Some(code) => {
                plain.push(code);
                index += 4;
            }
            None => {
                plain.push(bytes[index]);
                index += 1;
            }
        }
    }
    String::from_utf8_lossy(&plain).into_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TEXT: &str = "\
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
23 22 0:20 / /proc rw - proc proc rw
24 22 254:1 / /mnt/a\\040b ro,nosuid shared:2 master:1 - xfs /dev/vdb ro
25 22 254:2 / /over rw - ext4 /dev/vdc rw
26 22 254:3 / /over rw - ext4 /dev/vdd rw
garbage
";

    #[test]
    fn mounts_are_read_without_the_kernels_own() {
        let found = parse(TEXT);
        let mounts: Vec<_> = found.iter().map(|system| system.mount.as_str()).collect();
        assert_eq!(mounts, ["/", "/mnt/a b", "/over"]);
        assert!(found[1].read_only && !found[0].read_only);
        assert_eq!(found[1].options, ["ro", "nosuid"]);
    }

    #[test]
    fn of_two_mounts_at_one_place_the_upper_one_counts() {
        assert_eq!(parse(TEXT)[2].device, "/dev/vdd");
    }

    #[test]
    fn this_machine_has_a_root() {
        assert!(read().unwrap().iter().any(|system| system.mount == "/"));
    }

    proptest! {
        #[test]
        fn reading_never_panics(text in "([0-9]+ |\\\\|\\\\04|- |[^ ]* |\n){0,40}") {
            parse(&text);
            unescape(&text);
        }
    }
}
