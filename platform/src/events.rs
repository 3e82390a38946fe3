//! Hints that something changed. A hint only wakes: whoever receives it reads the truth from the store again, so a lost
//! or doubled hint costs a little time or a little work, never correctness.
//!
//! [`EventBus`] carries them inside this process; [`watch`] notices what other processes wrote to the same database.

pub mod watch;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::broadcast;

use crate::clock::UnixMs;

/// Hints that a slow subscriber may fall behind by before it is told that it lagged (and reads everything again).
/// 4,096 small events are less than a megabyte.
const CAPACITY: usize = 4096;

/// How long a published change is remembered, so that the watcher doesn't publish it a second time. Longer than the
/// watcher's overlap.
const REMEMBERED_MS: i64 = 30_000;

/// What kind of thing changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EventKind {
    /// A check's newest result.
    Check,
    /// An agent: its registration, reachability or cursor.
    Agent,
    /// An alert was raised, changed, acknowledged or resolved.
    Alert,
    /// A gateway: its state or its shards. Has no tenant.
    Gateway,
    /// A tenant's own row.
    Tenant,
}

impl EventKind {
    /// The word for it in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Check => "check",
            Self::Agent => "agent",
            Self::Alert => "alert",
            Self::Gateway => "gateway",
            Self::Tenant => "tenant",
        }
    }
}

/// One hint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// What kind of thing changed.
    pub kind: EventKind,
    /// Whose it is; empty for a gateway.
    pub tenant: String,
    /// The agent's name; for a gateway, the gateway's; empty for a tenant.
    pub agent: String,
    /// The check's name; for an alert, its id; else empty.
    pub name: String,
    /// When, on the database's clock: with the names it makes the version of the change.
    pub at: UnixMs,
}

impl Event {
    /// A check has a newer result.
    #[must_use]
    pub fn check(tenant: &str, agent: &str, name: &str, at: UnixMs) -> Self {
        Self {
            kind: EventKind::Check,
            tenant: tenant.into(),
            agent: agent.into(),
            name: name.into(),
            at,
        }
    }

    /// An agent changed.
    #[must_use]
    pub fn agent(tenant: &str, agent: &str, at: UnixMs) -> Self {
        Self {
            kind: EventKind::Agent,
            tenant: tenant.into(),
            agent: agent.into(),
            name: String::new(),
            at,
        }
    }

    /// An alert changed.
    #[must_use]
    pub fn alert(tenant: &str, agent: &str, id: &str, at: UnixMs) -> Self {
        Self {
            kind: EventKind::Alert,
            tenant: tenant.into(),
            agent: agent.into(),
            name: id.into(),
            at,
        }
    }

    /// A gateway changed.
    #[must_use]
    pub fn gateway(gateway: &str, at: UnixMs) -> Self {
        Self {
            kind: EventKind::Gateway,
            tenant: String::new(),
            agent: gateway.into(),
            name: String::new(),
            at,
        }
    }

    /// A tenant changed.
    #[must_use]
    pub fn tenant(tenant: &str, at: UnixMs) -> Self {
        Self {
            kind: EventKind::Tenant,
            tenant: tenant.into(),
            agent: String::new(),
            name: String::new(),
            at,
        }
    }
}

type Subject = (EventKind, String, String, String);

/// The bus of this process. Cheap to clone.
#[derive(Debug, Clone)]
pub struct EventBus {
    sender: broadcast::Sender<Event>,
    published: Arc<Mutex<HashMap<Subject, UnixMs>>>,
}

impl Default for EventBus {
    fn default() -> Self {
        let (sender, _) = broadcast::channel(CAPACITY);
        Self {
            sender,
            published: Arc::default(),
        }
    }
}

impl EventBus {
    /// From now on. A receiver that lags gets [`broadcast::error::RecvError::Lagged`] and has to read everything anew.
    #[must_use]
    pub fn subscribe(&self) -> broadcast::Receiver<Event> {
        self.sender.subscribe()
    }

    /// Tells all subscribers. Call it after the transaction has committed, never before.
    pub fn publish(&self, event: Event) {
        self.remember(&event);
        // An error only says that nobody listens.
        let _nobody = self.sender.send(event);
    }

    /// Tells all subscribers, unless this process has published this very change, or a newer one, before.
    pub fn publish_if_new(&self, event: Event) {
        if self.remember(&event) {
            let _nobody = self.sender.send(event);
        }
    }

    /// Whether the change is newer than what is remembered of its subject.
    fn remember(&self, event: &Event) -> bool {
        let subject = (
            event.kind,
            event.tenant.clone(),
            event.agent.clone(),
            event.name.clone(),
        );
        let mut published = self.published.lock().unwrap_or_else(PoisonError::into_inner);
        if published.len() >= CAPACITY * 4 {
            let horizon = event.at - REMEMBERED_MS;
            published.retain(|_, at| *at >= horizon);
        }
        let before = published.entry(subject).or_insert(UnixMs::MIN);
        let newer = *before < event.at;
        *before = event.at.max(*before);
        newer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_change_that_was_published_here_is_not_published_again_by_the_watcher() {
        let bus = EventBus::default();
        let mut events = bus.subscribe();
        bus.publish(Event::check("acme", "berlin-1", "web", 5));
        bus.publish_if_new(Event::check("acme", "berlin-1", "web", 5));
        bus.publish_if_new(Event::check("acme", "berlin-1", "web", 6));
        assert_eq!(events.recv().await.unwrap().at, 5);
        assert_eq!(events.recv().await.unwrap().at, 6);
        assert!(events.try_recv().is_err());
    }
}
