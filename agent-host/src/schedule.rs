//! When checks run.
//!
//! - [`plan`]: when one check is due; pure.
//! - [`table`]: due, running, skipped; pure, time passed in.
//! - [`Scheduler`]: the task around them. It starts runs, each a task of its own, and never waits for one.
//!
//! Time is the monotonic clock set to the wall clock once at the start: a clock that is put right moves no check, and a
//! machine that sleeps wakes without a burst.

pub mod plan;
pub mod table;

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use picket_identity::name::CheckName;
use picket_proto::agent::v1::CheckResult;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::spool::Appended;
use plan::Plan;
use table::{Due, Refused, Table};

/// What a run gives: the result, and the wait for it to be durable.
#[derive(Debug)]
pub struct Finished {
    /// The result.
    pub result: CheckResult,
    /// Its place in the spool, once it is durable.
    pub appended: Appended,
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
}

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
    /// There is no such check, or it is running.
    pub async fn run_now(&self, check: CheckName) -> Result<Finished, Refused> {
        let (reply, finished) = oneshot::channel();
        if self.commands.send(Command::RunNow(check, reply)).is_err() {
            return Err(Refused::Unknown);
        }
        finished.await.unwrap_or(Err(Refused::Unknown))
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
        let mut alarm = std::pin::pin!(tokio::time::sleep_until(Instant::now()));
        loop {
            let next = self.table.next_due_ms().map(|due_ms| self.clock.instant(due_ms));
            // With nothing scheduled there is nothing to wake up for; a far time keeps the select simple.
            let next = next.unwrap_or_else(|| Instant::now() + Duration::from_secs(3_600));
            if alarm.deadline() != next {
                alarm.as_mut().reset(next);
            }
            tokio::select! {
                () = shutdown.cancelled() => break,
                () = alarm.as_mut() => {
                    for due in self.table.take_due(self.clock.now_ms()) {
                        self.start(due, None, ended.clone());
                    }
                }
                Some(check) = endings.recv() => self.table.finished(&check),
                Some(_) = self.runs.join_next(), if !self.runs.is_empty() => {}
                command = commands.recv() => match command {
                    Some(Command::Replace(checks)) => self.replace(&checks),
                    Some(Command::RunNow(check, reply)) => match self.table.start_now(&check) {
                        Ok(due) => self.start(due, Some(reply), ended.clone()),
                        Err(refused) => {
                            // Whoever asked may have gone.
                            let _ = reply.send(Err(refused));
                        }
                    },
                    None => break,
                },
            }
        }
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
        ended: mpsc::UnboundedSender<CheckName>,
    ) {
        let runner = Arc::clone(&self.runner);
        let guard = Ending {
            check: due.check.clone(),
            ended,
            runner: Arc::clone(&runner),
        };
        self.runs.spawn(async move {
            let scheduled_at = unix_ms().saturating_sub(due.late_ms);
            let finished = runner.run(due, scheduled_at).await;
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
    ended: mpsc::UnboundedSender<CheckName>,
    runner: Arc<R>,
}

impl<R: Run> Drop for Ending<R> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.runner.crashed(&self.check, "the run panicked");
        }
        // The worker has ended when the program is ending.
        let _ = self.ended.send(self.check.clone());
    }
}

/// A line of milliseconds that never goes back, and starts at the wall clock's time: phases are those of the wall clock.
#[derive(Clone, Copy, Debug)]
struct Clock {
    started: Instant,
    started_ms: u64,
}

impl Clock {
    fn start() -> Self {
        Self {
            started: Instant::now(),
            started_ms: unix_ms(),
        }
    }

    fn now_ms(&self) -> u64 {
        self.started_ms + u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX / 2)
    }

    fn instant(&self, at_ms: u64) -> Instant {
        // A millisecond more: a timer never wakes before what it is for.
        self.started + Duration::from_millis(at_ms.saturating_sub(self.started_ms) + 1)
    }
}

/// The wall clock, in ms since 1970.
#[must_use]
pub fn unix_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests;
