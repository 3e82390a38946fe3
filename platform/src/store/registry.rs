//! Pools and their revisions: what changed of a pool's agents, gap-free and in the order of the commits. The revision is
//! a number in a row and not a sequence, because sequences skip and show commits out of order.

use sqlx::Row as _;

use super::row::row;
use super::{Connection, Result};
use crate::clock::UnixMs;

/// The pool of agents whose tenant has none of its own.
pub const SHARED_POOL: &str = "shared";

/// Shards of the shared pool: enough to spread over some dozens of gateways evenly, few enough to lease in one update.
pub const SHARED_POOL_SHARDS: i64 = 64;

row! {
    /// A pool of gateways and the agents that they may own.
    Pool {
        /// Its name.
        name: String,
        /// Whose it is; `None` where all tenants share it.
        tenant: Option<String>,
        /// Into how many shards its agents fall.
        shard_count: i64,
        /// Rises by one with every change.
        revision: i64,
    }
}

/// Adds a pool and its shards, which nobody owns yet.
///
/// # Errors
/// [`super::StoreError`]; a unique violation where it is there.
pub async fn insert_pool(
    connection: &mut Connection,
    name: &str,
    tenant: Option<&str>,
    shards: i64,
) -> Result<()> {
    sqlx::query("INSERT INTO pool (name, tenant, shard_count, revision) VALUES ($1, $2, $3, 0)")
        .bind(name)
        .bind(tenant)
        .bind(shards)
        .execute(&mut *connection)
        .await?;
    for number in 0..shards {
        sqlx::query(
            "INSERT INTO shard (pool, number, owner, owner_instance, epoch) VALUES ($1, $2, NULL, NULL, 0)",
        )
        .bind(name)
        .bind(number)
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

/// All pools.
///
/// # Errors
/// [`super::StoreError`].
pub async fn pools(connection: &mut Connection) -> Result<Vec<Pool>> {
    Ok(
        sqlx::query_as("SELECT name, tenant, shard_count, revision FROM pool ORDER BY name")
            .fetch_all(connection)
            .await?,
    )
}

/// One pool.
///
/// # Errors
/// [`super::StoreError`].
pub async fn pool(connection: &mut Connection, name: &str) -> Result<Option<Pool>> {
    Ok(
        sqlx::query_as("SELECT name, tenant, shard_count, revision FROM pool WHERE name = $1")
            .bind(name)
            .fetch_optional(connection)
            .await?,
    )
}

/// The pool of a tenant's agents: its own, or the shared one.
///
/// # Errors
/// [`super::StoreError`].
pub async fn pool_of_tenant(connection: &mut Connection, tenant: &str) -> Result<Option<Pool>> {
    Ok(sqlx::query_as(
        "SELECT name, tenant, shard_count, revision FROM pool WHERE tenant = $1 OR tenant IS NULL \
         ORDER BY CASE WHEN tenant IS NULL THEN 1 ELSE 0 END, name LIMIT 1",
    )
    .bind(tenant)
    .fetch_optional(connection)
    .await?)
}

/// Records that an agent was added, changed or removed, and returns the revision that this made. Everything that a
/// gateway is told about an agent goes through here in the same transaction. No tenant and no agent: something that
/// concerns all of them.
///
/// # Errors
/// [`super::StoreError`].
pub async fn record_change(
    connection: &mut Connection,
    pool: &str,
    tenant: &str,
    agent: &str,
    operation: &str,
    now: UnixMs,
) -> Result<i64> {
    let revision: i64 =
        sqlx::query("UPDATE pool SET revision = revision + 1 WHERE name = $1 RETURNING revision")
            .bind(pool)
            .fetch_one(&mut *connection)
            .await?
            .try_get(0)?;
    sqlx::query(
        "INSERT INTO registry_change (pool, revision, tenant, agent, operation, changed_at) \
         VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(pool)
    .bind(revision)
    .bind(tenant)
    .bind(agent)
    .bind(operation)
    .bind(now)
    .execute(connection)
    .await?;
    Ok(revision)
}

/// Forgets changes from before `before`: they only tell other processes what to look at.
///
/// # Errors
/// [`super::StoreError`].
pub async fn prune_changes(connection: &mut Connection, before: UnixMs) -> Result<u64> {
    Ok(sqlx::query("DELETE FROM registry_change WHERE changed_at < $1")
        .bind(before)
        .execute(connection)
        .await?
        .rows_affected())
}
