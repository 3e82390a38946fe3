//! One agent, as the poller knows it.

use std::sync::Arc;
use std::time::Duration;

use picket_identity::Serial;
use picket_proto::platform::v1 as proto;
use rand::rngs::StdRng;
use tokio::task::{AbortHandle, Id};

use super::connection::{Connection, Facts, Wire};
use super::errand::{self, Achieved, Done};
use super::line::Line;
use super::round::{Outcome, Report};
use super::timetable::{phase_hash, until_next_poll};
use super::{NO_CREDENTIAL, NOT_OURS, PLATFORM_BUSY, after_failure};
use crate::assignment::{AgentKey, Assigned, Cursor, Work};
use crate::backoff::Backoff;
use crate::claims::{Outbox, Pace};
use crate::clock::BootTime;
use crate::credentials::TenantCredential;
use crate::reachability::{Failure, Moment, Reachability, State};
use crate::telemetry;
use crate::upkeep::Need;
use crate::upkeep::plan::Upkeep;

/// After a failed poll of an agent that waits to be enrolled or recovered. One that has just got its certificate is about
/// to be started.
const AWAITED: Backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(5));

/// One agent.
pub(super) struct Entry {
    pub(super) assigned: Arc<Assigned>,
    pub(super) line: Arc<Line>,
    pub(super) hash: u64,
    pub(super) reachability: Reachability,
    pub(super) cursor: Cursor,
    pub(super) upkeep: Upkeep,
    pub(super) kept: Option<Connection>,
    pub(super) running: Option<Running>,
    pub(super) errand: Option<errand::Running>,
    unseen: Option<Unseen>,
    facts: Option<Facts>,
    pace: Pace,
    /// The certificate and the trust statement that the platform was told of.
    claimed: Option<(String, u64)>,
    /// Polls in a row whose results the platform couldn't take.
    platform_failures: u32,
    /// Polls in a row that failed while the agent waits to be enrolled or recovered.
    awaited_failures: u32,
}

/// A certificate that the agent has installed, and hasn't shown yet.
struct Unseen {
    serial: Serial,
    /// A poll was in flight, over a connection that may be from before.
    was_polling: bool,
}

/// A poll in flight.
pub(super) struct Running {
    pub(super) id: Id,
    pub(super) abort: AbortHandle,
    pub(super) since: BootTime,
}

impl Entry {
    pub(super) fn new(assigned: Arc<Assigned>, now: Moment) -> Self {
        let hash = phase_hash(assigned.key.tenant.as_str(), assigned.key.agent.as_str());
        Self {
            hash,
            line: Arc::new(Line::new(Arc::clone(&assigned))),
            reachability: Reachability::taken_over(assigned.reachability, now),
            cursor: assigned.cursor.clone(),
            upkeep: Upkeep::new(hash, &assigned, now.boot),
            kept: None,
            running: None,
            errand: None,
            unseen: None,
            facts: None,
            pace: Pace::default(),
            claimed: None,
            platform_failures: 0,
            awaited_failures: 0,
            assigned,
        }
    }

    /// One that waits for its first certificate can't be polled: there is nothing to verify it by.
    pub(super) fn is_polled(&self) -> bool {
        let expected = self.line.expected();
        expected.work != Work::Enroll || !expected.active_serials.is_empty()
    }

    /// Whether a certificate is just being handed over to an agent that can't be polled before.
    pub(super) fn is_being_brought_in(&self) -> bool {
        let is_handing_over = self.errand.as_ref().is_some_and(|errand| {
            matches!(errand.need, Need::Enrolment | Need::Recovery) && errand.attempt.is_issuing()
        });
        is_handing_over && !self.answers()
    }

    fn answers(&self) -> bool {
        self.reachability.state() == State::Reachable
    }

    /// What its identity needs next, and when.
    pub(super) fn next_need(&self, now: Moment) -> Option<(BootTime, Need)> {
        match self.errand {
            Some(_) => None,
            None => self.upkeep.next(&self.assigned, self.answers(), now),
        }
    }

    /// A connection that can be used beside the polls.
    pub(super) fn wire(&self, credential: &TenantCredential) -> Option<Arc<Wire>> {
        let kept = self.kept.as_ref().map(|kept| Arc::clone(kept.wire()));
        kept.or_else(|| self.line.polled())
            .filter(|wire| wire.is_current(credential))
    }

    /// Takes in what a poll found out; returns the time until the next one.
    pub(super) fn absorb(
        &mut self,
        key: &AgentKey,
        report: Report,
        now: Moment,
        outbox: &Outbox,
        rng: &mut StdRng,
    ) -> Duration {
        self.cursor = report.cursor;
        self.facts = report.facts.or_else(|| self.facts.take());
        if let Some((certificate, trust_sequence)) = report.seen {
            self.upkeep.seen(certificate, trust_sequence);
        }
        self.keep(report.connection);
        let interval = self.assigned.interval;
        let regular = || until_next_poll(now.unix_ms, interval, self.hash);
        let (news, wait) = match report.outcome {
            Outcome::Reached { more } => {
                self.platform_failures = 0;
                self.awaited_failures = 0;
                let wait = if more {
                    Duration::from_millis(100)
                } else {
                    regular()
                };
                (Some(self.reachability.succeeded(now)), wait)
            }
            Outcome::AgentFailed(failure) => self.poll_failed(failure, now, rng),
            Outcome::PlatformBusy(_) => {
                self.platform_failures = self.platform_failures.saturating_add(1);
                let wait = PLATFORM_BUSY.delay(self.platform_failures, rng);
                (Some(self.reachability.succeeded(now)), wait)
            }
            Outcome::NotOurs => (None, NOT_OURS),
            Outcome::Fenced | Outcome::NoCredential => (None, NO_CREDENTIAL),
        };
        if news == Some(true) {
            telemetry::reachability_changed(key, &self.reachability);
        }
        if let Some(news) = news {
            self.claim_if_due(news, now, outbox);
        }
        // That went over a connection from before the renewal: the new certificate is still to be seen.
        if self.unseen.is_some() {
            Duration::ZERO
        } else {
            wait
        }
    }

    /// Keeps the connection for the polls to come, unless it was made before the agent had its newest certificate.
    fn keep(&mut self, connection: Option<Connection>) {
        let unseen = self.unseen.take();
        let is_from_before = unseen.as_ref().is_some_and(|unseen| {
            let shown = connection
                .as_ref()
                .map(|connection| connection.verified().serial());
            unseen.was_polling && shown.is_some_and(|shown| *shown != unseen.serial)
        });
        if is_from_before {
            self.kept = None;
            self.unseen = unseen.map(|unseen| Unseen {
                was_polling: false,
                ..unseen
            });
            return;
        }
        self.kept = connection.map(Connection::keep);
    }

    fn poll_failed(&mut self, failure: Failure, now: Moment, rng: &mut StdRng) -> (Option<bool>, Duration) {
        let is_awaited = self.assigned.work != Work::Poll;
        // Why it isn't enrolled or recovered yet is what people want to know; the errands say that.
        if is_awaited {
            self.awaited_failures = self.awaited_failures.saturating_add(1);
        }
        let awaited = AWAITED.delay(self.awaited_failures, rng).max(NO_CREDENTIAL / 2);
        if is_awaited && !self.answers() {
            return (None, awaited);
        }
        if self.assigned.work == Work::Enroll {
            return (Some(self.reachability.awaits(now, failure)), awaited);
        }
        let unreachable_after = self.assigned.unreachable_after;
        let news = self.reachability.failed(now, failure, unreachable_after);
        let delay = after_failure(self.assigned.interval).delay(self.reachability.failures(), rng);
        // The last try before an agent is called unreachable is made when that is due, not a backoff later.
        let deadline = self.reachability.unreachable_at(unreachable_after);
        let until_deadline = deadline.map_or(delay, |at| at.since(now.boot));
        (Some(news), delay.min(until_deadline))
    }

    /// Takes in what became of an errand. Whether the agent is to be polled at once.
    pub(super) fn absorb_errand(
        &mut self,
        key: &AgentKey,
        done: Done,
        now: Moment,
        outbox: &Outbox,
        rng: &mut StdRng,
    ) -> bool {
        let (need, correlation_id) = (done.need, &done.attempt.correlation_id);
        if let Some((certificate, trust_sequence)) = done.seen {
            self.upkeep.seen(certificate, trust_sequence);
        }
        match done.outcome {
            Ok(Achieved::Installed(serial)) => {
                telemetry::certificate_installed(key, need, correlation_id, &serial);
                self.upkeep.succeeded(need, now.boot);
                self.awaited_failures = 0;
                // The connection shows the old certificate: the new one is seen by dialling anew.
                self.kept = None;
                self.unseen = Some(Unseen {
                    serial,
                    was_polling: self.running.is_some(),
                });
                return true;
            }
            Ok(Achieved::Trusts(sequence)) => {
                telemetry::trust_delivered(key, sequence);
                self.upkeep.succeeded(need, now.boot);
                self.claim_if_due(false, now, outbox);
            }
            Err(mut trouble) => {
                let retry_in = self.upkeep.failed(need, now.boot, rng);
                telemetry::errand_failed(key, need, correlation_id, &trouble, retry_in);
                trouble.failure.detail.push_str(&format!(
                    " (step {}, attempt {correlation_id})",
                    trouble.step.as_str()
                ));
                self.errand_failed(key, need, trouble.failure, now, outbox);
            }
        }
        if let Some(connection) = done.connection
            && self.kept.is_none()
            && self.running.is_none()
            && self.unseen.is_none()
        {
            self.kept = Some(connection.keep());
        }
        false
    }

    fn errand_failed(&mut self, key: &AgentKey, need: Need, failure: Failure, now: Moment, outbox: &Outbox) {
        // An agent that answers has nothing to be blamed for: it is polled as ever.
        if self.answers() {
            return;
        }
        let unreachable_after = self.assigned.unreachable_after;
        let news = match need {
            Need::Enrolment => self.reachability.awaits(now, failure),
            Need::Recovery => self.reachability.failed(now, failure, unreachable_after),
            Need::Trust | Need::Renewal => return,
        };
        if news {
            telemetry::reachability_changed(key, &self.reachability);
        }
        self.claim_if_due(news, now, outbox);
    }

    fn claim_if_due(&mut self, news: bool, now: Moment, outbox: &Outbox) {
        let shown = self.shown();
        let is_news = news || self.claimed.as_ref() != Some(&shown);
        if self.pace.is_due(is_news, now.boot) {
            outbox.put(self.assigned.key.clone(), self.claim(&shown));
            self.claimed = Some(shown);
        }
    }

    /// The certificate by which the agent was verified, and the trust statement that it goes by.
    fn shown(&self) -> (String, u64) {
        let serial = self.upkeep.certificate().map(|certificate| &certificate.serial);
        (
            serial.map(ToString::to_string).unwrap_or_default(),
            self.upkeep.trust_sequence().unwrap_or_default(),
        )
    }

    fn claim(&self, (certificate_serial, trust_sequence): &(String, u64)) -> proto::ReachabilityClaim {
        let failure = self.reachability.failure();
        let facts = self.facts.as_ref();
        proto::ReachabilityClaim {
            tenant: self.assigned.key.tenant.to_string(),
            agent: self.assigned.key.agent.to_string(),
            shard: self.assigned.shard,
            epoch: self.assigned.epoch,
            state: proto::Reachability::from(self.reachability.state()).into(),
            cause: failure.map_or_else(String::new, |failure| failure.cause.to_string()),
            detail: failure.map_or_else(String::new, |failure| failure.detail.clone()),
            since_unix_ms: self.reachability.since_unix_ms(),
            clock_skew_ms: facts.map(|facts| facts.clock_skew_ms),
            agent_version: facts.map_or_else(String::new, |facts| facts.version.clone()),
            spool: facts
                .and_then(|facts| facts.spool.as_ref())
                .map(|spool| proto::AgentSpool {
                    stream: spool.stream.clone(),
                    first_seq: spool.first_seq,
                    last_seq: spool.last_seq,
                    bytes: spool.bytes,
                    quota_bytes: spool.quota_bytes,
                    dropped: spool.dropped,
                }),
            certificate_serial: certificate_serial.clone(),
            trust_sequence: *trust_sequence,
        }
    }
}
