//! When a check has its turns: pure arithmetic.

use std::sync::Arc;
use std::time::Duration;

use super::course::Retries;
use super::cron::CronTimes;

/// Turns of a cron that are counted one by one: a day of minutes, some ms of work. Beyond it the count is a lower bound.
const MOST_COUNTED: u64 = 1_440;

/// When one check runs, on a line of milliseconds that never goes back.
///
/// The phase comes from the names of agent and check: a restart doesn't move a check, and a thousand agents with the same
/// configuration don't all knock at the same moment. The jitter differs from run to run and is as reproducible.
///
/// An interval's turns lie on the line itself. A cron's are times of the wall clock; `skew_ms` is what the wall clock shows
/// beyond the line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    rhythm: Rhythm,
    jitter_ms: u64,
    seed: u64,
    retries: Retries,
    subject: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Rhythm {
    Every { interval_ms: u64, phase_ms: u64 },
    Cron { times: Arc<CronTimes>, offset_ms: u64 },
}

impl Plan {
    /// A plan for a check of an agent, with a turn in each interval.
    #[must_use]
    pub fn new(agent: &str, check: &str, interval: Duration, jitter: Duration) -> Self {
        let interval_ms = millis(interval).max(1);
        let seed = seed(agent, check);
        Self {
            rhythm: Rhythm::Every {
                interval_ms,
                phase_ms: mix(seed) % interval_ms,
            },
            // A run may never be pushed into the next one's turn.
            jitter_ms: millis(jitter).min(interval_ms - 1),
            seed,
            retries: Retries::default(),
            subject: 0,
        }
    }

    /// A plan for a check of an agent, with its turns at these times.
    #[must_use]
    pub fn cron(agent: &str, check: &str, times: CronTimes, jitter: Duration) -> Self {
        Self {
            jitter_ms: millis(jitter).min(millis(times.least_gap()).saturating_sub(1)),
            rhythm: Rhythm::Cron {
                times: Arc::new(times),
                offset_ms: 0,
            },
            seed: seed(agent, check),
            retries: Retries::default(),
            subject: 0,
        }
    }

    /// The same with a phase that is given rather than made from the names; a cron is shifted by it.
    #[must_use]
    pub fn with_offset(mut self, offset: Duration) -> Self {
        match &mut self.rhythm {
            Rhythm::Every {
                interval_ms,
                phase_ms,
            } => *phase_ms = millis(offset) % *interval_ms,
            Rhythm::Cron { offset_ms, .. } => *offset_ms = millis(offset),
        }
        self
    }

    /// The same with other retries than none.
    #[must_use]
    pub fn with_retries(self, retries: Retries) -> Self {
        Self { retries, ..self }
    }

    /// The same for what is run: a number that changes with the checker and its configuration.
    #[must_use]
    pub fn for_subject(self, subject: u64) -> Self {
        Self { subject, ..self }
    }

    /// How soon results that aren't ok are looked at again.
    #[must_use]
    pub fn retries(&self) -> Retries {
        self.retries
    }

    /// What is run.
    #[must_use]
    pub fn subject(&self) -> u64 {
        self.subject
    }

    /// Whether its turns are the other one's.
    #[must_use]
    pub fn has_turns_of(&self, other: &Self) -> bool {
        self.rhythm == other.rhythm && self.jitter_ms == other.jitter_ms && self.seed == other.seed
    }

    /// Whether its turns are times of the wall clock.
    #[must_use]
    pub fn follows_wall_clock(&self) -> bool {
        matches!(self.rhythm, Rhythm::Cron { .. })
    }

    /// The first turn after `after_ms`. `None` where a cron's calendar ends.
    #[must_use]
    pub fn next_after(&self, after_ms: u64, skew_ms: i64) -> Option<u64> {
        match &self.rhythm {
            Rhythm::Every {
                interval_ms,
                phase_ms,
            } => {
                let turn = self.turns_up_to(*interval_ms, *phase_ms, after_ms);
                Some(self.due(*interval_ms, *phase_ms, turn))
            }
            Rhythm::Cron { times, offset_ms } => {
                let after = after_ms.saturating_add_signed(skew_ms);
                // The one before may still come, late by its shift.
                let mut time = times.next_after(after.saturating_sub(offset_ms + self.jitter_ms))?;
                loop {
                    let due = time + offset_ms + self.jitter_of(time);
                    if due > after {
                        return Some(due.saturating_add_signed(-skew_ms));
                    }
                    time = times.next_after(time)?;
                }
            }
        }
    }

    /// How many turns there are after `after_ms`, up to and including `up_to_ms`.
    #[must_use]
    pub fn turns_between(&self, after_ms: u64, up_to_ms: u64, skew_ms: i64) -> u64 {
        if up_to_ms <= after_ms {
            return 0;
        }
        match &self.rhythm {
            Rhythm::Every {
                interval_ms,
                phase_ms,
            } => {
                let turns = |at| self.turns_up_to(*interval_ms, *phase_ms, at);
                turns(up_to_ms) - turns(after_ms)
            }
            Rhythm::Cron { .. } => {
                let (mut at, mut count) = (after_ms, 0);
                while count < MOST_COUNTED {
                    match self.next_after(at, skew_ms) {
                        Some(next) if next <= up_to_ms => (at, count) = (next, count + 1),
                        _ => break,
                    }
                }
                count
            }
        }
    }

    /// From `at_ms`, when a run starts, to when the next one is expected: the interval, or the time to a cron's next turn.
    #[must_use]
    pub fn period_ms(&self, at_ms: u64, skew_ms: i64) -> u64 {
        match &self.rhythm {
            Rhythm::Every { interval_ms, .. } => *interval_ms,
            Rhythm::Cron { times, .. } => {
                let gap = self.next_after(at_ms, skew_ms).map_or(0, |next| next - at_ms);
                // A run out of its turn may stand just before one.
                gap.max(millis(times.least_gap()))
            }
        }
    }

    fn due(&self, interval_ms: u64, phase_ms: u64, turn: u64) -> u64 {
        phase_ms + turn * interval_ms + self.jitter_of(turn)
    }

    /// How many turns were due by `at_ms`, from the line's beginning.
    fn turns_up_to(&self, interval_ms: u64, phase_ms: u64, at_ms: u64) -> u64 {
        let Some(since_first) = at_ms.checked_sub(phase_ms) else {
            return 0;
        };
        let newest = since_first / interval_ms;
        // The turn that `at_ms` is in may still come, late by its jitter.
        newest + u64::from(self.due(interval_ms, phase_ms, newest) <= at_ms)
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

fn seed(agent: &str, check: &str) -> u64 {
    hash(hash(0xcbf2_9ce4_8422_2325, agent.as_bytes()), check.as_bytes())
}

/// FNV-1a with a separator: the same on every machine and in every version, unlike the standard library's hasher.
pub(crate) fn hash(state: u64, bytes: &[u8]) -> u64 {
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
mod tests;
