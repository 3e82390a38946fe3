//! When a file system will be full, from what earlier runs saw.

use std::collections::BTreeMap;

use picket_checker_sdk::facts::FileSystem;
use serde::{Deserialize, Serialize};

/// At least this far apart are two kept readings.
const SPACING_S: u64 = 600;
/// Older ones say little about the pace of now.
const OLDEST_S: u64 = 6 * 3_600;
/// A forecast from less than this is a guess.
const SHORTEST_SPAN_S: u64 = 1_800;
/// So that the state stays below the host's limit of 16 KiB for a value.
const MOST_MOUNTS: usize = 24;

/// What earlier runs saw, by mount point.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct History {
    mounts: BTreeMap<String, Seen>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Seen {
    read_only: bool,
    /// When, in seconds since 1970, and how many bytes were available.
    readings: Vec<(u64, u64)>,
}

impl History {
    /// Whether a mount point was writable when it was last seen.
    pub(crate) fn was_writable(&self, mount: &str) -> bool {
        self.mounts.get(mount).is_some_and(|seen| !seen.read_only)
    }

    /// Hours until the file system is full at its pace; `None` where it isn't filling up or that can't be told yet.
    #[expect(clippy::cast_precision_loss, reason = "a forecast needs no single bytes")]
    pub(crate) fn hours_to_full(&self, system: &FileSystem, now_s: u64) -> Option<f64> {
        let readings = &self.mounts.get(&system.mount)?.readings;
        let (then_s, then_available) = *readings
            .iter()
            .find(|(at, _)| now_s.saturating_sub(*at) <= OLDEST_S)?;
        let seconds = now_s
            .checked_sub(then_s)
            .filter(|seconds| *seconds >= SHORTEST_SPAN_S)?;
        let eaten = then_available
            .checked_sub(system.available)
            .filter(|eaten| *eaten > 0)?;
        let per_hour = eaten as f64 / (seconds as f64 / 3_600.0);
        Some(system.available as f64 / per_hour)
    }

    /// Keeps a reading of each file system and forgets those that are gone.
    pub(crate) fn record(&mut self, systems: &[&FileSystem], now_s: u64) {
        let mut old = std::mem::take(&mut self.mounts);
        for system in systems.iter().take(MOST_MOUNTS) {
            let mut seen = old.remove(&system.mount).unwrap_or_default();
            // Once found read-only after being writable, it stays a problem until it is writable again.
            let remounted = system.read_only && !seen.read_only && !seen.readings.is_empty();
            seen.read_only = system.read_only && !remounted;
            seen.readings
                .retain(|(at, _)| *at <= now_s && now_s - at <= OLDEST_S);
            if seen.readings.last().is_none_or(|(at, _)| now_s - at >= SPACING_S) {
                seen.readings.push((now_s, system.available));
            }
            self.mounts.insert(system.mount.clone(), seen);
        }
    }
}
