//! The line of time that checks are scheduled on.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};

/// A line of milliseconds that never goes back, and starts at the wall clock's time: phases are those of the wall clock.
///
/// It is the kernel's `CLOCK_BOOTTIME`: while the machine sleeps it goes on, and after a wake what was missed is known.
/// `CLOCK_MONOTONIC`, which timers run on, stands still then: an hour's nap would move every phase by an hour.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    /// What the wall clock showed when the line's clock was 0.
    origin_ms: u64,
}

impl Clock {
    pub(super) fn start() -> Self {
        Self {
            origin_ms: unix_ms().saturating_sub(boot_ms()),
        }
    }

    pub(super) fn now_ms(self) -> u64 {
        self.origin_ms.saturating_add(boot_ms())
    }

    /// How long it is until then.
    pub(super) fn until(self, at_ms: u64) -> Duration {
        // A millisecond more: the clock's fraction is cut off, and a timer may not wake before what it is for.
        Duration::from_millis(at_ms.saturating_sub(self.now_ms())) + Duration::from_millis(1)
    }

    /// What the wall clock shows beyond the line: 0 until somebody puts it right.
    pub(super) fn skew_ms(self) -> i64 {
        let (wall, line) = (i64::try_from(unix_ms()), i64::try_from(self.now_ms()));
        wall.unwrap_or(i64::MAX).saturating_sub(line.unwrap_or(i64::MAX))
    }
}

fn boot_ms() -> u64 {
    let now = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    let millis = u64::try_from(now.tv_nsec / 1_000_000).unwrap_or(0);
    seconds.saturating_mul(1_000).saturating_add(millis)
}

/// The wall clock, in ms since 1970.
#[must_use]
pub fn unix_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_starts_at_the_wall_clocks_time() {
        let clock = Clock::start();
        assert!(clock.skew_ms().abs() < 60_000, "{}", clock.skew_ms());
        let now = clock.now_ms();
        assert!(clock.now_ms() >= now);
        assert_eq!(clock.until(0), Duration::from_millis(1));
        assert!(clock.until(now + 600_000) > Duration::from_secs(300));
    }
}
