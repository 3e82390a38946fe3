//! A worker: rescues, schedules, claims, runs, completes.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{Handler, Job, JobError, Outcome, Schedule, backoff};
use crate::app::Services;
use crate::metrics::jobs as report;
use crate::store::{self, StoreError};

/// How long a worker may be silent before another may take its job. Many times the renewal, so that a slow disk or a
/// paused machine of seconds loses nothing.
pub const LEASE_MS: i64 = 60_000;

/// How often a running job's lease is prolonged.
const PROLONG_EVERY: Duration = Duration::from_secs(15);

/// How often an idle worker looks for work. A look is one indexed read.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The longest error text that is kept.
const MAX_ERROR: usize = 2_000;

/// Runs the jobs of one queue, one after the other.
#[derive(Clone)]
pub struct Worker {
    services: Services,
    node: String,
    queue: &'static str,
    handlers: Arc<HashMap<&'static str, Arc<dyn Handler>>>,
    schedules: Arc<[Schedule]>,
}

impl std::fmt::Debug for Worker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Worker")
            .field("node", &self.node)
            .field("queue", &self.queue)
            .finish_non_exhaustive()
    }
}

/// A job that this worker has claimed. Without its token nothing can be said about it.
#[derive(Debug, Clone)]
pub struct Held {
    job: Job,
    token: String,
    max_attempts: i64,
}

impl Held {
    /// The job.
    #[must_use]
    pub const fn job(&self) -> &Job {
        &self.job
    }
}

/// How a completion was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Completion {
    /// Written.
    Written,
    /// Refused: the lease had ended, and the job is another worker's.
    Refused,
}

impl Worker {
    /// A worker of a queue, on a node.
    #[must_use]
    pub fn new(
        services: Services,
        node: &str,
        queue: &'static str,
        handlers: Vec<(&'static str, Arc<dyn Handler>)>,
        schedules: Vec<Schedule>,
    ) -> Self {
        Self {
            services,
            node: node.to_owned(),
            queue,
            handlers: Arc::new(handlers.into_iter().collect()),
            schedules: schedules.into(),
        }
    }

    /// Works until it is told to stop. A job that runs then is finished first by its own end or given up to its lease.
    pub async fn run(self, stop: CancellationToken) {
        loop {
            let idle = match self.round().await {
                Ok(worked) => !worked,
                Err(error) => {
                    report::round_failed(&error);
                    true
                }
            };
            let pause = if idle { LOOK_EVERY } else { Duration::ZERO };
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Makes what is due, rescues what was abandoned, and runs one job. True where one was run.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn round(&self) -> Result<bool, StoreError> {
        for schedule in &*self.schedules {
            match schedule.make_due_job(&self.services.store).await {
                Ok(_) => {}
                Err(super::schedule::ScheduleError::Store(error)) => return Err(error),
                Err(error) => report::schedule_broken(&error),
            }
        }
        let now = self.services.store.now().await?;
        if !store::jobs::has_work(&mut *self.services.store.read().await?, self.queue, now).await? {
            return Ok(false);
        }
        self.rescue().await?;
        let Some(held) = self.claim().await? else {
            return Ok(false);
        };
        let result = self.execute(&held).await;
        if self.complete(&held, result).await? == Completion::Refused {
            report::completion_refused(&held.job.kind, &held.job.id);
        }
        Ok(true)
    }

    /// Puts jobs back whose worker's lease has ended. Returns how many.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn rescue(&self) -> Result<usize, StoreError> {
        let mut write = self.services.store.write().await?;
        let now = write.now();
        let lapsed = store::jobs::lapsed(&mut write, self.queue, now).await?;
        for job in &lapsed {
            let error = format!("attempt {}: its worker stopped answering", job.attempt);
            if job.attempt >= job.max_attempts {
                store::jobs::finish(
                    &mut write,
                    &job.id,
                    &job.lease_token,
                    "discarded",
                    Some(&error),
                    now,
                )
                .await?;
            } else {
                store::jobs::put_back(&mut write, &job.id, &job.lease_token, now, Some(&error), true).await?;
            }
        }
        write.commit().await?;
        for job in &lapsed {
            report::rescued(&job.kind, &job.id);
        }
        Ok(lapsed.len())
    }

    /// Claims the most urgent due job.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn claim(&self) -> Result<Option<Held>, StoreError> {
        let token = uuid::Uuid::new_v4().to_string();
        let mut write = self.services.store.write().await?;
        let now = write.now();
        let claimed =
            store::jobs::claim(&mut write, self.queue, &self.node, &token, now, now + LEASE_MS).await?;
        write.commit().await?;
        Ok(claimed.map(|row| Held {
            job: Job {
                id: row.id,
                kind: row.kind,
                arguments: serde_json::from_str(&row.arguments).unwrap_or(serde_json::Value::Null),
                attempt: row.attempt,
            },
            token,
            max_attempts: row.max_attempts,
        }))
    }

    /// Runs a held job and keeps its lease meanwhile. It is stopped where the lease is lost.
    ///
    /// # Errors
    /// [`JobError`]: the job failed.
    pub async fn execute(&self, held: &Held) -> Result<Outcome, JobError> {
        let Some(handler) = self.handlers.get(held.job.kind.as_str()) else {
            return Err(JobError::Failed(format!(
                "this program has no handler for {:?}; a newer one may",
                held.job.kind
            )));
        };
        tokio::select! {
            result = handler.run(&self.services, &held.job) => result,
            lost = self.keep_lease(held) => Err(lost),
        }
    }

    async fn keep_lease(&self, held: &Held) -> JobError {
        loop {
            tokio::time::sleep(PROLONG_EVERY).await;
            match self.prolong(held).await {
                Ok(true) => {}
                Ok(false) => return JobError::Failed("the lease was lost".to_owned()),
                // Another look in a while; the lease is four times as long.
                Err(error) => report::round_failed(&error),
            }
        }
    }

    async fn prolong(&self, held: &Held) -> Result<bool, StoreError> {
        let mut write = self.services.store.write().await?;
        let until = write.now() + LEASE_MS;
        let held = store::jobs::prolong(&mut write, &held.job.id, &held.token, until).await?;
        write.commit().await?;
        Ok(held)
    }

    /// Writes what became of a held job, if it is still held.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn complete(
        &self,
        held: &Held,
        result: Result<Outcome, JobError>,
    ) -> Result<Completion, StoreError> {
        let mut write = self.services.store.write().await?;
        let now = write.now();
        let (id, token) = (&held.job.id, &held.token);
        let (written, outcome) = match result {
            Ok(Outcome::Done) => (
                store::jobs::finish(&mut write, id, token, "completed", None, now).await?,
                "completed",
            ),
            Ok(Outcome::Snooze(ms)) => (
                store::jobs::put_back(&mut write, id, token, now + ms.max(0), None, false).await?,
                "snoozed",
            ),
            Ok(Outcome::Cancel(reason)) => (
                store::jobs::finish(&mut write, id, token, "cancelled", Some(&reason), now).await?,
                "cancelled",
            ),
            Err(error) => {
                let text: String = format!("attempt {}: {error}", held.job.attempt)
                    .chars()
                    .take(MAX_ERROR)
                    .collect();
                if held.job.attempt >= held.max_attempts {
                    (
                        store::jobs::finish(&mut write, id, token, "discarded", Some(&text), now).await?,
                        "discarded",
                    )
                } else {
                    let again = now + backoff::delay_ms(held.job.attempt, rand::random());
                    (
                        store::jobs::put_back(&mut write, id, token, again, Some(&text), true).await?,
                        "failed",
                    )
                }
            }
        };
        write.commit().await?;
        if !written {
            return Ok(Completion::Refused);
        }
        report::finished(&held.job.kind, outcome);
        Ok(Completion::Written)
    }
}
