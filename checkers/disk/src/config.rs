//! What an operator writes.

use std::collections::BTreeMap;

use picket_checker_sdk::prelude::*;

/// Space, inodes, read-only remounts and time to full of mounted file systems.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(inline)]
pub(crate) struct Config {
    /// Only these mount points; `*` stands for any text. Empty: all that hold data.
    pub(crate) mounts: Vec<String>,
    /// None of these mount points; `*` stands for any text.
    pub(crate) exclude_mounts: Vec<String>,
    /// Only these types, for example `ext4`. Empty: all but those that hold no data, such as `proc` and `tmpfs`.
    pub(crate) types: Vec<String>,
    /// None of these types.
    pub(crate) exclude_types: Vec<String>,
    /// Mount points that must be writable; `*` stands for any text. One that was writable at an earlier run and is not
    /// any more is critical in any case.
    pub(crate) writable: Vec<String>,
    /// Used space, in percent of what an ordinary user may use.
    pub(crate) used: Thresholds,
    /// Space that an ordinary user may still use, in bytes; `1000000000:` alerts below a gigabyte.
    pub(crate) free_bytes: Thresholds,
    /// Used inodes, in percent.
    pub(crate) inodes: Thresholds,
    /// Hours until it is full at the pace of the last hours; `24:` alerts when less than a day is left.
    pub(crate) hours_to_full: Thresholds,
    /// Limits of single mount points; what is left out there is as above.
    pub(crate) mount: BTreeMap<String, MountLimits>,
}

/// Limits of one mount point.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(inline)]
pub(crate) struct MountLimits {
    /// Used space, in percent of what an ordinary user may use.
    used: Option<Thresholds>,
    /// Space that an ordinary user may still use, in bytes.
    free_bytes: Option<Thresholds>,
    /// Used inodes, in percent.
    inodes: Option<Thresholds>,
    /// Hours until it is full at the pace of the last hours.
    hours_to_full: Option<Thresholds>,
}

/// The limits that hold for one file system.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) used: Thresholds,
    pub(crate) free_bytes: Thresholds,
    pub(crate) inodes: Thresholds,
    pub(crate) hours_to_full: Thresholds,
}

impl Config {
    pub(crate) fn limits(&self, mount: &str) -> Limits {
        let own = self.mount.get(mount);
        let pick = |choose: fn(&MountLimits) -> Option<Thresholds>, general: Thresholds| {
            own.and_then(choose).unwrap_or(general)
        };
        Limits {
            used: pick(|own| own.used, self.used),
            free_bytes: pick(|own| own.free_bytes, self.free_bytes),
            inodes: pick(|own| own.inodes, self.inodes),
            hours_to_full: pick(|own| own.hours_to_full, self.hours_to_full),
        }
    }
}

impl Needs for Config {
    fn needs(&self) -> Vec<Need> {
        vec![Need::host_facts("disk", "to read mounted file systems")]
    }
}
