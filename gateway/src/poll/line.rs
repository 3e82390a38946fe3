//! What all who have to do with one agent share: the newest word on whom to expect, and the connections that were made.
//!
//! A word that takes somebody away cuts at once whoever isn't accepted any more, and nobody else.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use picket_identity::Serial;

use super::connection::Wire;
use super::dial;
use crate::assignment::Assigned;
use crate::clock::BootTime;
use crate::telemetry;

/// The registry's word follows what the platform issued within this time. Until then the serial number counts that came
/// with the certificate: it is the platform's word as well.
const WORD_FOLLOWS: Duration = Duration::from_secs(10);

/// What a new word does to the connections that were made under the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// Whoever was accepted still is.
    Wider,
    /// Some may not be accepted any more.
    Narrower,
    /// Another place, or another agent.
    Elsewhere,
}

impl Change {
    /// Pure: compares what says whom to expect, and where.
    pub(super) fn between(before: &Assigned, after: &Assigned) -> Self {
        if before.endpoint != after.endpoint || before.spiffe_id != after.spiffe_id {
            return Self::Elsewhere;
        }
        let has_all = |after: &[Vec<u8>], before: &[Vec<u8>]| before.iter().all(|der| after.contains(der));
        let serials = &after.active_serials;
        let is_wider = before
            .active_serials
            .iter()
            .all(|serial| serials.contains(serial))
            && has_all(&after.trust.roots, &before.trust.roots)
            && has_all(&after.trust.tenant_cas, &before.trust.tenant_cas);
        if is_wider { Self::Wider } else { Self::Narrower }
    }
}

/// What has to be done about the poll in flight, if there is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It goes on.
    GoOn,
    /// It was begun under a word that doesn't hold any more.
    BeginAgain,
}

/// One agent's.
#[derive(Debug)]
pub(super) struct Line(Mutex<Inner>);

#[derive(Debug)]
struct Inner {
    word: Arc<Assigned>,
    /// What was just issued to the agent, until the registry's word has named it, or this time has come.
    issued: Option<(Serial, BootTime)>,
    /// The connection of the poll in flight, once it is there.
    polled: Option<Weak<Wire>>,
    /// All connections.
    wires: Vec<Weak<Wire>>,
}

impl Line {
    pub(super) fn new(word: Arc<Assigned>) -> Self {
        Self(Mutex::new(Inner {
            word,
            issued: None,
            polled: None,
            wires: Vec::new(),
        }))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Whole after any panic: nothing panics between its changes.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whom to expect now.
    pub(super) fn expected(&self) -> Arc<Assigned> {
        self.lock().expected()
    }

    /// A certificate was issued to the agent: it may show it from now on.
    pub(super) fn issued(&self, serial: &Serial, now: BootTime) {
        self.lock().issued = Some((serial.clone(), now + WORD_FOLLOWS));
    }

    /// A poll begins to dial.
    pub(super) fn dials(&self) {
        self.lock().polled = None;
    }

    /// A poll goes on over this connection.
    pub(super) fn polls(&self, wire: &Arc<Wire>, made_under: &Assigned) {
        self.connected(wire, made_under);
        self.lock().polled = Some(Arc::downgrade(wire));
    }

    /// The connection of the poll in flight.
    pub(super) fn polled(&self) -> Option<Arc<Wire>> {
        self.lock().polled.as_ref().and_then(Weak::upgrade)
    }

    /// There is a connection. If the word has changed since it was dialled, it is cut where it isn't accepted any more.
    pub(super) fn connected(&self, wire: &Arc<Wire>, made_under: &Assigned) {
        let mut inner = self.lock();
        inner.wires.retain(|known| known.strong_count() > 0);
        let known = Arc::downgrade(wire);
        if !inner.wires.iter().any(|other| other.ptr_eq(&known)) {
            inner.wires.push(known);
        }
        let expected = inner.expected();
        let _ = still_accepted(Change::between(made_under, &expected), &expected, wire);
    }

    /// Takes in the registry's new word. The verdict is on a poll in flight.
    pub(super) fn told(&self, word: Arc<Assigned>) -> Verdict {
        let mut inner = self.lock();
        let before = inner.expected();
        inner.word = word;
        // What the registry has named once is the registry's alone from then on.
        let is_named =
            |(serial, _): &(Serial, BootTime)| inner.word.active_serials.contains(&serial.to_string());
        if inner.issued.as_ref().is_some_and(is_named) {
            inner.issued = None;
        }
        inner.judge(&before)
    }

    /// Time has passed: what the registry hasn't named in time doesn't count any more.
    pub(super) fn tick(&self, now: BootTime) -> Verdict {
        let mut inner = self.lock();
        if inner.issued.as_ref().is_none_or(|(_, until)| now < *until) {
            return Verdict::GoOn;
        }
        let before = inner.expected();
        inner.issued = None;
        inner.judge(&before)
    }

    /// Cuts everything.
    pub(super) fn hang_up(&self) {
        let inner = self.lock();
        for wire in inner.wires.iter().filter_map(Weak::upgrade) {
            wire.cut();
        }
    }
}

impl Inner {
    fn expected(&self) -> Arc<Assigned> {
        let Some((serial, _)) = &self.issued else {
            return Arc::clone(&self.word);
        };
        let serial = serial.to_string();
        if self.word.active_serials.contains(&serial) {
            return Arc::clone(&self.word);
        }
        let mut expected = Assigned::clone(&self.word);
        expected.active_serials.push(serial);
        Arc::new(expected)
    }

    fn judge(&mut self, before: &Assigned) -> Verdict {
        let expected = self.expected();
        let change = Change::between(before, &expected);
        if change == Change::Wider {
            return Verdict::GoOn;
        }
        let polled = self.polled.as_ref().and_then(Weak::upgrade);
        let mut is_polled_accepted = false;
        for wire in self.wires.iter().filter_map(Weak::upgrade) {
            let is_accepted = still_accepted(change, &expected, &wire);
            let is_polled = polled.as_ref().is_some_and(|polled| Arc::ptr_eq(polled, &wire));
            is_polled_accepted |= is_accepted && is_polled;
        }
        // One that is still dialling began under the old word.
        if is_polled_accepted {
            Verdict::GoOn
        } else {
            Verdict::BeginAgain
        }
    }
}

/// Whether a connection is as good after a change; it is cut where it isn't.
fn still_accepted(change: Change, expected: &Assigned, wire: &Wire) -> bool {
    let refusal = match change {
        Change::Wider => return true,
        Change::Elsewhere => None,
        Change::Narrower => match dial::verify_again(expected, wire.verified()) {
            Ok(()) => return true,
            Err(refusal) => Some(refusal),
        },
    };
    wire.cut();
    telemetry::connection_cut(&expected.key, wire.verified().serial(), refusal.as_ref());
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upkeep::plan::tests::assigned;

    fn with(change: impl FnOnce(&mut Assigned)) -> Assigned {
        let mut assigned = assigned();
        let mut trust = crate::assignment::TenantTrust::clone(&assigned.trust);
        trust.roots = vec![vec![1]];
        trust.tenant_cas = vec![vec![2]];
        assigned.trust = Arc::new(trust);
        change(&mut assigned);
        assigned
    }

    fn with_cas(roots: &[u8], tenant_cas: &[u8]) -> Assigned {
        let der = |numbers: &[u8]| numbers.iter().map(|number| vec![*number]).collect();
        with(|assigned| {
            assigned.trust = Arc::new(crate::assignment::TenantTrust {
                roots: der(roots),
                tenant_cas: der(tenant_cas),
            });
        })
    }

    #[test]
    fn what_is_only_added_to_cuts_nobody() {
        let before = with(|_| {});
        for after in [
            with(|_| {}),
            with(|word| word.active_serials.push("0b".to_owned())),
            with(|word| word.active_serials.insert(0, "0b".to_owned())),
            with_cas(&[1, 3], &[2]),
            with_cas(&[1], &[4, 2]),
            with(|word| word.interval = Duration::from_secs(1)),
            with(|word| word.renew = true),
        ] {
            assert_eq!(Change::between(&before, &after), Change::Wider, "{after:?}");
        }
    }

    #[test]
    fn what_is_taken_away_is_looked_at_again() {
        let before = with(|_| {});
        for after in [
            with(|word| word.active_serials.clear()),
            with(|word| word.active_serials = vec!["0b".to_owned()]),
            with_cas(&[3], &[2]),
            with_cas(&[1], &[4]),
        ] {
            assert_eq!(Change::between(&before, &after), Change::Narrower, "{after:?}");
        }
    }

    #[test]
    fn another_place_is_another_connection() {
        let before = with(|_| {});
        let after = with(|word| word.endpoint = "10.0.0.9:7443".to_owned());
        assert_eq!(Change::between(&before, &after), Change::Elsewhere);
    }

    #[test]
    fn what_was_just_issued_counts_until_the_registry_has_named_it() {
        let serial: Serial = "0b".parse().unwrap();
        let line = Line::new(Arc::new(with(|_| {})));
        line.issued(&serial, BootTime::from_millis(0));
        assert_eq!(line.expected().active_serials, ["0a", "0b"]);
        // A word from before the issue takes nothing away.
        line.told(Arc::new(with(|word| word.interval = Duration::from_secs(1))));
        assert_eq!(line.expected().active_serials, ["0a", "0b"]);
        line.told(Arc::new(with(|word| word.active_serials.push("0b".to_owned()))));
        line.told(Arc::new(with(|_| {})));
        assert_eq!(
            line.expected().active_serials,
            ["0a"],
            "named and taken away again"
        );
    }

    #[test]
    fn what_the_registry_never_names_counts_for_a_few_seconds() {
        let serial: Serial = "0b".parse().unwrap();
        let line = Line::new(Arc::new(with(|_| {})));
        line.issued(&serial, BootTime::from_millis(0));
        line.tick(BootTime::from_millis(9_999));
        assert_eq!(line.expected().active_serials, ["0a", "0b"]);
        assert_eq!(line.tick(BootTime::from_millis(10_000)), Verdict::BeginAgain);
        assert_eq!(line.expected().active_serials, ["0a"]);
    }
}
