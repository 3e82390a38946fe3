//! Jobs. Whoever runs one holds its lease token; without it nobody can complete, fail or prolong it.

use sqlx::Row as _;

use super::row::row;
use super::{Connection, Result};
use crate::clock::UnixMs;

row! {
    /// A job that was claimed.
    Claimed {
        /// Its id.
        id: String,
        /// What is to be done.
        kind: String,
        /// With what: JSON.
        arguments: String,
        /// Which attempt this is, from 1 on.
        attempt: i64,
        /// How many there may be.
        max_attempts: i64,
    }
}

/// A job to enqueue.
#[derive(Debug, Clone)]
pub struct NewJob<'a> {
    /// Its id.
    pub id: &'a str,
    /// Its queue.
    pub queue: &'a str,
    /// What is to be done.
    pub kind: &'a str,
    /// With what: JSON.
    pub arguments: &'a str,
    /// While a job of this kind with this key waits or runs, no other is made.
    pub unique_key: Option<&'a str>,
    /// The smaller, the sooner.
    pub priority: i64,
    /// How often it is tried.
    pub max_attempts: i64,
    /// Not before.
    pub run_at: UnixMs,
}

/// Enqueues a job. False where its unique key is taken.
///
/// # Errors
/// [`super::StoreError`].
pub async fn insert(connection: &mut Connection, job: &NewJob<'_>, now: UnixMs) -> Result<bool> {
    let done = sqlx::query(
        "INSERT INTO job (id, queue, kind, arguments, state, unique_key, priority, attempt, max_attempts, run_at, \
         created_at) VALUES ($1, $2, $3, $4, 'available', $5, $6, 0, $7, $8, $9) ON CONFLICT DO NOTHING",
    )
    .bind(job.id)
    .bind(job.queue)
    .bind(job.kind)
    .bind(job.arguments)
    .bind(job.unique_key)
    .bind(job.priority)
    .bind(job.max_attempts)
    .bind(job.run_at)
    .bind(now)
    .execute(connection)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Whether a queue has a job that is due, or one whose worker's lease has ended.
///
/// # Errors
/// [`super::StoreError`].
pub async fn has_work(connection: &mut Connection, queue: &str, now: UnixMs) -> Result<bool> {
    Ok(sqlx::query(
        "SELECT 1 FROM job WHERE queue = $1 AND (state = 'available' AND run_at <= $2 \
         OR state = 'running' AND lease_until_at <= $2) LIMIT 1",
    )
    .bind(queue)
    .bind(now)
    .fetch_optional(connection)
    .await?
    .is_some())
}

/// Gives the most urgent due job to a worker.
///
/// # Errors
/// [`super::StoreError`].
pub async fn claim(
    connection: &mut Connection,
    queue: &str,
    node: &str,
    token: &str,
    now: UnixMs,
    lease_until_at: UnixMs,
) -> Result<Option<Claimed>> {
    Ok(sqlx::query_as(
        "UPDATE job SET state = 'running', attempt = attempt + 1, node = $3, lease_token = $4, lease_until_at = $5 \
         WHERE id = (SELECT id FROM job WHERE queue = $1 AND state = 'available' AND run_at <= $2 \
         ORDER BY priority, run_at, id LIMIT 1) \
         RETURNING id, kind, arguments, attempt, max_attempts",
    )
    .bind(queue)
    .bind(now)
    .bind(node)
    .bind(token)
    .bind(lease_until_at)
    .fetch_optional(connection)
    .await?)
}

/// Prolongs a lease. False where the worker has it no more.
///
/// # Errors
/// [`super::StoreError`].
pub async fn prolong(
    connection: &mut Connection,
    id: &str,
    token: &str,
    lease_until_at: UnixMs,
) -> Result<bool> {
    let done = sqlx::query(
        "UPDATE job SET lease_until_at = $3 WHERE id = $1 AND lease_token = $2 AND state = 'running'",
    )
    .bind(id)
    .bind(token)
    .bind(lease_until_at)
    .execute(connection)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Ends a job: `completed`, `discarded` or `cancelled`. Which node ran it stays on record. False where the worker's lease was taken from it.
///
/// # Errors
/// [`super::StoreError`].
pub async fn finish(
    connection: &mut Connection,
    id: &str,
    token: &str,
    state: &str,
    error: Option<&str>,
    now: UnixMs,
) -> Result<bool> {
    let done = sqlx::query(
        "UPDATE job SET state = $3, finished_at = $5, last_error = COALESCE($4, last_error), \
         lease_token = NULL, lease_until_at = NULL WHERE id = $1 AND lease_token = $2 AND state = 'running'",
    )
    .bind(id)
    .bind(token)
    .bind(state)
    .bind(error)
    .bind(now)
    .execute(connection)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Puts a job back, to be run at `run_at`. `spent` says whether the attempt counts. False where the worker's lease was
/// taken from it.
///
/// # Errors
/// [`super::StoreError`].
pub async fn put_back(
    connection: &mut Connection,
    id: &str,
    token: &str,
    run_at: UnixMs,
    error: Option<&str>,
    spent: bool,
) -> Result<bool> {
    let done = sqlx::query(
        "UPDATE job SET state = 'available', run_at = $3, last_error = COALESCE($4, last_error), attempt = attempt - $5, \
         node = NULL, lease_token = NULL, lease_until_at = NULL WHERE id = $1 AND lease_token = $2 AND state = 'running'",
    )
    .bind(id)
    .bind(token)
    .bind(run_at)
    .bind(error)
    .bind(i64::from(!spent))
    .execute(connection)
    .await?;
    Ok(done.rows_affected() == 1)
}

row! {
    /// A job whose worker's lease has ended.
    Lapsed {
        /// Its id.
        id: String,
        /// What was to be done.
        kind: String,
        /// The token that its worker had.
        lease_token: String,
        /// Which attempt it was.
        attempt: i64,
        /// How many there may be.
        max_attempts: i64,
    }
}

/// A queue's jobs whose worker's lease has ended.
///
/// # Errors
/// [`super::StoreError`].
pub async fn lapsed(connection: &mut Connection, queue: &str, now: UnixMs) -> Result<Vec<Lapsed>> {
    Ok(sqlx::query_as(
        "SELECT id, kind, lease_token, attempt, max_attempts FROM job WHERE queue = $1 AND state = 'running' \
         AND lease_until_at <= $2 ORDER BY id",
    )
    .bind(queue)
    .bind(now)
    .fetch_all(connection)
    .await?)
}

/// Cancels a job that waits. False where it runs or has ended.
///
/// # Errors
/// [`super::StoreError`].
pub async fn cancel(connection: &mut Connection, id: &str, now: UnixMs) -> Result<bool> {
    let done = sqlx::query(
        "UPDATE job SET state = 'cancelled', finished_at = $2 WHERE id = $1 AND state = 'available'",
    )
    .bind(id)
    .bind(now)
    .execute(connection)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Forgets jobs that ended before `before`. Returns how many.
///
/// # Errors
/// [`super::StoreError`].
pub async fn prune(connection: &mut Connection, before: UnixMs) -> Result<u64> {
    Ok(
        sqlx::query("DELETE FROM job WHERE finished_at IS NOT NULL AND finished_at < $1")
            .bind(before)
            .execute(connection)
            .await?
            .rows_affected(),
    )
}

/// The last slot for which a schedule made a job.
///
/// # Errors
/// [`super::StoreError`].
pub async fn last_slot(connection: &mut Connection, name: &str) -> Result<Option<UnixMs>> {
    Ok(
        match sqlx::query("SELECT last_slot_at FROM cron WHERE name = $1")
            .bind(name)
            .fetch_optional(connection)
            .await?
        {
            Some(row) => Some(row.try_get(0)?),
            None => None,
        },
    )
}

/// Takes a slot of a schedule. False where it, or a later one, was taken before.
///
/// # Errors
/// [`super::StoreError`].
pub async fn take_slot(connection: &mut Connection, name: &str, slot_at: UnixMs) -> Result<bool> {
    let done = sqlx::query(
        "INSERT INTO cron (name, last_slot_at) VALUES ($1, $2) ON CONFLICT (name) \
         DO UPDATE SET last_slot_at = excluded.last_slot_at WHERE cron.last_slot_at < excluded.last_slot_at",
    )
    .bind(name)
    .bind(slot_at)
    .execute(connection)
    .await?;
    Ok(done.rows_affected() == 1)
}
