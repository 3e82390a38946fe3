//! Polls every assigned agent on its interval.
//!
//! One task owns all agents and their timetables; each poll is a task of its own that takes the agent's connection with
//! it and brings it back. So an agent never has two polls at once, and when the session ends all of it is dropped
//! together. What an agent's identity needs is done beside the polls, in tasks of their own (`errand`), at most one at a
//! time for each agent; what both share is the agent's `line`.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rand::Rng as _;
use rand::rngs::StdRng;
use tokio::sync::mpsc;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::assignment::{AgentKey, Assigned, Change};
use crate::backoff::Backoff;
use crate::claims::Outbox;
use crate::clock::BootTime;
use crate::credentials::Credentials;
use crate::reachability::{Moment, State};
use crate::telemetry;
use crate::upkeep::{Attempt, Need};

pub(crate) mod connection;
pub(crate) mod dial;
mod entry;
mod errand;
pub(crate) mod failure;
mod frame;
mod line;
pub(crate) mod round;
mod timetable;

use entry::{Entry, Running};
use errand::{Done, Errand, Errands};
pub use frame::FrameError;
use line::Verdict;
use round::{Job, Report};
pub use round::{Outcome, Shared};
use timetable::{Timetable, until_first_poll, until_next_poll};

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

/// How long to wait for a certificate that is just being handed over to the agent.
const BEING_BROUGHT_IN: Duration = Duration::from_millis(100);

/// How often what depends on the time alone is looked at.
const TICK: Duration = Duration::from_secs(1);

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
    /// When something is to be done for an agent's identity.
    needs: Timetable<AgentKey>,
    errands: Errands,
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
            needs: Timetable::default(),
            errands: Errands::default(),
            rng,
        }
    }

    /// Polls until `drain` is cancelled and the polls in flight have ended, or the sender of `changes` is gone. Dropping
    /// the future ends every poll at once.
    pub async fn run(mut self, mut changes: mpsc::Receiver<Vec<Change>>, drain: CancellationToken) {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut has_abandoned = false;
        loop {
            let is_draining = drain.is_cancelled();
            if is_draining && !has_abandoned {
                has_abandoned = true;
                self.abandon_errands();
            }
            let may_start = !is_draining && self.polls.len() < self.max_in_flight;
            if may_start {
                self.start_due();
            }
            if !is_draining {
                self.start_errands();
            }
            if is_draining && self.polls.is_empty() && self.errands.is_empty() {
                return;
            }
            let poll = self.timetable.next().filter(|_| may_start);
            let need = self.needs.next().filter(|_| !is_draining);
            let next = [poll, need].into_iter().flatten().min();
            tokio::select! {
                () = drain.cancelled(), if !is_draining => {}
                Some(ended) = self.polls.join_next_with_id(), if !self.polls.is_empty() => self.absorb(ended),
                ended = self.errands.next(), if !self.errands.is_empty() => if let Some((key, done)) = ended {
                    self.absorb_errand(&key, done);
                },
                changed = changes.recv() => match changed {
                    Some(changed) => self.apply(changed),
                    None => return,
                },
                _ = tick.tick() => self.tick(),
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
                    self.needs.remove(&key);
                    let Some(mut entry) = self.agents.remove(&key) else {
                        continue;
                    };
                    entry.line.hang_up();
                    if let Some(running) = entry.running.take() {
                        self.forget(&running);
                    }
                    if let Some(errand) = &entry.errand {
                        self.errands.abandon(errand);
                    }
                }
            }
        }
    }

    fn upsert(&mut self, assigned: Arc<Assigned>, now: Moment) {
        let key = assigned.key.clone();
        let Some(entry) = self.agents.get_mut(&key) else {
            let entry = Entry::new(assigned, now);
            if entry.is_polled() {
                let never_reached = entry.assigned.reachability == State::Pending;
                let wait = until_first_poll(entry.assigned.interval, entry.hash, never_reached);
                self.timetable.set(key.clone(), now.boot + wait);
            }
            self.agents.insert(key.clone(), entry);
            return self.plan_errand(&key, now);
        };
        // The answers to what was submitted are newer than any delta: the cursor stays. So does whatever goes on over a
        // connection to somebody who is still whom to expect.
        let was_polled = entry.is_polled();
        let before = std::mem::replace(&mut entry.assigned, Arc::clone(&assigned));
        entry.upkeep.told(&before, &assigned, now.boot);
        let verdict = entry.line.told(assigned);
        if before.endpoint != entry.assigned.endpoint
            && let Some(errand) = entry.errand.take()
        {
            self.errands.abandon(&errand);
        }
        let begins_anew =
            verdict == Verdict::BeginAgain || before.epoch != entry.assigned.epoch || !was_polled;
        self.begin_again(&key, begins_anew, now);
        self.plan_errand(&key, now);
    }

    /// Plans the next poll of an agent after a new word on it; `at_once` where nothing from before counts any more.
    fn begin_again(&mut self, key: &AgentKey, at_once: bool, now: Moment) {
        let Some(entry) = self.agents.get_mut(key) else {
            return;
        };
        let was_running = if at_once { entry.running.take() } else { None };
        if entry.running.is_some() {
            return;
        }
        if entry.is_polled() {
            let wait = if at_once {
                Duration::ZERO
            } else {
                until_next_poll(now.unix_ms, entry.assigned.interval, entry.hash)
            };
            self.timetable.set(key.clone(), now.boot + wait);
        } else {
            self.timetable.remove(key);
        }
        if let Some(running) = was_running {
            self.forget(&running);
        }
    }

    fn forget(&mut self, running: &Running) {
        running.abort.abort();
        self.by_task.remove(&running.id);
    }

    /// Puts the agent's next need into the timetable.
    fn plan_errand(&mut self, key: &AgentKey, now: Moment) {
        let next = self.agents.get(key).and_then(|entry| entry.next_need(now));
        match next {
            Some((at, _)) => self.needs.set(key.clone(), at),
            None => self.needs.remove(key),
        }
    }

    fn start_errands(&mut self) {
        let now = Moment::now();
        while let Some((key, _)) = self.needs.take_due(now.boot) {
            let Some(entry) = self.agents.get(&key) else {
                continue;
            };
            match entry.next_need(now) {
                Some((at, need)) if at <= now.boot => self.start_errand(key, need, now),
                // What was planned isn't needed any more, or later.
                Some((at, _)) => self.needs.set(key, at),
                None => {}
            }
        }
    }

    fn start_errand(&mut self, key: AgentKey, need: Need, now: Moment) {
        let Some(credential) = self.credentials.get(&key.tenant) else {
            return self.needs.set(key, now.boot + NO_CREDENTIAL);
        };
        let Some(entry) = self.agents.get_mut(&key) else {
            return;
        };
        let errand = Errand {
            need,
            attempt: Attempt::new(),
            wire: entry.wire(&credential),
            line: Arc::clone(&entry.line),
            shared: self.shared.clone(),
            credential,
        };
        entry.errand = Some(self.errands.start(key, errand));
    }

    fn absorb_errand(&mut self, key: &AgentKey, done: Result<Done, JoinError>) {
        let Some(entry) = self.agents.get_mut(key) else {
            return;
        };
        let now = Moment::now();
        let Some(errand) = entry.errand.take() else { return };
        let poll_now = match done {
            Ok(done) => entry.absorb_errand(key, done, now, &self.outbox, &mut self.rng),
            Err(error) => {
                telemetry::errand_crashed(key, &error);
                entry.upkeep.failed(errand.need, now.boot, &mut self.rng);
                false
            }
        };
        // A poll in flight ends as it would have; the one after it is made at once.
        if poll_now && entry.running.is_none() {
            self.timetable.set(key.clone(), now.boot);
        }
        self.plan_errand(key, now);
    }

    /// At shutdown only what may have been issued already is still handed over.
    fn abandon_errands(&mut self) {
        for entry in self.agents.values_mut() {
            if let Some(errand) = entry.errand.take_if(|errand| !errand.attempt.is_issuing()) {
                self.errands.abandon(&errand);
            }
        }
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
        let Some(entry) = self.agents.get_mut(&key).filter(|entry| entry.is_polled()) else {
            return;
        };
        if entry.is_being_brought_in() {
            return self.timetable.set(key, now + BEING_BROUGHT_IN);
        }
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
            line: Arc::clone(&entry.line),
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
        self.timetable.set(key.clone(), now.boot + wait);
        self.plan_errand(&key, now);
    }

    /// Once a second: what depends on the time alone, and the numbers of agents, whose counting takes time in proportion.
    fn tick(&mut self) {
        let now = Moment::now();
        let too_long = |entry: &Entry| entry.line.tick(now.boot) == Verdict::BeginAgain;
        let judged: Vec<AgentKey> = self
            .agents
            .iter()
            .filter(|(_, entry)| too_long(entry))
            .map(|(key, _)| key.clone())
            .collect();
        for key in judged {
            self.begin_again(&key, true, now);
        }
        for state in State::ALL {
            let agents = self.agents.values();
            telemetry::agents_by_state(state, agents.filter(|e| e.reachability.state() == state).count());
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
