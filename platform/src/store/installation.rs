//! The one row that says whose installation this is.

use sqlx::Row as _;

use super::row::row;
use super::{Connection, Result, Write, registry};
use crate::clock::UnixMs;

row! {
    /// This installation.
    Installation {
        /// The platform's SPIFFE trust domain.
        trust_domain: String,
        /// When it was made.
        created_at: UnixMs,
        /// When `serve` first printed a sign-in token.
        first_served_at: Option<UnixMs>,
    }
}

/// Makes it.
///
/// # Errors
/// [`super::StoreError`]; a unique violation where it is there already.
pub async fn create(connection: &mut Connection, trust_domain: &str, now: UnixMs) -> Result<()> {
    sqlx::query("INSERT INTO installation (id, trust_domain, created_at) VALUES (1, $1, $2)")
        .bind(trust_domain)
        .bind(now)
        .execute(connection)
        .await?;
    Ok(())
}

/// Reads it; `None` before `init`.
///
/// # Errors
/// [`super::StoreError`].
pub async fn find(connection: &mut Connection) -> Result<Option<Installation>> {
    Ok(
        sqlx::query_as("SELECT trust_domain, created_at, first_served_at FROM installation WHERE id = 1")
            .fetch_optional(connection)
            .await?,
    )
}

/// Notes that it serves; true only for the first time ever.
///
/// # Errors
/// [`super::StoreError`].
pub async fn mark_first_served(connection: &mut Connection, now: UnixMs) -> Result<bool> {
    let done =
        sqlx::query("UPDATE installation SET first_served_at = $1 WHERE id = 1 AND first_served_at IS NULL")
            .bind(now)
            .execute(connection)
            .await?;
    Ok(done.rows_affected() == 1)
}

/// The sequence of what agents and gateways are to trust now; 0 before `init`.
///
/// # Errors
/// [`super::StoreError`].
pub async fn trust_sequence(connection: &mut Connection) -> Result<i64> {
    let found = sqlx::query("SELECT trust_sequence FROM installation WHERE id = 1")
        .fetch_optional(connection)
        .await?;
    Ok(found.map(|row| row.try_get(0)).transpose()?.unwrap_or(0))
}

/// Says that what agents and gateways are to trust has changed: an authority, a root, or a denied certificate. Belongs
/// into the transaction of the change. Every gateway looks again, and brings each agent the new statement. Returns its
/// sequence.
///
/// # Errors
/// [`super::StoreError`].
pub async fn bump_trust(write: &mut Write) -> Result<i64> {
    let now = write.now();
    let sequence = sqlx::query(
        "UPDATE installation SET trust_sequence = trust_sequence + 1 WHERE id = 1 RETURNING trust_sequence",
    )
    .fetch_one(&mut **write)
    .await?
    .try_get(0)?;
    for pool in registry::pools(write).await? {
        registry::record_change(write, &pool.name, "", "", "upsert", now).await?;
    }
    Ok(sequence)
}
