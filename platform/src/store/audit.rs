//! Who did what. One row for each administrative act, in the act's own transaction.

use super::row::row;
use super::{Connection, Result};
use crate::clock::UnixMs;

row! {
    /// One act.
    Act {
        /// Its number.
        id: i64,
        /// When.
        at: UnixMs,
        /// Who.
        actor: String,
        /// What, for example `agent.add`.
        action: String,
        /// In which tenant, if in one.
        tenant: Option<String>,
        /// To what.
        subject: String,
        /// For people.
        detail: String,
    }
}

/// Records an act.
///
/// # Errors
/// [`super::StoreError`].
pub async fn record(
    connection: &mut Connection,
    now: UnixMs,
    actor: &str,
    action: &str,
    tenant: Option<&str>,
    subject: &str,
    detail: &str,
) -> Result<()> {
    sqlx::query(
        "INSERT INTO audit (id, at, actor, action, tenant, subject, detail) \
         SELECT COALESCE(MAX(id), 0) + 1, $1, $2, $3, $4, $5, $6 FROM audit",
    )
    .bind(now)
    .bind(actor)
    .bind(action)
    .bind(tenant)
    .bind(subject)
    .bind(detail)
    .execute(connection)
    .await?;
    Ok(())
}

/// The newest acts.
///
/// # Errors
/// [`super::StoreError`].
pub async fn newest(connection: &mut Connection, limit: u32) -> Result<Vec<Act>> {
    Ok(sqlx::query_as(
        "SELECT id, at, actor, action, tenant, subject, detail FROM audit ORDER BY id DESC LIMIT $1",
    )
    .bind(limit)
    .fetch_all(connection)
    .await?)
}
