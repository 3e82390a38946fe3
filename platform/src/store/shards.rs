//! Shards: who owns which, under which epoch. An epoch only rises; a claim under an old one changes nothing.

use super::row::row;
use super::{Connection, Result};
use crate::clock::UnixMs;

row! {
    /// One shard of a pool.
    Shard {
        /// Its number.
        number: i64,
        /// The gateway that owns it.
        owner: Option<String>,
        /// The process of that gateway.
        owner_instance: Option<String>,
        /// Rises with every change of the owner.
        epoch: i64,
    }
}

row! {
    /// When a pool was last reconciled, and until when nobody is declared dead.
    Tick {
        /// When.
        last_tick_at: UnixMs,
        /// Until when.
        hold_until_at: UnixMs,
    }
}

/// A pool's shards.
///
/// # Errors
/// [`super::StoreError`].
pub async fn of_pool(connection: &mut Connection, pool: &str) -> Result<Vec<Shard>> {
    Ok(sqlx::query_as(
        "SELECT number, owner, owner_instance, epoch FROM shard WHERE pool = $1 ORDER BY number",
    )
    .bind(pool)
    .fetch_all(connection)
    .await?)
}

/// The shards that a process owns.
///
/// # Errors
/// [`super::StoreError`].
pub async fn owned(
    connection: &mut Connection,
    pool: &str,
    owner: &str,
    instance: &str,
) -> Result<Vec<Shard>> {
    Ok(sqlx::query_as(
        "SELECT number, owner, owner_instance, epoch FROM shard WHERE pool = $1 AND owner = $2 AND owner_instance = $3 \
         ORDER BY number",
    )
    .bind(pool)
    .bind(owner)
    .bind(instance)
    .fetch_all(connection)
    .await?)
}

/// Gives a shard away, if it is still at `epoch`.
///
/// # Errors
/// [`super::StoreError`].
pub async fn reassign(
    connection: &mut Connection,
    pool: &str,
    number: i64,
    epoch: i64,
    owner: &str,
    instance: &str,
) -> Result<bool> {
    let done = sqlx::query(
        "UPDATE shard SET owner = $4, owner_instance = $5, epoch = epoch + 1 WHERE pool = $1 AND number = $2 AND epoch = $3",
    )
    .bind(pool)
    .bind(number)
    .bind(epoch)
    .bind(owner)
    .bind(instance)
    .execute(connection)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Whether a process owns a shard under an epoch, now.
///
/// # Errors
/// [`super::StoreError`].
pub async fn is_owned(
    connection: &mut Connection,
    pool: &str,
    number: i64,
    owner: &str,
    instance: &str,
    epoch: i64,
) -> Result<bool> {
    Ok(sqlx::query(
        "SELECT 1 FROM shard WHERE pool = $1 AND number = $2 AND owner = $3 AND owner_instance = $4 AND epoch = $5",
    )
    .bind(pool)
    .bind(number)
    .bind(owner)
    .bind(instance)
    .bind(epoch)
    .fetch_optional(connection)
    .await?
    .is_some())
}

/// Takes all shards from a gateway, under a new epoch: what it still says about them counts for nothing.
///
/// # Errors
/// [`super::StoreError`].
pub async fn release(connection: &mut Connection, owner: &str) -> Result<u64> {
    Ok(sqlx::query(
        "UPDATE shard SET owner = NULL, owner_instance = NULL, epoch = epoch + 1 WHERE owner = $1",
    )
    .bind(owner)
    .execute(connection)
    .await?
    .rows_affected())
}

/// When a pool was last reconciled; `None` where it never was.
///
/// # Errors
/// [`super::StoreError`].
pub async fn tick(connection: &mut Connection, pool: &str) -> Result<Option<Tick>> {
    Ok(
        sqlx::query_as("SELECT last_tick_at, hold_until_at FROM reconcile WHERE pool = $1")
            .bind(pool)
            .fetch_optional(connection)
            .await?,
    )
}

/// Notes that a pool was reconciled.
///
/// # Errors
/// [`super::StoreError`].
pub async fn set_tick(connection: &mut Connection, pool: &str, tick: &Tick) -> Result<()> {
    sqlx::query(
        "INSERT INTO reconcile (pool, last_tick_at, hold_until_at) VALUES ($1, $2, $3) ON CONFLICT (pool) \
         DO UPDATE SET last_tick_at = excluded.last_tick_at, hold_until_at = excluded.hold_until_at",
    )
    .bind(pool)
    .bind(tick.last_tick_at)
    .bind(tick.hold_until_at)
    .execute(connection)
    .await?;
    Ok(())
}
