//! Web sessions and sign-in tokens that have ended.

use super::{Connection, Result};
use crate::clock::UnixMs;

/// Forgets sessions and sign-in tokens that have ended. Returns how many.
///
/// # Errors
/// [`super::StoreError`].
pub async fn prune(connection: &mut Connection, now: UnixMs) -> Result<u64> {
    let sessions = sqlx::query("DELETE FROM web_session WHERE expires_at <= $1")
        .bind(now)
        .execute(&mut *connection)
        .await?;
    let tokens = sqlx::query("DELETE FROM signin_token WHERE expires_at <= $1")
        .bind(now)
        .execute(connection)
        .await?;
    Ok(sessions.rows_affected() + tokens.rows_affected())
}
