//! Who stands in the way of an authority's next step: who doesn't know it yet, and who still lives by it.

use super::{Connection, Result};
use crate::clock::UnixMs;

/// The most names that are read. Beyond, it is enough to know that there are many.
pub const MAX_NAMES: i64 = 1_000;

/// Agents of every tenant that isn't deleted, which have a certificate that ends after `ending` and go by an older trust
/// than `sequence`: as (tenant, name). A suspended tenant's count: they are to come back.
///
/// # Errors
/// [`super::StoreError`].
pub async fn agents_behind(
    connection: &mut Connection,
    sequence: i64,
    ending: UnixMs,
) -> Result<Vec<(String, String)>> {
    Ok(sqlx::query_as(
        "SELECT a.tenant, a.name FROM agent a JOIN tenant t ON t.slug = a.tenant AND t.state <> 'deleted' \
         LEFT JOIN agent_reach r ON r.tenant = a.tenant AND r.agent = a.name \
         WHERE a.enabled = 1 AND COALESCE(r.trust_sequence, 0) < $1 \
         AND EXISTS (SELECT 1 FROM certificate c WHERE c.subject_kind = 'agent' AND c.tenant = a.tenant \
         AND c.subject = a.name AND c.state IN ('current', 'pending') AND c.not_after_at > $2) \
         ORDER BY a.tenant, a.name LIMIT $3",
    )
    .bind(sequence)
    .bind(ending)
    .bind(MAX_NAMES)
    .fetch_all(connection)
    .await?)
}

/// Agents that may still enrol by a file from before `before`: as (tenant, name). What the file says is what they trust.
///
/// # Errors
/// [`super::StoreError`].
pub async fn files_behind(
    connection: &mut Connection,
    before: UnixMs,
    now: UnixMs,
) -> Result<Vec<(String, String)>> {
    Ok(sqlx::query_as(
        "SELECT tenant, agent FROM activation WHERE state = 'waiting' AND created_at < $1 AND expires_at > $2 \
         ORDER BY tenant, agent LIMIT $3",
    )
    .bind(before)
    .bind(now)
    .bind(MAX_NAMES)
    .fetch_all(connection)
    .await?)
}

/// Gateways that weren't turned away, have a certificate, and go by an older trust than `sequence`. With `live`, only those
/// that have a lease: another one learns of everything when it joins.
///
/// # Errors
/// [`super::StoreError`].
pub async fn gateways_behind(
    connection: &mut Connection,
    sequence: i64,
    live: bool,
    now: UnixMs,
) -> Result<Vec<String>> {
    Ok(sqlx::query_scalar(
        "SELECT g.name FROM gateway g WHERE g.revoked_at IS NULL AND g.trust_sequence < $1 \
         AND ($2 = 0 OR g.state IN ('live', 'draining')) \
         AND EXISTS (SELECT 1 FROM certificate c WHERE c.subject_kind = 'gateway' AND c.tenant IS NULL \
         AND c.subject = g.name AND c.state IN ('current', 'pending') AND c.not_after_at > $3) \
         ORDER BY g.name LIMIT $4",
    )
    .bind(sequence)
    .bind(i64::from(live))
    .bind(now)
    .bind(MAX_NAMES)
    .fetch_all(connection)
    .await?)
}

/// Whose certificates by an authority are in use and haven't ended: as (kind, tenant, name).
///
/// # Errors
/// [`super::StoreError`].
pub async fn holders(
    connection: &mut Connection,
    ca: i64,
    now: UnixMs,
) -> Result<Vec<(String, Option<String>, String)>> {
    Ok(sqlx::query_as(
        "SELECT DISTINCT subject_kind, tenant, subject FROM certificate \
         WHERE issuer_ca = $1 AND state IN ('current', 'pending') AND not_after_at > $2 \
         ORDER BY subject_kind, tenant, subject LIMIT $3",
    )
    .bind(ca)
    .bind(now)
    .bind(MAX_NAMES)
    .fetch_all(connection)
    .await?)
}

/// What an authority issued counts no more: it isn't trusted itself.
///
/// # Errors
/// [`super::StoreError`].
pub async fn revoke_issued(connection: &mut Connection, ca: i64) -> Result<u64> {
    Ok(
        sqlx::query("UPDATE certificate SET state = 'revoked' WHERE issuer_ca = $1 AND state <> 'revoked'")
            .bind(ca)
            .execute(connection)
            .await?
            .rows_affected(),
    )
}
