//! When a check is due: pure arithmetic.

use std::time::Duration;

/// When one check runs, on a line of milliseconds that never goes back.
///
/// The phase comes from the names of agent and check: a restart doesn't move a check, and a thousand agents with the same
/// configuration don't all knock at the same moment. The jitter differs from run to run and is as reproducible.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    interval_ms: u64,
    jitter_ms: u64,
    phase_ms: u64,
    seed: u64,
}

impl Plan {
    /// A plan for a check of an agent.
    #[must_use]
    pub fn new(agent: &str, check: &str, interval: Duration, jitter: Duration) -> Self {
        let interval_ms = millis(interval).max(1);
        let seed = hash(hash(0xcbf2_9ce4_8422_2325, agent.as_bytes()), check.as_bytes());
        Self {
            interval_ms,
            // A run may never be pushed into the next one's turn.
            jitter_ms: millis(jitter).min(interval_ms - 1),
            phase_ms: mix(seed) % interval_ms,
            seed,
        }
    }

    /// The interval, in milliseconds.
    #[must_use]
    pub fn interval_ms(&self) -> u64 {
        self.interval_ms
    }

    /// The first time after `after_ms` at which the check is due.
    #[must_use]
    pub fn next_after(&self, after_ms: u64) -> u64 {
        let turn = (after_ms + self.interval_ms - self.phase_ms) / self.interval_ms;
        // The turn that `after_ms` is in may still come, late by its jitter.
        let mut turn = turn.saturating_sub(1);
        loop {
            let due = self.phase_ms + turn * self.interval_ms + self.jitter_of(turn);
            if due > after_ms {
                return due;
            }
            turn += 1;
        }
    }

    fn jitter_of(&self, turn: u64) -> u64 {
        if self.jitter_ms == 0 {
            0
        } else {
            mix(self.seed ^ mix(turn)) % (self.jitter_ms + 1)
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis())
        .unwrap_or(u64::MAX / 4)
        .min(u64::MAX / 4)
}

/// FNV-1a with a separator: the same on every machine and in every version, unlike the standard library's hasher.
fn hash(state: u64, bytes: &[u8]) -> u64 {
    bytes.iter().chain(b"\0").fold(state, |state, &byte| {
        (state ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// The finaliser of SplitMix64: spreads neighbours.
fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn runs_are_one_interval_apart_give_or_take_the_jitter(
            check in "[a-z]{1,10}",
            interval in 1_000u64..1_000_000,
            tenth in 0u64..10,
            start in 0u64..2_000_000_000_000,
        ) {
            let jitter = interval / 10 * tenth;
            let plan =
                Plan::new("berlin-1", &check, Duration::from_millis(interval), Duration::from_millis(jitter));
            let first = plan.next_after(start);
            prop_assert!(first > start && first <= start + interval + jitter);
            let second = plan.next_after(first);
            prop_assert!(second - first >= interval - jitter && second - first <= interval + jitter);
        }
    }

    #[test]
    fn the_phase_is_the_same_after_a_restart_and_differs_between_checks_and_agents() {
        let plan = |agent, check| {
            Plan::new(agent, check, Duration::from_secs(60), Duration::ZERO).next_after(1_000_000)
        };
        assert_eq!(plan("a", "web"), plan("a", "web"));
        assert_ne!(plan("a", "web"), plan("a", "dns"));
        assert_ne!(plan("a", "web"), plan("b", "web"));
        assert_ne!(plan("a", "bc"), plan("ab", "c"));
    }

    #[test]
    fn a_thousand_checks_spread_over_the_interval() {
        let mut tenths = [0; 10];
        for n in 0..1_000 {
            let plan = Plan::new(
                "a",
                &format!("check-{n}"),
                Duration::from_secs(10),
                Duration::ZERO,
            );
            tenths[(plan.phase_ms / 1_000) as usize] += 1;
        }
        assert!(tenths.iter().all(|&count| count > 60), "{tenths:?}");
    }
}
