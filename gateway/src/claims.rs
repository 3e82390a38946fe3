//! What the gateway says about its agents, on its way to the platform.
//!
//! A change is said at once, an unchanged state at most every nine seconds: a claim is a row that the platform writes.
//! While the session can't take claims, only the newest of each agent is kept.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use picket_proto::platform::v1::ReachabilityClaim;
use tokio::sync::Notify;

use crate::assignment::AgentKey;
use crate::clock::BootTime;

/// How often an unchanged state is said again, with the newest clock skew and spool. A little less than the usual
/// interval of 10 s, so that an agent's polls don't miss every second refresh by a millisecond.
const REFRESH: Duration = Duration::from_secs(9);

/// The most claims in one message: about 100 KiB.
const BATCH: usize = 500;

/// When one agent's claim was last sent. Pure.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pace {
    last: Option<BootTime>,
}

impl Pace {
    /// Whether to claim now; `changed` where there is news.
    pub fn is_due(&mut self, changed: bool, now: BootTime) -> bool {
        let due = changed || self.last.is_none_or(|last| now.since(last) >= REFRESH);
        if due {
            self.last = Some(now);
        }
        due
    }
}

/// Claims that wait for the session. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Outbox(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    waiting: Mutex<HashMap<AgentKey, ReachabilityClaim>>,
    filled: Notify,
}

impl Outbox {
    /// Puts a claim in, in place of an older one of the same agent.
    pub fn put(&self, key: AgentKey, claim: ReachabilityClaim) {
        self.waiting().insert(key, claim);
        self.0.filled.notify_one();
    }

    /// Takes the claim of an agent back: it isn't ours any more.
    pub fn withdraw(&self, key: &AgentKey) {
        self.waiting().remove(key);
    }

    /// Waits until there is something to take.
    pub async fn filled(&self) {
        while self.waiting().is_empty() {
            self.0.filled.notified().await;
        }
    }

    /// Takes as many claims as one message may have.
    pub fn take(&self) -> Vec<ReachabilityClaim> {
        let mut waiting = self.waiting();
        let keys: Vec<AgentKey> = waiting.keys().take(BATCH).cloned().collect();
        keys.iter().filter_map(|key| waiting.remove(key)).collect()
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, HashMap<AgentKey, ReachabilityClaim>> {
        // A map of claims is whole after any panic: nothing panics between its changes.
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(agent: &str) -> AgentKey {
        AgentKey {
            tenant: "acme".parse().unwrap(),
            agent: agent.parse().unwrap(),
        }
    }

    #[test]
    fn a_change_is_claimed_at_once_and_a_state_at_most_every_refresh() {
        let mut pace = Pace::default();
        let at = BootTime::from_millis;
        assert!(pace.is_due(false, at(0)), "the first poll is always claimed");
        assert!(!pace.is_due(false, at(8_999)));
        assert!(pace.is_due(true, at(8_999)));
        assert!(!pace.is_due(false, at(17_000)));
        assert!(pace.is_due(false, at(17_999)));
    }

    #[test]
    fn only_the_newest_claim_of_an_agent_is_kept() {
        let outbox = Outbox::default();
        for epoch in 1..=3 {
            outbox.put(
                key("a"),
                ReachabilityClaim {
                    epoch,
                    ..Default::default()
                },
            );
        }
        let taken = outbox.take();
        assert_eq!(taken.len(), 1);
        assert_eq!(taken[0].epoch, 3);
        assert!(outbox.take().is_empty());
    }

    #[test]
    fn a_message_has_a_bounded_number_of_claims() {
        let outbox = Outbox::default();
        for number in 0..1_200 {
            outbox.put(key(&format!("a{number}")), ReachabilityClaim::default());
        }
        assert_eq!(outbox.take().len(), 500);
        assert_eq!(outbox.take().len(), 500);
        assert_eq!(outbox.take().len(), 200);
    }
}
