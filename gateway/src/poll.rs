//! Polls every assigned agent on its interval.
//!
//! One task owns all agents and their timetable; each poll is a task of its own that takes the agent's connection with
//! it and brings it back. So nothing here is locked, an agent never has two polls at once, and when the session ends
//! all of it is dropped together.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use picket_proto::platform::v1 as proto;
use rand::Rng as _;
use rand::rngs::StdRng;
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, Id, JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::assignment::{AgentKey, Assigned, Change, Cursor};
use crate::backoff::Backoff;
use crate::claims::{Outbox, Pace};
use crate::clock::BootTime;
use crate::credentials::Credentials;
use crate::reachability::{Moment, Reachability, State};
use crate::telemetry;

pub(crate) mod connection;
pub(crate) mod dial;
pub(crate) mod failure;
mod frame;
mod round;
mod timetable;

use connection::{Connection, Facts};
pub use frame::FrameError;
use round::{Job, Report};
pub use round::{Outcome, Shared};
use timetable::{Timetable, phase_hash, until_first_poll, until_next_poll};

/// After a failed poll of an agent. Half a minute is as long as an agent that is polled often may wait to be found again.
fn after_failure(interval: Duration) -> Backoff {
    const BASE: Duration = Duration::from_secs(1);
    Backoff::new(
        BASE,
        interval.clamp(Duration::from_secs(30), Duration::from_secs(300)),
    )
}

/// After a poll whose results the platform couldn't take.
const PLATFORM_BUSY: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(30));

/// How long to believe the platform that an agent isn't ours, where no delta says the same.
const NOT_OURS: Duration = Duration::from_secs(10);

/// How long to wait for a tenant's certificate before looking again.
const NO_CREDENTIAL: Duration = Duration::from_millis(500);

/// One agent.
struct Entry {
    assigned: Arc<Assigned>,
    hash: u64,
    reachability: Reachability,
    cursor: Cursor,
    facts: Option<Facts>,
    kept: Option<Connection>,
    pace: Pace,
    /// Polls in a row whose results the platform couldn't take.
    platform_failures: u32,
    running: Option<Running>,
}

struct Running {
    id: Id,
    abort: AbortHandle,
    since: BootTime,
}

/// Polls the agents of one session.
pub struct Poller {
    shared: Shared,
    credentials: Credentials,
    outbox: Outbox,
    max_in_flight: usize,
    in_flight: Arc<AtomicUsize>,
    agents: HashMap<AgentKey, Entry>,
    timetable: Timetable<AgentKey>,
    polls: JoinSet<Report>,
    by_task: HashMap<Id, AgentKey>,
    states_reported: BootTime,
    rng: StdRng,
}

impl Poller {
    /// A poller that has no agents yet. `in_flight` is where it keeps the number of running polls, for the heartbeats.
    pub fn new(
        shared: Shared,
        credentials: Credentials,
        outbox: Outbox,
        max_in_flight: usize,
        in_flight: Arc<AtomicUsize>,
        rng: StdRng,
    ) -> Self {
        Self {
            shared,
            credentials,
            outbox,
            max_in_flight,
            in_flight,
            agents: HashMap::new(),
            timetable: Timetable::default(),
            polls: JoinSet::new(),
            by_task: HashMap::new(),
            states_reported: BootTime::default(),
            rng,
        }
    }

    /// Polls until `drain` is cancelled and the polls in flight have ended, or the sender of `changes` is gone. Dropping
    /// the future ends every poll at once.
    pub async fn run(mut self, mut changes: mpsc::Receiver<Vec<Change>>, drain: CancellationToken) {
        loop {
            self.report_states();
            let may_start = !drain.is_cancelled() && self.polls.len() < self.max_in_flight;
            if may_start {
                self.start_due();
            }
            if drain.is_cancelled() && self.polls.is_empty() {
                return;
            }
            let next = self.timetable.next().filter(|_| may_start);
            tokio::select! {
                () = drain.cancelled(), if !drain.is_cancelled() => {}
                Some(ended) = self.polls.join_next_with_id(), if !self.polls.is_empty() => self.absorb(ended),
                changed = changes.recv() => match changed {
                    Some(changed) => self.apply(changed),
                    None => return,
                },
                () = until(next), if next.is_some() => {}
            }
        }
    }

    fn apply(&mut self, changes: Vec<Change>) {
        let now = Moment::now();
        for change in changes {
            match change {
                Change::Upsert(assigned) => self.upsert(assigned, now),
                Change::Remove(key) => {
                    self.outbox.withdraw(&key);
                    self.timetable.remove(&key);
                    if let Some(running) = self.agents.remove(&key).and_then(|entry| entry.running) {
                        self.forget(&running);
                    }
                }
            }
        }
    }

    fn upsert(&mut self, assigned: Arc<Assigned>, now: Moment) {
        let key = assigned.key.clone();
        let hash = phase_hash(key.tenant.as_str(), key.agent.as_str());
        let Some(entry) = self.agents.get_mut(&key) else {
            let never_reached = assigned.reachability == State::Pending;
            let wait = until_first_poll(assigned.interval, hash, never_reached);
            self.timetable.set(key.clone(), now.boot + wait);
            let entry = Entry {
                hash,
                reachability: Reachability::taken_over(assigned.reachability, now),
                cursor: assigned.cursor.clone(),
                facts: None,
                kept: None,
                pace: Pace::default(),
                platform_failures: 0,
                running: None,
                assigned,
            };
            self.agents.insert(key, entry);
            return;
        };
        // The answers to what was submitted are newer than any delta: the cursor stays. Whom to trust may have changed:
        // the connection doesn't stay, nor does a poll that began under the old word.
        let dial_again = !Connection::would_be_the_same(&entry.assigned, &assigned);
        let restart = dial_again || entry.assigned.epoch != assigned.epoch;
        if dial_again {
            entry.kept = None;
        }
        entry.assigned = assigned;
        let was_running = if restart { entry.running.take() } else { None };
        if entry.running.is_some() {
            return;
        }
        let wait = if restart {
            Duration::ZERO
        } else {
            until_next_poll(now.unix_ms, entry.assigned.interval, hash)
        };
        self.timetable.set(key, now.boot + wait);
        if let Some(running) = was_running {
            self.forget(&running);
        }
    }

    fn forget(&mut self, running: &Running) {
        running.abort.abort();
        self.by_task.remove(&running.id);
    }

    fn start_due(&mut self) {
        while self.polls.len() < self.max_in_flight {
            let now = BootTime::now();
            let Some((key, due)) = self.timetable.take_due(now) else {
                return;
            };
            self.start(key, due, now);
        }
    }

    fn start(&mut self, key: AgentKey, due: BootTime, now: BootTime) {
        let Some(entry) = self.agents.get_mut(&key) else {
            return;
        };
        let Some(credential) = self.credentials.get(&key.tenant) else {
            let wait = NO_CREDENTIAL.mul_f64(self.rng.random_range(0.5..=1.5));
            telemetry::poll_ended(&key, &Outcome::NoCredential, Duration::ZERO, self.polls.len());
            self.timetable.set(key, now + wait);
            return;
        };
        let job = Job {
            assigned: Arc::clone(&entry.assigned),
            cursor: entry.cursor.clone(),
            credential,
            kept: entry.kept.take(),
            shared: self.shared.clone(),
        };
        let abort = self.polls.spawn(round::poll(job));
        let id = abort.id();
        entry.running = Some(Running {
            id,
            abort,
            since: now,
        });
        self.by_task.insert(id, key);
        self.count_in_flight();
        telemetry::poll_started(now.since(due), self.polls.len());
    }

    fn count_in_flight(&self) {
        self.in_flight.store(self.polls.len(), Ordering::Relaxed);
    }

    fn absorb(&mut self, ended: Result<(Id, Report), JoinError>) {
        self.count_in_flight();
        let (id, report) = match ended {
            Ok((id, report)) => (id, Ok(report)),
            Err(error) => (error.id(), Err(error)),
        };
        // Polls that were aborted aren't in the table any more.
        let Some(key) = self.by_task.remove(&id) else {
            return;
        };
        let in_flight = self.polls.len();
        let Some(entry) = self.agents.get_mut(&key) else {
            return;
        };
        let now = Moment::now();
        let took = entry
            .running
            .take()
            .map_or(Duration::ZERO, |running| now.boot.since(running.since));
        let wait = match report {
            Ok(report) => {
                telemetry::poll_ended(&key, &report.outcome, took, in_flight);
                entry.absorb(&key, report, now, &self.outbox, &mut self.rng)
            }
            Err(error) => {
                telemetry::poll_crashed(&key, &error);
                entry.assigned.interval
            }
        };
        self.timetable.set(key, now.boot + wait);
    }

    /// Counts the agents, which takes time in proportion to them, at most once a second.
    fn report_states(&mut self) {
        let now = BootTime::now();
        if now.since(self.states_reported) < Duration::from_secs(1) {
            return;
        }
        self.states_reported = now;
        for state in State::ALL {
            let agents = self.agents.values();
            telemetry::agents_by_state(state, agents.filter(|e| e.reachability.state() == state).count());
        }
    }
}

impl Entry {
    /// Takes in what a poll found out; returns the time until the next one.
    fn absorb(
        &mut self,
        key: &AgentKey,
        report: Report,
        now: Moment,
        outbox: &Outbox,
        rng: &mut StdRng,
    ) -> Duration {
        self.cursor = report.cursor;
        self.kept = report.connection.map(Connection::keep);
        self.facts = report.facts.or_else(|| self.facts.take());
        let interval = self.assigned.interval;
        let unreachable_after = self.assigned.unreachable_after;
        let regular = || until_next_poll(now.unix_ms, interval, self.hash);
        let (news, wait) = match report.outcome {
            Outcome::Reached { more } => {
                self.platform_failures = 0;
                let wait = if more {
                    Duration::from_millis(100)
                } else {
                    regular()
                };
                (Some(self.reachability.succeeded(now)), wait)
            }
            Outcome::AgentFailed(failure) => {
                let news = self.reachability.failed(now, failure, unreachable_after);
                let delay = after_failure(interval).delay(self.reachability.failures(), rng);
                // The last try before an agent is called unreachable is made when that is due, not a backoff later.
                let deadline = self.reachability.unreachable_at(unreachable_after);
                let until_deadline = deadline.map_or(delay, |at| at.since(now.boot));
                (Some(news), delay.min(until_deadline))
            }
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
        if news.is_some_and(|news| self.pace.is_due(news, now.boot)) {
            outbox.put(key.clone(), self.claim());
        }
        wait
    }

    fn claim(&self) -> proto::ReachabilityClaim {
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
            ..proto::ReachabilityClaim::default()
        }
    }
}

/// Waits until then. Timers don't count suspend: the clock that does is asked again at least each second.
async fn until(at: Option<BootTime>) {
    let Some(at) = at else {
        return std::future::pending().await;
    };
    tokio::time::sleep(at.since(BootTime::now()).min(Duration::from_secs(1))).await;
}
