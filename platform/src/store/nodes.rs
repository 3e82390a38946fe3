//! The platform's own processes.

use super::{Connection, Result};
use crate::clock::UnixMs;

/// Notes that a node is alive until `expires_at`.
///
/// # Errors
/// [`super::StoreError`].
pub async fn beat(connection: &mut Connection, name: &str, instance: &str, expires_at: UnixMs) -> Result<()> {
    sqlx::query(
        "INSERT INTO platform_node (name, instance, expires_at) VALUES ($1, $2, $3) ON CONFLICT (name) \
         DO UPDATE SET instance = excluded.instance, expires_at = excluded.expires_at",
    )
    .bind(name)
    .bind(instance)
    .bind(expires_at)
    .execute(connection)
    .await?;
    Ok(())
}

/// Notes that a node has stopped.
///
/// # Errors
/// [`super::StoreError`].
pub async fn leave(connection: &mut Connection, name: &str, instance: &str) -> Result<()> {
    sqlx::query("DELETE FROM platform_node WHERE name = $1 AND instance = $2")
        .bind(name)
        .bind(instance)
        .execute(connection)
        .await?;
    Ok(())
}
