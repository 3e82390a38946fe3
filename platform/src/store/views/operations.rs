//! What operators look at: tenants, gateways, jobs.

use super::MAX_PAGE;
use crate::clock::UnixMs;
use crate::store::row::row;
use crate::store::{Result, Store};

row! {
    /// A tenant and how much it has.
    TenantLine {
        /// Its key.
        slug: String,
        /// What people call it.
        name: String,
        /// `active`, `suspended` or `deleted`.
        state: String,
        /// When it was made.
        created_at: UnixMs,
        /// Its agents.
        agents: i64,
        /// Those that can't be reached.
        unreachable: i64,
        /// Its open alerts.
        open_alerts: i64,
    }
}

/// The tenants after the slug `after`, by slug: one of them or all.
///
/// # Errors
/// [`crate::store::StoreError::Sql`].
pub async fn tenants(store: &Store, only: Option<&str>, after: &str, limit: u32) -> Result<Vec<TenantLine>> {
    let mut read = store.read().await?;
    Ok(sqlx::query_as(
        "SELECT t.slug, t.name, t.state, t.created_at, \
         (SELECT COUNT(*) FROM agent a WHERE a.tenant = t.slug) AS agents, \
         (SELECT COUNT(*) FROM agent_reach r WHERE r.tenant = t.slug AND r.state = 'unreachable') AS unreachable, \
         (SELECT COUNT(*) FROM alert l WHERE l.tenant = t.slug AND l.resolved_at IS NULL) AS open_alerts \
         FROM tenant t WHERE ($1 = '' OR t.slug = $1) AND t.slug > $2 AND t.state <> 'deleted' ORDER BY t.slug LIMIT $3",
    )
    .bind(only.unwrap_or_default())
    .bind(after)
    .bind(i64::from(limit.min(MAX_PAGE)))
    .fetch_all(&mut *read)
    .await?)
}

row! {
    /// A gateway.
    GatewayLine {
        /// Its name.
        name: String,
        /// The pool that it serves.
        pool: String,
        /// Whose pool; `None`: shared.
        tenant: Option<String>,
        /// What its certificate has to say.
        spiffe_id: String,
        /// `absent`, `live`, `draining`, `dead` or `revoked`.
        state: String,
        /// Where it is.
        zone: String,
        /// Its program's version.
        version: String,
        /// Agents that it dials.
        agents: i64,
        /// Shards that it owns.
        shards: i64,
        /// When its lease ends or ended.
        expires_at: UnixMs,
        /// When it was added.
        created_at: UnixMs,
    }
}

/// The gateways, those that need a look first. With `tenant`, only those of pools of that tenant's own.
///
/// # Errors
/// [`crate::store::StoreError::Sql`].
pub async fn gateways(store: &Store, tenant: Option<&str>) -> Result<Vec<GatewayLine>> {
    let mut read = store.read().await?;
    Ok(sqlx::query_as(
        "SELECT g.name, g.pool, p.tenant, g.spiffe_id, \
         CASE WHEN g.revoked_at IS NULL THEN g.state ELSE 'revoked' END AS state, g.zone, g.version, g.agents, g.expires_at, g.created_at, \
         (SELECT COUNT(*) FROM shard s WHERE s.pool = g.pool AND s.owner = g.name) AS shards \
         FROM gateway g JOIN pool p ON p.name = g.pool WHERE ($1 = '' OR p.tenant = $1) \
         ORDER BY CASE WHEN g.revoked_at IS NOT NULL THEN 4 ELSE 0 END, CASE g.state WHEN 'dead' THEN 0 WHEN 'draining' THEN 1 WHEN 'absent' THEN 2 ELSE 3 END, g.name LIMIT $2",
    )
    .bind(tenant.unwrap_or_default())
    .bind(i64::from(MAX_PAGE))
    .fetch_all(&mut *read)
    .await?)
}

row! {
    /// A job.
    JobLine {
        /// Its id.
        id: String,
        /// Its queue.
        queue: String,
        /// What it does.
        kind: String,
        /// `available`, `running`, `completed`, `discarded` or `cancelled`.
        state: String,
        /// Which try this is.
        attempt: i64,
        /// After how many it is discarded.
        max_attempts: i64,
        /// When it is due.
        run_at: UnixMs,
        /// Who runs it or ran it last.
        node: Option<String>,
        /// What went wrong the last time.
        last_error: Option<String>,
        /// When it was made.
        created_at: UnixMs,
        /// When it ended.
        finished_at: Option<UnixMs>,
    }
}

/// The jobs: running, waiting, then those that ended, the newest first; in one state or in any.
///
/// # Errors
/// [`crate::store::StoreError::Sql`].
pub async fn jobs(store: &Store, state: Option<&str>, offset: u32, limit: u32) -> Result<Vec<JobLine>> {
    let mut read = store.read().await?;
    Ok(sqlx::query_as(
        "SELECT id, queue, kind, state, attempt, max_attempts, run_at, node, last_error, created_at, finished_at FROM job \
         WHERE ($1 = '' OR state = $1) ORDER BY CASE state WHEN 'running' THEN 0 WHEN 'available' THEN 1 ELSE 2 END, \
         CASE WHEN finished_at IS NULL THEN run_at ELSE -finished_at END, id LIMIT $2 OFFSET $3",
    )
    .bind(state.unwrap_or_default())
    .bind(i64::from(limit.min(MAX_PAGE + 1)))
    .bind(i64::from(offset))
    .fetch_all(&mut *read)
    .await?)
}

/// The names of all tenants that aren't deleted, for a list to choose from.
///
/// # Errors
/// [`crate::store::StoreError::Sql`].
pub async fn tenant_slugs(store: &Store) -> Result<Vec<String>> {
    let mut read = store.read().await?;
    Ok(
        sqlx::query_scalar("SELECT slug FROM tenant WHERE state <> 'deleted' ORDER BY slug LIMIT $1")
            .bind(i64::from(MAX_PAGE))
            .fetch_all(&mut *read)
            .await?,
    )
}
