//! When checks run.
//!
//! - [`plan`]: when one check has its turns; pure. [`cron`]: turns that are times of the wall clock.
//! - [`course`]: what results make of the next run: soft and hard, retries; pure. [`health`]: checkers that crash.
//! - [`table`]: due, running, skipped; pure, time passed in.
//! - [`Scheduler`]: the task around them. It starts runs, each a task of its own, and never waits for one.
//!
//! Time is a clock that goes on while the machine sleeps, set to the wall clock once at the start: a clock that is put right
//! moves no check but those with a cron, and a machine that sleeps wakes without a burst.

mod clock;
pub mod course;
pub mod cron;
pub mod health;
pub mod plan;
pub mod table;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use picket_identity::name::CheckName;
use picket_proto::agent::v1::CheckResult;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::spool::Appended;
use clock::Clock;
pub use clock::unix_ms;
use course::Course;
use plan::Plan;
use table::{Due, Outlook, Refused, Table};

/// How long the scheduler sleeps at most. Timers stand still while the machine sleeps; this is how long after a wake it may
/// take until what was missed is seen.
const LOOK: Duration = Duration::from_secs(10);

/// What a run gives: the result, and the wait for it to be durable.
#[derive(Debug)]
pub struct Finished {
    /// The result.
    pub result: CheckResult,
    /// Its place in the spool, once it is durable.
    pub appended: Appended,
    /// Where it leaves its check.
    pub course: Course,
}

/// Runs a check once. It always gives a result: what goes wrong is one.
pub trait Run: Send + Sync + 'static {
    /// Runs. `None` where the check has gone in the meantime.
    fn run(&self, due: Due, scheduled_at_unix_ms: u64) -> impl Future<Output = Option<Finished>> + Send;

    /// A run panicked: a bug of ours, that must not stop the others.
    fn crashed(&self, check: &CheckName, reason: &str);
}

enum Command {
    Replace(Vec<(CheckName, Plan)>),
    RunNow(CheckName, oneshot::Sender<Result<Finished, Refused>>),
    Outlook(oneshot::Sender<Vec<Outlook>>),
}

/// A run's end: its check, and where it leaves it together with what was run. `None` where nothing came of it.
type Ended = (CheckName, Option<(u64, Course)>);

/// A handle to the scheduler; it ends with its token.
#[derive(Clone, Debug)]
pub struct Scheduler {
    commands: mpsc::UnboundedSender<Command>,
}

impl Scheduler {
    /// Starts the task; `drain` is how long runs under way may still take once `shutdown` is cancelled.
    pub fn start<R: Run>(
        runner: Arc<R>,
        drain: Duration,
        shutdown: CancellationToken,
    ) -> (Self, tokio::task::JoinHandle<()>) {
        let (commands, receiver) = mpsc::unbounded_channel();
        let worker = Worker {
            runner,
            table: Table::default(),
            runs: JoinSet::new(),
            clock: Clock::start(),
        };
        let task = tokio::spawn(worker.work(receiver, drain, shutdown));
        (Self { commands }, task)
    }

    /// These checks and no others are scheduled from now on. Those whose plan is the same aren't touched.
    pub fn replace(&self, checks: Vec<(CheckName, Plan)>) {
        // A scheduler that has ended schedules nothing more.
        let _ = self.commands.send(Command::Replace(checks));
    }

    /// Runs a check now, out of its turn.
    ///
    /// # Errors
    /// There is no such check, it is running, or the agent is shutting down.
    pub async fn run_now(&self, check: CheckName) -> Result<Finished, Refused> {
        let (reply, finished) = oneshot::channel();
        if self.commands.send(Command::RunNow(check, reply)).is_err() {
            return Err(Refused::Stopping);
        }
        finished.await.unwrap_or(Err(Refused::Stopping))
    }

    /// How things stand, check by check; empty once the agent is shutting down.
    pub async fn outlook(&self) -> Vec<Outlook> {
        let (reply, outlook) = oneshot::channel();
        if self.commands.send(Command::Outlook(reply)).is_err() {
            return Vec::new();
        }
        outlook.await.unwrap_or_default()
    }
}

struct Worker<R> {
    runner: Arc<R>,
    table: Table,
    runs: JoinSet<()>,
    clock: Clock,
}

impl<R: Run> Worker<R> {
    async fn work(
        mut self,
        mut commands: mpsc::UnboundedReceiver<Command>,
        drain: Duration,
        shutdown: CancellationToken,
    ) {
        let (ended, mut endings) = mpsc::unbounded_channel();
        // One timer, set anew only where the next time is another: setting one wakes the thread that waits for timers.
        let mut alarm = std::pin::pin!(tokio::time::sleep(Duration::ZERO));
        let mut set_for = None;
        loop {
            // Each time around, not only when the timer ends: ends of runs may come faster than it does.
            for due in self.table.take_due(self.clock.now_ms()) {
                self.start(due, None, ended.clone());
            }
            let next = self.table.next_due_ms();
            if set_for != Some(next) {
                let wait = next.map_or(LOOK, |due_ms| self.clock.until(due_ms).min(LOOK));
                alarm.as_mut().reset(Instant::now() + wait);
                set_for = Some(next);
            }
            tokio::select! {
                () = shutdown.cancelled() => break,
                () = alarm.as_mut() => {
                    self.table.set_skew(self.clock.skew_ms(), self.clock.now_ms());
                    set_for = None;
                }
                Some((check, ran)) = endings.recv() => self.table.finished(&check, ran, self.clock.now_ms()),
                Some(_) = self.runs.join_next(), if !self.runs.is_empty() => {}
                command = commands.recv() => match command {
                    Some(Command::Replace(checks)) => self.replace(&checks),
                    Some(Command::RunNow(check, reply)) => match self.table.start_now(&check, self.clock.now_ms()) {
                        Ok(due) => self.start(due, Some(reply), ended.clone()),
                        Err(refused) => {
                            // Whoever asked may have gone.
                            let _ = reply.send(Err(refused));
                        }
                    },
                    // Whoever asked may have gone.
                    Some(Command::Outlook(reply)) => drop(reply.send(self.table.outlook(self.clock.now_ms()))),
                    None => break,
                },
            }
        }
        // Whoever still asks is told at once.
        drop(commands);
        let drained =
            tokio::time::timeout(drain, async { while self.runs.join_next().await.is_some() {} }).await;
        if drained.is_err() {
            self.runs.shutdown().await;
        }
    }

    fn replace(&mut self, checks: &[(CheckName, Plan)]) {
        let names: std::collections::BTreeSet<_> = checks.iter().map(|(name, _)| name.clone()).collect();
        self.table.retain(|check| names.contains(check));
        for (name, plan) in checks {
            self.table.set(name, plan.clone(), self.clock.now_ms());
        }
    }

    fn start(
        &mut self,
        due: Due,
        reply: Option<oneshot::Sender<Result<Finished, Refused>>>,
        ended: mpsc::UnboundedSender<Ended>,
    ) {
        let runner = Arc::clone(&self.runner);
        let mut guard = Ending {
            check: due.check.clone(),
            ran: None,
            ended,
            runner: Arc::clone(&runner),
        };
        let subject = due.subject;
        // Now, not when the run is first polled: what a busy machine adds is lateness.
        let scheduled_at = unix_ms().saturating_sub(due.late_ms);
        self.runs.spawn(async move {
            let finished = runner.run(due, scheduled_at).await;
            guard.ran = finished.as_ref().map(|finished| (subject, finished.course));
            drop(guard);
            if let Some(reply) = reply {
                let _ = reply.send(finished.ok_or(Refused::Unknown));
            }
        });
    }
}

/// Tells the worker that a run has ended, also where it panicked.
struct Ending<R: Run> {
    check: CheckName,
    ran: Option<(u64, Course)>,
    ended: mpsc::UnboundedSender<Ended>,
    runner: Arc<R>,
}

impl<R: Run> Drop for Ending<R> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.runner.crashed(&self.check, "the run panicked");
        }
        // The worker has ended when the program is ending.
        let _ = self.ended.send((self.check.clone(), self.ran.take()));
    }
}

#[cfg(test)]
mod tests;
