//! Sealed batches, kept exactly as the agent sealed them.

use super::{Connection, Result};
use crate::clock::UnixMs;

/// One batch.
#[derive(Debug, Clone)]
pub struct Chunk<'a> {
    /// Whose agent.
    pub tenant: &'a str,
    /// Which.
    pub agent: &'a str,
    /// The stream.
    pub stream: &'a str,
    /// The first sequence number inside.
    pub first_seq: i64,
    /// The last one.
    pub last_seq: i64,
    /// The earliest start of a run inside, on the agent's clock.
    pub t_min: UnixMs,
    /// The latest one.
    pub t_max: UnixMs,
    /// The signed bytes.
    pub header: &'a [u8],
    /// The compressed results.
    pub payload: &'a [u8],
    /// The agent's signature.
    pub signature: &'a [u8],
}

/// Stores a batch.
///
/// # Errors
/// [`super::StoreError`]; a unique violation where it is there.
pub async fn insert(connection: &mut Connection, chunk: &Chunk<'_>, now: UnixMs) -> Result<()> {
    sqlx::query(
        "INSERT INTO sample_chunk (tenant, agent, stream, first_seq, last_seq, t_min, t_max, header, payload, signature, \
         received_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
    )
    .bind(chunk.tenant)
    .bind(chunk.agent)
    .bind(chunk.stream)
    .bind(chunk.first_seq)
    .bind(chunk.last_seq)
    .bind(chunk.t_min)
    .bind(chunk.t_max)
    .bind(chunk.header)
    .bind(chunk.payload)
    .bind(chunk.signature)
    .bind(now)
    .execute(connection)
    .await?;
    Ok(())
}

/// Forgets up to `limit` batches that were received before `before`, of every tenant. The cursor is a row of its own, so
/// nothing of it is lost. Returns how many.
///
/// # Errors
/// [`super::StoreError`].
pub async fn prune(connection: &mut Connection, before: UnixMs, limit: u32) -> Result<u64> {
    Ok(sqlx::query(
        "DELETE FROM sample_chunk WHERE (tenant, agent, stream, first_seq) IN ( \
         SELECT tenant, agent, stream, first_seq FROM sample_chunk WHERE received_at < $1 ORDER BY received_at LIMIT $2)",
    )
    .bind(before)
    .bind(limit)
    .execute(connection)
    .await?
    .rows_affected())
}
