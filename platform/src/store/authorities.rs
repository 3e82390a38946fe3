//! Certificate authorities. The table holds certificates and where the keys are, never a key.

use super::row::row;
use super::{Connection, Result};
use crate::clock::UnixMs;

row! {
    /// A certificate authority.
    Ca {
        /// Its key.
        id: i64,
        /// `root`, `gateway`, `platform` or `tenant`.
        kind: String,
        /// Whose it is, where it is a tenant's.
        tenant: Option<String>,
        /// DER.
        certificate: Vec<u8>,
        /// The key's file, below the key folder.
        key_ref: String,
        /// `prepared`, `active`, `retiring` or `revoked`.
        state: String,
        /// Until when it is valid.
        not_after_at: UnixMs,
    }
}

/// Adds an active authority and returns its id.
///
/// # Errors
/// [`super::StoreError`].
pub async fn insert(
    connection: &mut Connection,
    kind: &str,
    tenant: Option<&str>,
    certificate: &[u8],
    key_ref: &str,
    not_after_at: UnixMs,
    now: UnixMs,
) -> Result<i64> {
    use sqlx::Row as _;
    Ok(sqlx::query(
        "INSERT INTO ca (id, kind, tenant, certificate, key_ref, state, not_after_at, created_at) \
         SELECT COALESCE(MAX(id), 0) + 1, $1, $2, $3, $4, 'active', $5, $6 FROM ca RETURNING id",
    )
    .bind(kind)
    .bind(tenant)
    .bind(certificate)
    .bind(key_ref)
    .bind(not_after_at)
    .bind(now)
    .fetch_one(connection)
    .await?
    .try_get(0)?)
}

/// The authorities of a kind that leaves are trusted from, the one that issues first. `tenant` is `None` for the
/// platform's own.
///
/// # Errors
/// [`super::StoreError`].
pub async fn trusted(connection: &mut Connection, kind: &str, tenant: Option<&str>) -> Result<Vec<Ca>> {
    Ok(sqlx::query_as(
        "SELECT id, kind, tenant, certificate, key_ref, state, not_after_at FROM ca \
         WHERE kind = $1 AND COALESCE(tenant, '') = COALESCE($2, '') AND state IN ('prepared', 'active', 'retiring') \
         ORDER BY CASE state WHEN 'active' THEN 0 ELSE 1 END, id DESC",
    )
    .bind(kind)
    .bind(tenant)
    .fetch_all(connection)
    .await?)
}

/// One of them.
///
/// # Errors
/// [`super::StoreError`].
pub async fn find(connection: &mut Connection, id: i64) -> Result<Option<Ca>> {
    Ok(sqlx::query_as(
        "SELECT id, kind, tenant, certificate, key_ref, state, not_after_at FROM ca WHERE id = $1",
    )
    .bind(id)
    .fetch_optional(connection)
    .await?)
}

/// Every authority, oldest first.
///
/// # Errors
/// [`super::StoreError`].
pub async fn list(connection: &mut Connection) -> Result<Vec<Ca>> {
    Ok(sqlx::query_as(
        "SELECT id, kind, tenant, certificate, key_ref, state, not_after_at FROM ca ORDER BY id",
    )
    .fetch_all(connection)
    .await?)
}
