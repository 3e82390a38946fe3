//! Alerts, as people and programs see them.

use super::MAX_PAGE;
use crate::clock::UnixMs;
use crate::store::row::row;
use crate::store::{Result, Store, audit};

row! {
    /// An alert.
    Alert {
        /// Its id.
        id: String,
        /// Whose.
        tenant: String,
        /// `agent_unreachable`, `agent_refused` or `check_failing`.
        kind: String,
        /// Which agent.
        agent: String,
        /// Which check; empty for one about the agent itself.
        name: String,
        /// `warning` or `critical`.
        severity: String,
        /// What happened.
        summary: String,
        /// Why.
        cause: String,
        /// Since when.
        raised_at: UnixMs,
        /// When it last changed.
        changed_at: UnixMs,
        /// When it was over.
        resolved_at: Option<UnixMs>,
        /// When somebody said "I am on it".
        acknowledged_at: Option<UnixMs>,
        /// Who.
        acknowledged_by: Option<String>,
    }
}

/// Which alerts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// Those that aren't over.
    Open,
    /// Those that are.
    Resolved,
    /// All.
    All,
}

macro_rules! select_alerts {
    ($condition:literal) => {
        concat!(
            "SELECT id, tenant, kind, agent, name, severity, summary, cause, raised_at, changed_at, resolved_at, \
             acknowledged_at, acknowledged_by FROM alert ",
            $condition
        )
    };
}

/// Alerts of one tenant or of all: open ones critical first, then the newest first. One more than `limit` says that there
/// are more.
///
/// # Errors
/// [`crate::store::StoreError::Sql`].
pub async fn alerts(
    store: &Store,
    which: Which,
    tenant: Option<&str>,
    offset: u32,
    limit: u32,
) -> Result<Vec<Alert>> {
    let mut read = store.read().await?;
    let query = match which {
        Which::Open => sqlx::query_as(select_alerts!(
            "WHERE resolved_at IS NULL AND ($1 = '' OR tenant = $1) \
             ORDER BY CASE severity WHEN 'critical' THEN 0 ELSE 1 END, raised_at DESC, id LIMIT $2 OFFSET $3"
        )),
        Which::Resolved => sqlx::query_as(select_alerts!(
            "WHERE resolved_at IS NOT NULL AND ($1 = '' OR tenant = $1) ORDER BY resolved_at DESC, id LIMIT $2 OFFSET $3"
        )),
        Which::All => sqlx::query_as(select_alerts!(
            "WHERE ($1 = '' OR tenant = $1) ORDER BY raised_at DESC, id LIMIT $2 OFFSET $3"
        )),
    };
    Ok(query
        .bind(tenant.unwrap_or_default())
        .bind(i64::from(limit.min(MAX_PAGE + 1)))
        .bind(i64::from(offset))
        .fetch_all(&mut *read)
        .await?)
}

/// One alert.
///
/// # Errors
/// [`crate::store::StoreError::Sql`].
pub async fn alert(store: &Store, id: &str) -> Result<Option<Alert>> {
    let mut read = store.read().await?;
    Ok(sqlx::query_as(select_alerts!("WHERE id = $1"))
        .bind(id)
        .fetch_optional(&mut *read)
        .await?)
}

/// The open alerts about one agent and its checks, critical first.
///
/// # Errors
/// [`crate::store::StoreError::Sql`].
pub async fn open_of_agent(store: &Store, tenant: &str, agent: &str) -> Result<Vec<Alert>> {
    let mut read = store.read().await?;
    Ok(sqlx::query_as(select_alerts!(
        "WHERE resolved_at IS NULL AND tenant = $1 AND agent = $2 \
         ORDER BY CASE severity WHEN 'critical' THEN 0 ELSE 1 END, raised_at DESC, id LIMIT 50"
    ))
    .bind(tenant)
    .bind(agent)
    .fetch_all(&mut *read)
    .await?)
}

/// How many alerts are open, of one tenant or of all.
///
/// # Errors
/// [`crate::store::StoreError::Sql`].
pub async fn count_open(store: &Store, tenant: Option<&str>) -> Result<i64> {
    use sqlx::Row as _;

    let mut read = store.read().await?;
    Ok(
        sqlx::query("SELECT COUNT(*) FROM alert WHERE resolved_at IS NULL AND ($1 = '' OR tenant = $1)")
            .bind(tenant.unwrap_or_default())
            .fetch_one(&mut *read)
            .await?
            .try_get(0)?,
    )
}

/// Notes that somebody is on it, with an entry in the audit log. Doing so twice, or after it was resolved, changes
/// nothing. Returns the alert as it is then; `None` where there is no such alert of `tenant` (of any, where none is named).
///
/// # Errors
/// [`crate::store::StoreError::Sql`].
pub async fn acknowledge(store: &Store, id: &str, tenant: Option<&str>, by: &str) -> Result<Option<Alert>> {
    let mut write = store.write().await?;
    let now = write.now();
    let changed = sqlx::query(
        "UPDATE alert SET acknowledged_at = $1, acknowledged_by = $2, changed_at = $1 \
         WHERE id = $3 AND ($4 = '' OR tenant = $4) AND acknowledged_at IS NULL AND resolved_at IS NULL",
    )
    .bind(now)
    .bind(by)
    .bind(id)
    .bind(tenant.unwrap_or_default())
    .execute(&mut *write)
    .await?
    .rows_affected();
    let alert: Option<Alert> = sqlx::query_as(select_alerts!("WHERE id = $1 AND ($2 = '' OR tenant = $2)"))
        .bind(id)
        .bind(tenant.unwrap_or_default())
        .fetch_optional(&mut *write)
        .await?;
    if changed > 0
        && let Some(alert) = &alert
    {
        audit::record(
            &mut write,
            now,
            by,
            "alert.acknowledge",
            Some(&alert.tenant),
            id,
            &alert.summary,
        )
        .await?;
    }
    write.commit().await?;
    Ok(alert)
}
