//! What a gateway's process owns, in one look.

use super::row::row;
use super::{Connection, Result};

row! {
    /// An agent of an owned shard.
    Assigned {
        /// Whose it is.
        tenant: String,
        /// Its name.
        name: String,
        /// Its shard.
        shard: i64,
        /// `host:port`.
        endpoint: String,
        /// The SPIFFE ID that it has to show.
        spiffe_id: String,
        /// The common name that it has to show.
        common_name: String,
        /// How often it is polled.
        interval_ms: i64,
        /// How long it may stay away.
        unreachable_after_ms: i64,
        /// Where the platform stands: the stream.
        stream: Option<String>,
        /// Where the platform stands in it.
        committed_seq: Option<i64>,
        /// What is known of its reachability.
        reachability: Option<String>,
        /// 1 where it awaits enrolment, else 0.
        awaited: i64,
        /// 1 where an operator approved its recovery, else 0.
        recovering: i64,
        /// 1 where it has a certificate, and none by an authority that still issues, else 0.
        outdated: i64,
    }
}

/// The enabled agents of the shards that a process owns.
///
/// # Errors
/// [`super::StoreError`].
pub async fn agents(
    connection: &mut Connection,
    pool: &str,
    owner: &str,
    instance: &str,
) -> Result<Vec<Assigned>> {
    Ok(sqlx::query_as(
        "SELECT a.tenant, a.name, a.shard, a.endpoint, a.spiffe_id, a.common_name, a.interval_ms, \
         a.unreachable_after_ms, k.stream, k.committed_seq, r.state AS reachability, \
         EXISTS (SELECT 1 FROM activation v WHERE v.tenant = a.tenant AND v.agent = a.name \
         AND v.state IN ('waiting', 'used')) AS awaited, \
         CASE WHEN a.recovery_approved_at IS NULL THEN 0 ELSE 1 END AS recovering, \
         COALESCE((SELECT CASE WHEN MAX(CASE i.state WHEN 'active' THEN 1 ELSE 0 END) = 0 THEN 1 ELSE 0 END \
         FROM certificate c JOIN ca i ON i.id = c.issuer_ca WHERE c.subject_kind = 'agent' AND c.tenant = a.tenant \
         AND c.subject = a.name AND c.state IN ('current', 'pending')), 0) AS outdated \
         FROM shard s JOIN agent a ON a.pool = s.pool AND a.shard = s.number \
         JOIN tenant t ON t.slug = a.tenant AND t.state = 'active' \
         LEFT JOIN agent_cursor k ON k.tenant = a.tenant AND k.agent = a.name \
         LEFT JOIN agent_reach r ON r.tenant = a.tenant AND r.agent = a.name \
         WHERE s.pool = $1 AND s.owner = $2 AND s.owner_instance = $3 AND a.enabled = 1 ORDER BY a.tenant, a.name",
    )
    .bind(pool)
    .bind(owner)
    .bind(instance)
    .fetch_all(connection)
    .await?)
}

/// The serial numbers that agents of owned shards may show, as (tenant, agent, serial).
///
/// # Errors
/// [`super::StoreError`].
pub async fn serials(
    connection: &mut Connection,
    pool: &str,
    owner: &str,
    instance: &str,
) -> Result<Vec<(String, String, String)>> {
    Ok(sqlx::query_as(
        "SELECT c.tenant, c.subject, c.serial FROM shard s JOIN agent a ON a.pool = s.pool AND a.shard = s.number \
         JOIN certificate c ON c.subject_kind = 'agent' AND c.tenant = a.tenant AND c.subject = a.name \
         AND (c.state IN ('current', 'pending') OR c.state = 'superseded' AND c.retired_at IS NULL) \
         WHERE s.pool = $1 AND s.owner = $2 AND s.owner_instance = $3 ORDER BY c.tenant, c.subject, c.serial",
    )
    .bind(pool)
    .bind(owner)
    .bind(instance)
    .fetch_all(connection)
    .await?)
}

/// The certificates that agents of owned shards may be signed by, as (tenant, DER).
///
/// # Errors
/// [`super::StoreError`].
pub async fn tenant_cas(
    connection: &mut Connection,
    pool: &str,
    owner: &str,
    instance: &str,
) -> Result<Vec<(String, Vec<u8>)>> {
    Ok(sqlx::query_as(
        "SELECT c.tenant, c.certificate FROM ca c JOIN tenant t ON t.slug = c.tenant AND t.state = 'active' WHERE c.kind = 'tenant' AND c.state IN ('prepared', 'active', 'retiring') \
         AND c.tenant IN (SELECT a.tenant FROM shard s JOIN agent a ON a.pool = s.pool AND a.shard = s.number \
         WHERE s.pool = $1 AND s.owner = $2 AND s.owner_instance = $3 AND a.enabled = 1) ORDER BY c.tenant, c.id",
    )
    .bind(pool)
    .bind(owner)
    .bind(instance)
    .fetch_all(connection)
    .await?)
}
