//! One check: its newest result, and the changes of its status.

use picket_proto::agent::v1::CheckResult;
use prost::Message as _;

use super::MAX_PAGE;
use super::agent::CheckLine;
use crate::clock::UnixMs;
use crate::store::row::row;
use crate::store::{Result, Store};

row! {
    /// The newest result of a check, as stored.
    CheckRow {
        /// Its name.
        name: String,
        /// What ran.
        checker: String,
        /// Which version of it.
        checker_version: String,
        /// `ok`, `warning`, `critical` or `unknown`.
        status: String,
        /// Since when, by the agent's clock.
        since_at: UnixMs,
        /// What it said.
        summary: String,
        /// Why it gave no report.
        failure: String,
        /// How often it runs.
        interval_ms: i64,
        /// When it ran, by the agent's clock.
        started_at: UnixMs,
        /// When the result came here.
        received_at: UnixMs,
        /// The whole `CheckResult`.
        result: Vec<u8>,
    }
}

/// A check with its newest result.
#[derive(Debug, Clone, PartialEq)]
pub struct Check {
    /// The columns.
    pub line: CheckLine,
    /// The body; empty where it can't be read.
    pub result: CheckResult,
}

impl From<CheckRow> for Check {
    fn from(row: CheckRow) -> Self {
        Self {
            // The ingest stored it from a decoded message; if it no longer decodes, the columns still tell the state.
            result: CheckResult::decode(row.result.as_slice()).unwrap_or_default(),
            line: CheckLine {
                name: row.name,
                checker: row.checker,
                checker_version: row.checker_version,
                status: row.status,
                since_at: row.since_at,
                summary: row.summary,
                failure: row.failure,
                interval_ms: row.interval_ms,
                started_at: row.started_at,
                received_at: row.received_at,
            },
        }
    }
}

/// One check.
///
/// # Errors
/// [`crate::store::StoreError::Sql`].
pub async fn check(store: &Store, tenant: &str, agent: &str, name: &str) -> Result<Option<Check>> {
    let mut read = store.read().await?;
    let row: Option<CheckRow> = sqlx::query_as(
        "SELECT name, checker, checker_version, status, since_at, summary, failure, interval_ms, started_at, received_at, \
         result FROM check_state WHERE tenant = $1 AND agent = $2 AND name = $3",
    )
    .bind(tenant)
    .bind(agent)
    .bind(name)
    .fetch_optional(&mut *read)
    .await?;
    Ok(row.map(Check::from))
}

/// All checks of an agent with their newest results, by name, after the name `after`.
///
/// # Errors
/// [`crate::store::StoreError::Sql`].
pub async fn checks(store: &Store, tenant: &str, agent: &str, after: &str, limit: u32) -> Result<Vec<Check>> {
    let mut read = store.read().await?;
    let rows: Vec<CheckRow> = sqlx::query_as(
        "SELECT name, checker, checker_version, status, since_at, summary, failure, interval_ms, started_at, received_at, \
         result FROM check_state WHERE tenant = $1 AND agent = $2 AND name > $3 ORDER BY name LIMIT $4",
    )
    .bind(tenant)
    .bind(agent)
    .bind(after)
    .bind(i64::from(limit.min(MAX_PAGE)))
    .fetch_all(&mut *read)
    .await?;
    Ok(rows.into_iter().map(Check::from).collect())
}

row! {
    /// A change of a check's status.
    StatusEvent {
        /// Its number.
        id: i64,
        /// What it was; `None` for the first result.
        old_status: Option<String>,
        /// What it became.
        new_status: String,
        /// What the check said.
        summary: String,
        /// When, by the agent's clock.
        at: UnixMs,
        /// When the platform heard of it.
        received_at: UnixMs,
    }
}

/// The changes of a check's status, newest first: at most `limit`, before `before` by the agent's clock.
///
/// # Errors
/// [`crate::store::StoreError::Sql`].
pub async fn events(
    store: &Store,
    (tenant, agent, name): (&str, &str, &str),
    before: UnixMs,
    limit: u32,
) -> Result<Vec<StatusEvent>> {
    let mut read = store.read().await?;
    Ok(sqlx::query_as(
        "SELECT id, old_status, new_status, summary, at, received_at FROM state_event \
         WHERE tenant = $1 AND agent = $2 AND name = $3 AND at < $4 ORDER BY at DESC, id DESC LIMIT $5",
    )
    .bind(tenant)
    .bind(agent)
    .bind(name)
    .bind(before)
    .bind(i64::from(limit.min(MAX_PAGE)))
    .fetch_all(&mut *read)
    .await?)
}
