//! Waiting with a deadline.

use std::time::Duration;

use crate::bindings::wasi::clocks::monotonic_clock;
use crate::bindings::wasi::io::poll::{self, Pollable};

/// A point in the monotonic clock's nanoseconds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deadline(u64);

impl Deadline {
    pub(super) fn after(timeout: Duration) -> Self {
        let nanoseconds = u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX);
        Self(monotonic_clock::now().saturating_add(nanoseconds))
    }

    /// Waits for `ready`; `false` where the deadline came first.
    pub(super) fn wait(self, ready: &Pollable) -> bool {
        let timer = monotonic_clock::subscribe_instant(self.0);
        poll::poll(&[ready, &timer]).contains(&0)
    }
}

pub(super) fn sleep(duration: Duration) {
    let nanoseconds = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    monotonic_clock::subscribe_duration(nanoseconds).block();
}
