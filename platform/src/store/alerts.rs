//! Alerts: at most one open one of each kind for each agent or check; the database sees to that too.

use std::collections::BTreeMap;

use super::dialect::{in_list, text_list};
use super::row::row;
use super::{Connection, Result};
use crate::clock::UnixMs;

row! {
    /// An open alert, as far as the decision about it needs.
    Open {
        /// Its id.
        id: String,
        /// `warning` or `critical`.
        severity: String,
        /// One line.
        summary: String,
        /// Why.
        cause: String,
    }
}

/// Whom an alert is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subject<'a> {
    /// Whose agent.
    pub tenant: &'a str,
    /// The kind of alert.
    pub kind: &'a str,
    /// The agent.
    pub agent: &'a str,
    /// The check; empty for an alert about the agent itself.
    pub name: &'a str,
}

/// What an alert says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// `warning` or `critical`.
    pub severity: &'static str,
    /// One line.
    pub summary: String,
    /// Why; a word that programs can match.
    pub cause: String,
}

/// The open alert about a subject.
///
/// # Errors
/// [`super::StoreError`].
pub async fn find_open(connection: &mut Connection, subject: &Subject<'_>) -> Result<Option<Open>> {
    Ok(sqlx::query_as(
        "SELECT id, severity, summary, cause FROM alert \
         WHERE tenant = $1 AND kind = $2 AND agent = $3 AND name = $4 AND resolved_at IS NULL",
    )
    .bind(subject.tenant)
    .bind(subject.kind)
    .bind(subject.agent)
    .bind(subject.name)
    .fetch_optional(connection)
    .await?)
}

/// The open alerts of one kind about an agent's checks, by the check's name.
///
/// # Errors
/// [`super::StoreError`].
pub async fn find_open_of(
    connection: &mut Connection,
    tenant: &str,
    kind: &str,
    agent: &str,
    names: &[&str],
) -> Result<BTreeMap<String, Open>> {
    let rows: Vec<(String, String, String, String, String)> = sqlx::query_as(concat!(
        "SELECT name, id, severity, summary, cause FROM alert \
         WHERE tenant = $1 AND kind = $2 AND agent = $3 AND resolved_at IS NULL AND name ",
        in_list!("$4")
    ))
    .bind(tenant)
    .bind(kind)
    .bind(agent)
    .bind(text_list(names))
    .fetch_all(connection)
    .await?;
    let named = |(name, id, severity, summary, cause)| {
        let open = Open {
            id,
            severity,
            summary,
            cause,
        };
        (name, open)
    };
    Ok(rows.into_iter().map(named).collect())
}

/// Raises an alert.
///
/// # Errors
/// [`super::StoreError`]; a unique violation where one is open.
pub async fn raise(
    connection: &mut Connection,
    id: &str,
    subject: &Subject<'_>,
    content: &Content,
    now: UnixMs,
) -> Result<()> {
    sqlx::query(
        "INSERT INTO alert (id, tenant, kind, agent, name, severity, summary, cause, raised_at, changed_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9)",
    )
    .bind(id)
    .bind(subject.tenant)
    .bind(subject.kind)
    .bind(subject.agent)
    .bind(subject.name)
    .bind(content.severity)
    .bind(&content.summary)
    .bind(&content.cause)
    .bind(now)
    .execute(connection)
    .await?;
    Ok(())
}

/// Changes what an open alert says.
///
/// # Errors
/// [`super::StoreError`].
pub async fn change(
    connection: &mut Connection,
    tenant: &str,
    id: &str,
    content: &Content,
    now: UnixMs,
) -> Result<()> {
    sqlx::query(
        "UPDATE alert SET severity = $3, summary = $4, cause = $5, changed_at = $6 \
         WHERE tenant = $1 AND id = $2 AND resolved_at IS NULL",
    )
    .bind(tenant)
    .bind(id)
    .bind(content.severity)
    .bind(&content.summary)
    .bind(&content.cause)
    .bind(now)
    .execute(connection)
    .await?;
    Ok(())
}

/// Resolves an open alert.
///
/// # Errors
/// [`super::StoreError`].
pub async fn resolve(connection: &mut Connection, tenant: &str, id: &str, now: UnixMs) -> Result<()> {
    sqlx::query(
        "UPDATE alert SET resolved_at = $3, changed_at = $3 WHERE tenant = $1 AND id = $2 AND resolved_at IS NULL",
    )
    .bind(tenant)
    .bind(id)
    .bind(now)
    .execute(connection)
    .await?;
    Ok(())
}

/// The subjects of a kind's open alerts, of every tenant, as (tenant, agent, name).
///
/// # Errors
/// [`super::StoreError`].
pub async fn open_of_kind(connection: &mut Connection, kind: &str) -> Result<Vec<(String, String, String)>> {
    Ok(
        sqlx::query_as("SELECT tenant, agent, name FROM alert WHERE kind = $1 AND resolved_at IS NULL")
            .bind(kind)
            .fetch_all(connection)
            .await?,
    )
}

/// Forgets alerts, of every tenant, that were resolved before `before`.
///
/// # Errors
/// [`super::StoreError`].
pub async fn prune(connection: &mut Connection, before: UnixMs) -> Result<u64> {
    Ok(
        sqlx::query("DELETE FROM alert WHERE resolved_at IS NOT NULL AND resolved_at < $1")
            .bind(before)
            .execute(connection)
            .await?
            .rows_affected(),
    )
}
