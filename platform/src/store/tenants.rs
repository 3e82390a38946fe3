//! Tenants.

use super::row::row;
use super::{Connection, Result};
use crate::clock::UnixMs;

row! {
    /// A tenant.
    Tenant {
        /// Its slug: its key everywhere.
        slug: String,
        /// What people call it.
        name: String,
        /// `active`, `suspended` or `deleted`.
        state: String,
        /// When it was made.
        created_at: UnixMs,
    }
}

/// Adds a tenant.
///
/// # Errors
/// [`super::StoreError`]; a unique violation where the slug is taken.
pub async fn insert(connection: &mut Connection, slug: &str, name: &str, now: UnixMs) -> Result<()> {
    sqlx::query("INSERT INTO tenant (slug, name, state, created_at) VALUES ($1, $2, 'active', $3)")
        .bind(slug)
        .bind(name)
        .bind(now)
        .execute(connection)
        .await?;
    Ok(())
}

/// All of them, by slug.
///
/// # Errors
/// [`super::StoreError`].
pub async fn list(connection: &mut Connection) -> Result<Vec<Tenant>> {
    Ok(
        sqlx::query_as("SELECT slug, name, state, created_at FROM tenant ORDER BY slug")
            .fetch_all(connection)
            .await?,
    )
}

/// One of them.
///
/// # Errors
/// [`super::StoreError`].
pub async fn find(connection: &mut Connection, slug: &str) -> Result<Option<Tenant>> {
    Ok(
        sqlx::query_as("SELECT slug, name, state, created_at FROM tenant WHERE slug = $1")
            .bind(slug)
            .fetch_optional(connection)
            .await?,
    )
}

/// Whether a tenant works. For one that doesn't, nothing is issued, its agents are nobody's, and its results are refused.
///
/// # Errors
/// [`super::StoreError`].
pub async fn is_active(connection: &mut Connection, slug: &str) -> Result<bool> {
    Ok(
        sqlx::query("SELECT 1 FROM tenant WHERE slug = $1 AND state = 'active'")
            .bind(slug)
            .fetch_optional(connection)
            .await?
            .is_some(),
    )
}

/// Sets a tenant's state: `active`, `suspended` or `deleted`.
///
/// # Errors
/// [`super::StoreError`].
pub async fn set_state(connection: &mut Connection, slug: &str, state: &str) -> Result<()> {
    sqlx::query("UPDATE tenant SET state = $2 WHERE slug = $1")
        .bind(slug)
        .bind(state)
        .execute(connection)
        .await?;
    Ok(())
}

/// Has every gateway that may own agents of a tenant look again.
///
/// # Errors
/// [`super::StoreError`].
pub async fn tell(connection: &mut Connection, slug: &str, now: UnixMs) -> Result<()> {
    let pools: Vec<String> =
        sqlx::query_scalar("SELECT DISTINCT pool FROM agent WHERE tenant = $1 ORDER BY pool")
            .bind(slug)
            .fetch_all(&mut *connection)
            .await?;
    for pool in pools {
        super::registry::record_change(connection, &pool, slug, "", "upsert", now).await?;
    }
    Ok(())
}

/// Ends a tenant for good: nothing of it is trusted, nobody can enrol or sign in for it, and its slug stays taken. Its data
/// goes afterwards, by [`super::removal`].
///
/// # Errors
/// [`super::StoreError`].
pub async fn end(connection: &mut Connection, slug: &str) -> Result<()> {
    for statement in [
        // What people called it is theirs.
        "UPDATE tenant SET state = 'deleted', name = slug WHERE slug = $1",
        "UPDATE ca SET state = 'revoked' WHERE tenant = $1",
        "UPDATE certificate SET state = 'revoked' WHERE tenant = $1 AND state <> 'revoked'",
        "UPDATE activation SET state = 'closed' WHERE tenant = $1 AND state IN ('waiting', 'used')",
        "DELETE FROM api_token WHERE tenant = $1",
    ] {
        sqlx::query(statement)
            .bind(slug)
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}
