//! Persistent jobs in the platform's own database, run on any live node.
//!
//! - [`enqueue`] puts a job into the caller's transaction: it exists exactly if the rest of the transaction does.
//! - [`schedule`] turns cron expressions into slots; each slot makes one job, whichever node sees it first.
//! - [`worker`] claims jobs under a lease, runs their [`Handler`], and completes them with the lease's token: a worker
//!   that stalled past its lease finds its completion refused.
//! - [`backoff`] says when a failed job is tried again; the time is kept in the job's row.
//! - [`certificate_expiry`], [`retention`], [`tenant_removal`] and [`authority_rotation`] are the real ones.

pub mod authority_rotation;
pub mod backoff;
pub mod certificate_expiry;
pub mod retention;
pub mod schedule;
pub mod tenant_removal;
pub mod worker;

use std::sync::Arc;

use async_trait::async_trait;

use crate::app::Services;
use crate::clock::UnixMs;
use crate::config::RetentionConfig;
use crate::store::{self, Connection, StoreError};

pub use schedule::Schedule;
pub use worker::Worker;

/// The queue of the platform's own upkeep.
pub const UPKEEP: &str = "upkeep";

/// How often a job is tried where its maker doesn't say.
pub const DEFAULT_ATTEMPTS: i64 = 10;

/// A job to enqueue.
#[derive(Debug, Clone)]
pub struct NewJob<'a> {
    /// Its queue.
    pub queue: &'a str,
    /// What is to be done: names the handler.
    pub kind: &'a str,
    /// With what.
    pub arguments: serde_json::Value,
    /// While a job of this kind with this key waits or runs, no other is made.
    pub unique_key: Option<&'a str>,
    /// The smaller, the sooner; 0 is usual.
    pub priority: i64,
    /// How often it is tried.
    pub max_attempts: i64,
    /// Not before; `None` is at once.
    pub run_at: Option<UnixMs>,
}

impl<'a> NewJob<'a> {
    /// A job of a kind, to be run at once.
    #[must_use]
    pub const fn new(queue: &'a str, kind: &'a str) -> Self {
        Self {
            queue,
            kind,
            arguments: serde_json::Value::Null,
            unique_key: None,
            priority: 0,
            max_attempts: DEFAULT_ATTEMPTS,
            run_at: None,
        }
    }
}

/// Enqueues a job in the caller's transaction. Returns its id, or `None` where its unique key is taken.
///
/// # Errors
/// [`StoreError`].
pub async fn enqueue(
    connection: &mut Connection,
    job: &NewJob<'_>,
    now: UnixMs,
) -> Result<Option<String>, StoreError> {
    let id = uuid::Uuid::now_v7().to_string();
    let row = store::jobs::NewJob {
        id: &id,
        queue: job.queue,
        kind: job.kind,
        arguments: &job.arguments.to_string(),
        unique_key: job.unique_key,
        priority: job.priority,
        max_attempts: job.max_attempts.max(1),
        run_at: job.run_at.unwrap_or(now),
    };
    let inserted = store::jobs::insert(connection, &row, now).await?;
    Ok(inserted.then_some(id))
}

/// A job that is being run.
#[derive(Debug, Clone)]
pub struct Job {
    /// Its id.
    pub id: String,
    /// What is to be done.
    pub kind: String,
    /// With what.
    pub arguments: serde_json::Value,
    /// Which attempt this is, from 1 on.
    pub attempt: i64,
}

/// What became of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Done.
    Done,
    /// Not yet: again in so many milliseconds, without counting this attempt.
    Snooze(i64),
    /// Never: trying again is no use.
    Cancel(String),
}

/// Why a job failed. It is tried again later.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Anything else.
    #[error("{0}")]
    Failed(String),
}

/// What does the jobs of one kind. A job may run twice (its worker died after the work and before its completion), so a
/// handler does nothing that a second time would spoil.
#[async_trait]
pub trait Handler: Send + Sync {
    /// Does one.
    async fn run(&self, services: &Services, job: &Job) -> Result<Outcome, JobError>;
}

/// The platform's own handlers.
#[must_use]
pub fn handlers(retention: RetentionConfig) -> Vec<(&'static str, Arc<dyn Handler>)> {
    vec![
        (
            certificate_expiry::KIND,
            Arc::new(certificate_expiry::CertificateExpiry),
        ),
        (retention::KIND, Arc::new(retention::Retention(retention))),
        (
            authority_rotation::KIND,
            Arc::new(authority_rotation::AuthorityRotation),
        ),
        (tenant_removal::KIND, Arc::new(tenant_removal::TenantRemoval)),
    ]
}

/// The platform's own schedules. Times are UTC.
#[must_use]
pub fn schedules() -> Vec<Schedule> {
    vec![
        // Hourly: a certificate lives for weeks, and a person wants to know within the day.
        Schedule {
            name: "certificate-expiry",
            cron: "17 * * * *",
            queue: UPKEEP,
            kind: certificate_expiry::KIND,
        },
        // While one is under way it comes again by itself; this is for a job that was lost.
        Schedule {
            name: authority_rotation::KIND,
            cron: "7 * * * *",
            queue: UPKEEP,
            kind: authority_rotation::KIND,
        },
        // At an hour when nobody looks at history.
        Schedule {
            name: "retention",
            cron: "41 3 * * *",
            queue: UPKEEP,
            kind: retention::KIND,
        },
    ]
}
