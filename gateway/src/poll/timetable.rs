//! When each agent is next due. Pure: time is passed in.
//!
//! An agent's polls fall on `hash(agent) % interval` of the wall clock. Every gateway computes the same phase, so a
//! takeover neither bunches an agent's polls nor makes them miss one.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;
use std::time::Duration;

use crate::clock::BootTime;

/// Agents that were taken over are overdue by an unknown time; they are spread over at most this long.
const TAKEOVER_SPREAD: Duration = Duration::from_secs(15);

/// An agent that was never reached has somebody waiting for its first result: it is polled within this time.
const FIRST_CONTACT_SPREAD: Duration = Duration::from_secs(1);

/// The phase of an agent, stable over processes, machines and releases (FNV-1a, so not the standard library's hasher,
/// which promises none of it).
pub(super) fn phase_hash(tenant: &str, agent: &str) -> u64 {
    const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    // A slash can't be part of a name, so no two pairs give the same bytes.
    let bytes = tenant.bytes().chain(*b"/").chain(agent.bytes());
    let hash = bytes.fold(OFFSET, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(PRIME));
    // FNV's low bits are weak for short inputs, and `% interval` looks at little else (the finaliser of MurmurHash3).
    let hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^ (hash >> 33)
}

/// The time from `unix_ms` to the agent's next regular poll: above zero, at most one interval.
pub(super) fn until_next_poll(unix_ms: u64, interval: Duration, hash: u64) -> Duration {
    let interval_ms = millis_at_least_one(interval);
    let phase = hash % interval_ms;
    let position = unix_ms % interval_ms;
    let wait = (phase + interval_ms - position) % interval_ms;
    Duration::from_millis(if wait == 0 { interval_ms } else { wait })
}

/// The time until the first poll of an agent that has just been assigned.
pub(super) fn until_first_poll(interval: Duration, hash: u64, never_reached: bool) -> Duration {
    let spread = if never_reached {
        FIRST_CONTACT_SPREAD
    } else {
        TAKEOVER_SPREAD
    };
    Duration::from_millis(hash % millis_at_least_one(interval.min(spread)))
}

fn millis_at_least_one(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).max(1)
}

/// What is due when. Each key has at most one entry.
#[derive(Debug)]
pub(super) struct Timetable<K> {
    by_time: BTreeSet<(BootTime, K)>,
    by_key: HashMap<K, BootTime>,
}

impl<K> Default for Timetable<K> {
    fn default() -> Self {
        Self {
            by_time: BTreeSet::new(),
            by_key: HashMap::new(),
        }
    }
}

impl<K: Clone + Ord + Hash> Timetable<K> {
    /// Makes `key` due at `at`, and at no other time.
    pub(super) fn set(&mut self, key: K, at: BootTime) {
        self.remove(&key);
        self.by_key.insert(key.clone(), at);
        self.by_time.insert((at, key));
    }

    /// Forgets `key`.
    pub(super) fn remove(&mut self, key: &K) {
        if let Some((key, at)) = self.by_key.remove_entry(key) {
            self.by_time.remove(&(at, key));
        }
    }

    /// The earliest time at which something is due.
    pub(super) fn next(&self) -> Option<BootTime> {
        self.by_time.first().map(|(at, _)| *at)
    }

    /// Takes one key that is due, the most overdue one first, with the time at which it was due.
    pub(super) fn take_due(&mut self, now: BootTime) -> Option<(K, BootTime)> {
        if self.next()? > now {
            return None;
        }
        let (at, key) = self.by_time.pop_first()?;
        self.by_key.remove(&key);
        Some((key, at))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn phase_is_the_same_on_every_machine_and_release() {
        assert_eq!(phase_hash("acme", "berlin-1"), 7_919_802_594_937_522_764);
        assert_ne!(phase_hash("acme", "berlin-1"), phase_hash("acme", "berlin-2"));
        assert_ne!(phase_hash("ab", "c"), phase_hash("a", "bc"));
    }

    #[test]
    fn phases_of_similar_names_spread_over_the_interval() {
        let mut tenths = [0_u32; 10];
        for number in 0..1000 {
            let hash = phase_hash("acme", &format!("agent-{number}"));
            tenths[usize::try_from(hash % 10_000 / 1_000).unwrap()] += 1;
        }
        assert!(
            tenths.iter().all(|count| (60..=140).contains(count)),
            "{tenths:?}"
        );
    }

    #[test]
    fn an_agent_that_was_never_reached_is_polled_within_a_second() {
        for number in 0..100 {
            let hash = phase_hash("acme", &format!("agent-{number}"));
            assert!(until_first_poll(Duration::from_secs(300), hash, true) < Duration::from_secs(1));
            assert!(until_first_poll(Duration::from_secs(300), hash, false) < Duration::from_secs(15));
            assert!(until_first_poll(Duration::from_secs(2), hash, false) < Duration::from_secs(2));
        }
    }

    #[test]
    fn a_key_is_due_once() {
        let mut table = Timetable::default();
        table.set("a", BootTime::from_millis(10));
        table.set("a", BootTime::from_millis(20));
        assert_eq!(table.take_due(BootTime::from_millis(15)), None);
        assert_eq!(
            table.take_due(BootTime::from_millis(20)),
            Some(("a", BootTime::from_millis(20)))
        );
        assert_eq!(table.next(), None);
    }

    proptest! {
        #[test]
        fn polls_fall_on_the_phase(now in 0_u64..4_000_000_000_000, interval in 1_u64..86_400_000, hash in any::<u64>()) {
            let wait = until_next_poll(now, Duration::from_millis(interval), hash);
            let wait = u64::try_from(wait.as_millis()).unwrap();
            prop_assert!(wait >= 1 && wait <= interval);
            prop_assert_eq!((now + wait) % interval, hash % interval);
        }

        #[test]
        fn keys_come_out_in_the_order_of_their_times(entries in proptest::collection::vec((0_u8..20, 0_u64..1_000), 0..60)) {
            let mut table = Timetable::default();
            let mut expected = HashMap::new();
            for (key, at) in entries {
                table.set(key, BootTime::from_millis(at));
                expected.insert(key, BootTime::from_millis(at));
            }
            let mut last = BootTime::default();
            while let Some((key, at)) = table.take_due(BootTime::from_millis(1_000)) {
                prop_assert!(at >= last);
                prop_assert_eq!(expected.remove(&key), Some(at));
                last = at;
            }
            prop_assert!(expected.is_empty());
        }
    }
}
