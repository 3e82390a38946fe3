//! Time, as Unix milliseconds. Leases and schedules of several processes only agree on one clock: the database's.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Milliseconds since 1970-01-01T00:00:00Z. Signed, as the database keeps it.
pub type UnixMs = i64;

/// Where the store takes the time from. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub enum Clock {
    /// The database's own clock.
    #[default]
    Database,
    /// A clock that stands until it is moved: tests pass time instead of waiting for it.
    Manual(ManualClock),
}

/// A clock that stands until it is moved. Clones share it.
#[derive(Debug, Clone)]
pub struct ManualClock(Arc<AtomicI64>);

impl ManualClock {
    /// A clock that stands at `now`.
    #[must_use]
    pub fn at(now: UnixMs) -> Self {
        Self(Arc::new(AtomicI64::new(now)))
    }

    /// What it shows.
    #[must_use]
    pub fn now(&self) -> UnixMs {
        self.0.load(Ordering::SeqCst)
    }

    /// Moves it on by `ms`; a negative number moves it back.
    pub fn advance(&self, ms: i64) {
        self.0.fetch_add(ms, Ordering::SeqCst);
    }
}

/// This process's own clock: for log lines, certificates' dates and files. Never compared with the database's.
#[must_use]
pub fn system_now() -> UnixMs {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
