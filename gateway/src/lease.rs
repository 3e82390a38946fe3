//! The lease under which the gateway may act, and the fence that stops it before the platform gives its shards away.
//!
//! The platform's lease begins when the gateway *sent* what the platform answered, so that no delay on the way can make
//! the gateway believe in a longer lease than the platform does. The fence falls at 0.8 of it: the last fifth is for
//! clocks that don't run alike and for polls that are ending.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::clock::BootTime;

/// The part of a lease that the gateway uses before it fences itself.
const USABLE: f64 = 0.8;

/// Follows what was sent and what was answered. Pure: time is passed in.
#[derive(Debug, Default)]
pub struct Lease {
    /// When the Hello or Heartbeats were sent that have no answer yet, oldest first.
    unanswered: VecDeque<BootTime>,
    fence_at: Option<BootTime>,
}

impl Lease {
    /// A Hello or a Heartbeat is about to be sent.
    pub fn sent(&mut self, now: BootTime) {
        self.unanswered.push_back(now);
    }

    /// The platform granted a lease of `duration`. Answers come in the order of what they answer. Returns the time at
    /// which the gateway must stop unless another lease comes; `None` for a lease that answers nothing.
    pub fn granted(&mut self, duration: Duration) -> Option<BootTime> {
        let sent_at = self.unanswered.pop_front()?;
        let fence_at = sent_at + duration.mul_f64(USABLE);
        self.fence_at = self.fence_at.max(Some(fence_at));
        self.fence_at
    }

    /// Whether the gateway may act.
    pub fn holds(&self, now: BootTime) -> bool {
        self.fence_at.is_some_and(|fence_at| now < fence_at)
    }
}

/// The fence, readable by every part that acts. It is down (nobody may act) until it is first raised.
#[derive(Clone, Debug, Default)]
pub struct Fence(Arc<AtomicU64>);

impl Fence {
    /// The gateway may act until `until`.
    pub fn raise(&self, until: BootTime) {
        self.0.store(until.as_millis(), Ordering::Release);
    }

    /// Nobody may act any more.
    pub fn drop_now(&self) {
        self.0.store(0, Ordering::Release);
    }

    /// How long the gateway may still act; zero where it may not.
    pub fn remaining(&self, now: BootTime) -> Duration {
        BootTime::from_millis(self.0.load(Ordering::Acquire)).since(now)
    }

    /// Whether the gateway may act.
    pub fn may_act(&self, now: BootTime) -> bool {
        !self.remaining(now).is_zero()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TEN_SECONDS: Duration = Duration::from_secs(10);

    #[test]
    fn lease_counts_from_when_the_heartbeat_was_sent() {
        let mut lease = Lease::default();
        lease.sent(BootTime::from_millis(1_000));
        assert_eq!(lease.granted(TEN_SECONDS), Some(BootTime::from_millis(9_000)));
        assert!(lease.holds(BootTime::from_millis(8_999)));
        assert!(!lease.holds(BootTime::from_millis(9_000)));
    }

    #[test]
    fn answers_belong_to_the_oldest_unanswered_heartbeat() {
        let mut lease = Lease::default();
        lease.sent(BootTime::from_millis(0));
        lease.sent(BootTime::from_millis(3_000));
        assert_eq!(lease.granted(TEN_SECONDS), Some(BootTime::from_millis(8_000)));
        assert_eq!(lease.granted(TEN_SECONDS), Some(BootTime::from_millis(11_000)));
    }

    #[test]
    fn a_lease_that_answers_nothing_gives_nothing() {
        let mut lease = Lease::default();
        assert_eq!(lease.granted(TEN_SECONDS), None);
        assert!(!lease.holds(BootTime::from_millis(0)));
    }

    #[test]
    fn fence_is_down_until_raised_and_after_it_is_dropped() {
        let fence = Fence::default();
        let now = BootTime::from_millis(5);
        assert!(!fence.may_act(now));
        fence.raise(BootTime::from_millis(100));
        assert!(fence.may_act(now));
        assert_eq!(fence.remaining(now), Duration::from_millis(95));
        fence.drop_now();
        assert!(!fence.may_act(now));
    }

    proptest! {
        /// However heartbeats and answers interleave, the gateway never acts longer than 0.8 of a lease after the
        /// newest heartbeat that was answered.
        #[test]
        fn never_acts_beyond_the_newest_answered_heartbeat(
            steps in proptest::collection::vec((any::<bool>(), 0_u64..4_000), 1..80),
        ) {
            let mut lease = Lease::default();
            let mut now = 0;
            let mut sent = VecDeque::new();
            let mut newest_answered = None;
            for (is_send, pause) in steps {
                now += pause;
                if is_send {
                    lease.sent(BootTime::from_millis(now));
                    sent.push_back(now);
                } else {
                    lease.granted(TEN_SECONDS);
                    newest_answered = sent.pop_front().or(newest_answered);
                }
                let may_until = newest_answered.map_or(0, |at| at + 8_000);
                prop_assert_eq!(lease.holds(BootTime::from_millis(now)), now < may_until);
            }
        }
    }
}
