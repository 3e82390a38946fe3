//! The one row that says whose installation this is.

use super::row::row;
use super::{Connection, Result};
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
