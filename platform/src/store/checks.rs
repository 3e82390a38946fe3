//! The newest result of each check, and the changes of its status.

use std::collections::BTreeMap;

use super::dialect::{in_list, text_list};
use super::row::row;
use super::{Connection, Result};
use crate::clock::UnixMs;
use crate::store::views::freshness::is_stale_sql;

row! {
    /// What ingest has to know of a check's newest result before it takes another.
    State {
        /// `ok`, `warning`, `critical` or `unknown`.
        status: String,
        /// Since when, on the agent's clock.
        since_at: UnixMs,
        /// The stream of the newest result.
        stream: String,
        /// Its sequence number.
        seq: i64,
        /// When its run started, on the agent's clock.
        started_at: UnixMs,
    }
}

row! {
    /// What the freshness scan looks at.
    Freshness {
        /// Whose agent.
        tenant: String,
        /// Which.
        agent: String,
        /// The check.
        name: String,
        /// Its interval.
        interval_ms: i64,
        /// When its newest result was received.
        received_at: UnixMs,
        /// When the agent last delivered anything.
        delivered_at: Option<UnixMs>,
        /// How often the agent is polled.
        poll_interval_ms: i64,
        /// The agent's reachability; absent before the first claim.
        reachability: Option<String>,
        /// 1 where an alert is open that says that it is stale.
        alerted: i64,
    }
}

/// A check's newest result, as it is written.
#[derive(Debug, Clone)]
pub struct NewState<'a> {
    /// Whose agent.
    pub tenant: &'a str,
    /// Which.
    pub agent: &'a str,
    /// The check.
    pub name: &'a str,
    /// What ran.
    pub checker: &'a str,
    /// Its version.
    pub checker_version: &'a str,
    /// Its status.
    pub status: &'a str,
    /// Since when it has it, on the agent's clock.
    pub since_at: UnixMs,
    /// One line.
    pub summary: &'a str,
    /// Why it gave no report; empty where it did.
    pub failure: &'a str,
    /// Its interval.
    pub interval_ms: i64,
    /// The stream of the result.
    pub stream: &'a str,
    /// Its sequence number.
    pub seq: i64,
    /// When the run started, on the agent's clock.
    pub started_at: UnixMs,
    /// The whole result, protobuf.
    pub result: &'a [u8],
}

/// The state of one check.
///
/// # Errors
/// [`super::StoreError`].
pub async fn find(
    connection: &mut Connection,
    tenant: &str,
    agent: &str,
    name: &str,
) -> Result<Option<State>> {
    Ok(sqlx::query_as(
        "SELECT status, since_at, stream, seq, started_at FROM check_state WHERE tenant = $1 AND agent = $2 AND name = $3",
    )
    .bind(tenant)
    .bind(agent)
    .bind(name)
    .fetch_optional(connection)
    .await?)
}

/// The states of those of an agent's checks that have one, by name.
///
/// # Errors
/// [`super::StoreError`].
pub async fn find_all(
    connection: &mut Connection,
    tenant: &str,
    agent: &str,
    names: &[&str],
) -> Result<BTreeMap<String, State>> {
    let rows: Vec<(String, String, UnixMs, String, i64, UnixMs)> = sqlx::query_as(concat!(
        "SELECT name, status, since_at, stream, seq, started_at FROM check_state \
         WHERE tenant = $1 AND agent = $2 AND name ",
        in_list!("$3")
    ))
    .bind(tenant)
    .bind(agent)
    .bind(text_list(names))
    .fetch_all(connection)
    .await?;
    let named = |(name, status, since_at, stream, seq, started_at)| {
        let state = State {
            status,
            since_at,
            stream,
            seq,
            started_at,
        };
        (name, state)
    };
    Ok(rows.into_iter().map(named).collect())
}

/// How many checks an agent has.
///
/// # Errors
/// [`super::StoreError`].
pub async fn count_of_agent(connection: &mut Connection, tenant: &str, agent: &str) -> Result<i64> {
    use sqlx::Row as _;
    Ok(
        sqlx::query("SELECT COUNT(*) FROM check_state WHERE tenant = $1 AND agent = $2")
            .bind(tenant)
            .bind(agent)
            .fetch_one(connection)
            .await?
            .try_get(0)?,
    )
}

/// Writes a check's newest result.
///
/// # Errors
/// [`super::StoreError`].
pub async fn upsert(connection: &mut Connection, state: &NewState<'_>, now: UnixMs) -> Result<()> {
    sqlx::query(
        "INSERT INTO check_state (tenant, agent, name, checker, checker_version, status, since_at, summary, failure, \
         interval_ms, stream, seq, started_at, received_at, result) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15) \
         ON CONFLICT (tenant, agent, name) DO UPDATE SET checker = excluded.checker, \
         checker_version = excluded.checker_version, status = excluded.status, since_at = excluded.since_at, \
         summary = excluded.summary, failure = excluded.failure, interval_ms = excluded.interval_ms, \
         stream = excluded.stream, seq = excluded.seq, started_at = excluded.started_at, \
         received_at = excluded.received_at, result = excluded.result",
    )
    .bind(state.tenant)
    .bind(state.agent)
    .bind(state.name)
    .bind(state.checker)
    .bind(state.checker_version)
    .bind(state.status)
    .bind(state.since_at)
    .bind(state.summary)
    .bind(state.failure)
    .bind(state.interval_ms)
    .bind(state.stream)
    .bind(state.seq)
    .bind(state.started_at)
    .bind(now)
    .bind(state.result)
    .execute(connection)
    .await?;
    Ok(())
}

/// A change of a check's status.
#[derive(Debug, Clone)]
pub struct NewEvent<'a> {
    /// Whose agent.
    pub tenant: &'a str,
    /// Which.
    pub agent: &'a str,
    /// The check.
    pub name: &'a str,
    /// The stream of the result that made the change.
    pub stream: &'a str,
    /// Its sequence number.
    pub seq: i64,
    /// What it was; `None` for a check's first result.
    pub old_status: Option<&'a str>,
    /// What it is.
    pub new_status: &'a str,
    /// One line.
    pub summary: &'a str,
    /// When, on the agent's clock.
    pub at: UnixMs,
}

/// Records a change of a check's status.
///
/// # Errors
/// [`super::StoreError`].
pub async fn insert_event(connection: &mut Connection, event: &NewEvent<'_>, now: UnixMs) -> Result<()> {
    sqlx::query(
        "INSERT INTO state_event (id, tenant, agent, name, stream, seq, old_status, new_status, summary, at, received_at) \
         SELECT COALESCE(MAX(id), 0) + 1, $1, $2, $3, $4, $5, $6, $7, $8, $9, $10 FROM state_event",
    )
    .bind(event.tenant)
    .bind(event.agent)
    .bind(event.name)
    .bind(event.stream)
    .bind(event.seq)
    .bind(event.old_status)
    .bind(event.new_status)
    .bind(event.summary)
    .bind(event.at)
    .bind(now)
    .execute(connection)
    .await?;
    Ok(())
}

/// Every tenant's checks that are stale although their agent is reachable, or that have an open alert about it.
///
/// # Errors
/// [`super::StoreError`].
pub async fn overdue(connection: &mut Connection, now: UnixMs) -> Result<Vec<Freshness>> {
    Ok(sqlx::query_as(concat!(
        "SELECT c.tenant, c.agent, c.name, c.interval_ms, c.received_at, k.updated_at AS delivered_at, \
         a.interval_ms AS poll_interval_ms, r.state AS reachability, \
         CASE WHEN l.id IS NULL THEN 0 ELSE 1 END AS alerted \
         FROM check_state c JOIN agent a ON a.tenant = c.tenant AND a.name = c.agent \
         LEFT JOIN agent_cursor k ON k.tenant = c.tenant AND k.agent = c.agent \
         LEFT JOIN agent_reach r ON r.tenant = c.tenant AND r.agent = c.agent \
         LEFT JOIN alert l ON l.tenant = c.tenant AND l.agent = c.agent AND l.name = c.name \
           AND l.kind = 'check_stale' AND l.resolved_at IS NULL \
         WHERE ",
        is_stale_sql!(),
        " OR l.id IS NOT NULL ORDER BY c.tenant, c.agent, c.name"
    ))
    .bind(now)
    .fetch_all(connection)
    .await?)
}

/// Forgets changes that were received before `before`, of every tenant.
///
/// # Errors
/// [`super::StoreError`].
pub async fn prune_events(connection: &mut Connection, before: UnixMs) -> Result<u64> {
    Ok(sqlx::query("DELETE FROM state_event WHERE received_at < $1")
        .bind(before)
        .execute(connection)
        .await?
        .rows_affected())
}

/// Forgets checks, of every tenant, that gave no result since `before`, and closes their alerts: they were taken out of
/// their agent's configuration.
///
/// # Errors
/// [`super::StoreError`].
pub async fn prune_states(connection: &mut Connection, before: UnixMs, now: UnixMs) -> Result<u64> {
    sqlx::query(
        "UPDATE alert SET resolved_at = $2, changed_at = $2 WHERE resolved_at IS NULL AND name <> '' AND EXISTS ( \
         SELECT 1 FROM check_state c WHERE c.tenant = alert.tenant AND c.agent = alert.agent AND c.name = alert.name \
         AND c.received_at < $1)",
    )
    .bind(before)
    .bind(now)
    .execute(&mut *connection)
    .await?;
    Ok(sqlx::query("DELETE FROM check_state WHERE received_at < $1")
        .bind(before)
        .execute(connection)
        .await?
        .rows_affected())
}
