//! Whether agents can be reached, as the gateway that owns them says.

use super::row::row;
use super::{Connection, Result};
use crate::clock::UnixMs;

row! {
    /// What is known of an agent's reachability.
    Reach {
        /// `pending`, `reachable`, `suspect` or `unreachable`.
        state: String,
        /// Why it isn't reachable.
        cause: String,
        /// Since when.
        since_at: UnixMs,
        /// The newest epoch under which it was claimed.
        epoch: i64,
    }
}

/// What a gateway claims.
#[derive(Debug, Clone)]
pub struct Claim<'a> {
    /// Whose agent.
    pub tenant: &'a str,
    /// Which.
    pub agent: &'a str,
    /// `pending`, `reachable`, `suspect` or `unreachable`.
    pub state: &'a str,
    /// Why it isn't reachable.
    pub cause: &'a str,
    /// For people.
    pub detail: &'a str,
    /// Since when it is in that state.
    pub since_at: UnixMs,
    /// The gateway.
    pub gateway: &'a str,
    /// The epoch under which it owns the agent's shard.
    pub epoch: i64,
    /// The agent's clock less the gateway's.
    pub clock_skew_ms: Option<i64>,
    /// The agent host's version; empty where it isn't known, and then the known one stays.
    pub agent_version: &'a str,
    /// The spool: bytes, quota, dropped; `None` where it isn't known, and then what is known stays.
    pub spool: Option<(i64, i64, i64)>,
    /// Of the certificate by which the agent was last verified; empty where it wasn't, and then the known one stays.
    pub certificate_serial: &'a str,
    /// The sequence of the trust statement that the agent goes by; 0 where it isn't known, and then the known one stays.
    pub trust_sequence: i64,
}

/// An agent's reachability; `None` before the first claim.
///
/// # Errors
/// [`super::StoreError`].
pub async fn find(connection: &mut Connection, tenant: &str, agent: &str) -> Result<Option<Reach>> {
    Ok(sqlx::query_as(
        "SELECT state, cause, since_at, epoch FROM agent_reach WHERE tenant = $1 AND agent = $2",
    )
    .bind(tenant)
    .bind(agent)
    .fetch_optional(connection)
    .await?)
}

/// Writes a claim. The caller has checked, in the same transaction, that the gateway owns the agent.
///
/// # Errors
/// [`super::StoreError`].
pub async fn upsert(connection: &mut Connection, claim: &Claim<'_>, now: UnixMs) -> Result<()> {
    let (bytes, quota, dropped) = match claim.spool {
        Some((bytes, quota, dropped)) => (Some(bytes), Some(quota), Some(dropped)),
        None => (None, None, None),
    };
    sqlx::query(
        "INSERT INTO agent_reach (tenant, agent, state, cause, detail, since_at, reported_at, gateway, epoch, \
         clock_skew_ms, agent_version, spool_bytes, spool_quota, spool_dropped, certificate_serial, trust_sequence) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, COALESCE($12, 0), COALESCE($13, 0), COALESCE($14, 0), \
         $15, $16) \
         ON CONFLICT (tenant, agent) DO UPDATE SET state = excluded.state, cause = excluded.cause, \
         detail = excluded.detail, since_at = excluded.since_at, reported_at = excluded.reported_at, \
         gateway = excluded.gateway, epoch = excluded.epoch, \
         clock_skew_ms = COALESCE(excluded.clock_skew_ms, agent_reach.clock_skew_ms), \
         agent_version = CASE excluded.agent_version WHEN '' THEN agent_reach.agent_version ELSE excluded.agent_version END, \
         spool_bytes = COALESCE($12, agent_reach.spool_bytes), spool_quota = COALESCE($13, agent_reach.spool_quota), \
         spool_dropped = COALESCE($14, agent_reach.spool_dropped), \
         certificate_serial = CASE excluded.certificate_serial WHEN '' THEN agent_reach.certificate_serial \
         ELSE excluded.certificate_serial END, \
         trust_sequence = CASE excluded.trust_sequence WHEN 0 THEN agent_reach.trust_sequence \
         ELSE excluded.trust_sequence END",
    )
    .bind(claim.tenant)
    .bind(claim.agent)
    .bind(claim.state)
    .bind(claim.cause)
    .bind(claim.detail)
    .bind(claim.since_at)
    .bind(now)
    .bind(claim.gateway)
    .bind(claim.epoch)
    .bind(claim.clock_skew_ms)
    .bind(claim.agent_version)
    .bind(bytes)
    .bind(quota)
    .bind(dropped)
    .bind(claim.certificate_serial)
    .bind(claim.trust_sequence)
    .execute(connection)
    .await?;
    Ok(())
}
