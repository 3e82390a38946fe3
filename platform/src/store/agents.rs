//! Agents as registered.

use super::row::row;
use super::{Connection, Result};
use crate::clock::UnixMs;

row! {
    /// A registered agent.
    Agent {
        /// Whose it is.
        tenant: String,
        /// Its name.
        name: String,
        /// The pool whose gateways may own it.
        pool: String,
        /// Its shard in that pool.
        shard: i64,
        /// `host:port`.
        endpoint: String,
        /// The SPIFFE ID that it has to show.
        spiffe_id: String,
        /// The common name that it has to show.
        common_name: String,
        /// How often it is polled.
        interval_ms: i64,
        /// How long it may stay away before it is called unreachable.
        unreachable_after_ms: i64,
        /// 1 where it is polled, else 0.
        enabled: i64,
        /// When it was registered.
        created_at: UnixMs,
        /// When an operator approved its recovery.
        recovery_approved_at: Option<UnixMs>,
    }
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT tenant, name, pool, shard, endpoint, spiffe_id, common_name, interval_ms, unreachable_after_ms, \
             enabled, created_at, recovery_approved_at FROM agent ",
            $rest
        )
    };
}

/// Registers an agent.
///
/// # Errors
/// [`super::StoreError`]; a unique violation where the tenant has one of that name.
pub async fn insert(connection: &mut Connection, agent: &Agent) -> Result<()> {
    sqlx::query(
        "INSERT INTO agent (tenant, name, pool, shard, endpoint, spiffe_id, common_name, interval_ms, \
         unreachable_after_ms, enabled, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
    )
    .bind(&agent.tenant)
    .bind(&agent.name)
    .bind(&agent.pool)
    .bind(agent.shard)
    .bind(&agent.endpoint)
    .bind(&agent.spiffe_id)
    .bind(&agent.common_name)
    .bind(agent.interval_ms)
    .bind(agent.unreachable_after_ms)
    .bind(agent.enabled)
    .bind(agent.created_at)
    .execute(connection)
    .await?;
    Ok(())
}

/// Changes where and how often an agent is polled.
///
/// # Errors
/// [`super::StoreError`].
pub async fn update(
    connection: &mut Connection,
    tenant: &str,
    name: &str,
    endpoint: &str,
    interval_ms: i64,
    unreachable_after_ms: i64,
) -> Result<()> {
    sqlx::query(
        "UPDATE agent SET endpoint = $3, interval_ms = $4, unreachable_after_ms = $5, enabled = 1 \
         WHERE tenant = $1 AND name = $2",
    )
    .bind(tenant)
    .bind(name)
    .bind(endpoint)
    .bind(interval_ms)
    .bind(unreachable_after_ms)
    .execute(connection)
    .await?;
    Ok(())
}

/// One agent.
///
/// # Errors
/// [`super::StoreError`].
pub async fn find(connection: &mut Connection, tenant: &str, name: &str) -> Result<Option<Agent>> {
    Ok(sqlx::query_as(select!("WHERE tenant = $1 AND name = $2"))
        .bind(tenant)
        .bind(name)
        .fetch_optional(connection)
        .await?)
}

/// A tenant's agents; every tenant's where none is named.
///
/// # Errors
/// [`super::StoreError`].
pub async fn list(connection: &mut Connection, tenant: Option<&str>) -> Result<Vec<Agent>> {
    Ok(
        sqlx::query_as(select!("WHERE $1 IS NULL OR tenant = $1 ORDER BY tenant, name"))
            .bind(tenant)
            .fetch_all(connection)
            .await?,
    )
}

/// The enabled agents of one shard.
///
/// # Errors
/// [`super::StoreError`].
pub async fn of_shard(connection: &mut Connection, pool: &str, shard: i64) -> Result<Vec<Agent>> {
    Ok(sqlx::query_as(select!(
        "WHERE pool = $1 AND shard = $2 AND enabled = 1 ORDER BY tenant, name"
    ))
    .bind(pool)
    .bind(shard)
    .fetch_all(connection)
    .await?)
}

/// Whether a tenant has agents in a pool.
///
/// # Errors
/// [`super::StoreError`].
pub async fn has_any(connection: &mut Connection, tenant: &str, pool: &str) -> Result<bool> {
    Ok(
        sqlx::query("SELECT 1 FROM agent WHERE tenant = $1 AND pool = $2 AND enabled = 1 LIMIT 1")
            .bind(tenant)
            .bind(pool)
            .fetch_optional(connection)
            .await?
            .is_some(),
    )
}

/// Approves an agent's recovery, or takes that back.
///
/// # Errors
/// [`super::StoreError`].
pub async fn set_recovery_approval(
    connection: &mut Connection,
    tenant: &str,
    name: &str,
    at: Option<UnixMs>,
) -> Result<()> {
    sqlx::query("UPDATE agent SET recovery_approved_at = $3 WHERE tenant = $1 AND name = $2")
        .bind(tenant)
        .bind(name)
        .bind(at)
        .execute(connection)
        .await?;
    Ok(())
}

/// Why a certificate was refused to an agent.
#[derive(Debug, Clone, Copy, Default)]
pub struct Refused<'a> {
    /// A word; empty where nothing was refused.
    pub cause: &'a str,
    /// For people.
    pub detail: &'a str,
    /// Under which the agent and the gateway logged it too.
    pub correlation_id: &'a str,
    /// When.
    pub at: Option<UnixMs>,
}

/// Notes the last refusal, or, by the empty one, that there is none any more.
///
/// # Errors
/// [`super::StoreError`].
pub async fn note_refusal(
    connection: &mut Connection,
    tenant: &str,
    name: &str,
    refused: Refused<'_>,
) -> Result<()> {
    sqlx::query(
        "UPDATE agent SET refused_cause = $3, refused_detail = $4, refused_correlation_id = $5, refused_at = $6 \
         WHERE tenant = $1 AND name = $2",
    )
    .bind(tenant)
    .bind(name)
    .bind(refused.cause)
    .bind(refused.detail)
    .bind(refused.correlation_id)
    .bind(refused.at)
    .execute(connection)
    .await?;
    Ok(())
}
