//! Where the platform stands with each agent, and what it will never get.

use sqlx::Row as _;

use super::row::row;
use super::{Connection, Result};
use crate::clock::UnixMs;

row! {
    /// Where the platform stands with an agent.
    Cursor {
        /// The stream.
        stream: String,
        /// The last sequence number of it that is committed.
        committed_seq: i64,
        /// Results that were lost in all streams.
        lost_total: i64,
    }
}

/// An agent's cursor.
///
/// # Errors
/// [`super::StoreError`].
pub async fn find(connection: &mut Connection, tenant: &str, agent: &str) -> Result<Option<Cursor>> {
    Ok(sqlx::query_as(
        "SELECT stream, committed_seq, lost_total FROM agent_cursor WHERE tenant = $1 AND agent = $2",
    )
    .bind(tenant)
    .bind(agent)
    .fetch_optional(connection)
    .await?)
}

/// The last sequence number that is known of a stream, be it stored or recorded as lost.
///
/// # Errors
/// [`super::StoreError`].
pub async fn position(
    connection: &mut Connection,
    tenant: &str,
    agent: &str,
    stream: &str,
) -> Result<Option<i64>> {
    Ok(sqlx::query(
        "SELECT MAX(last_seq) FROM (SELECT last_seq FROM sample_chunk WHERE tenant = $1 AND agent = $2 AND stream = $3 \
         UNION ALL SELECT last_seq FROM result_gap WHERE tenant = $1 AND agent = $2 AND stream = $3) AS known",
    )
    .bind(tenant)
    .bind(agent)
    .bind(stream)
    .fetch_one(connection)
    .await?
    .try_get(0)?)
}

/// Moves the cursor from `from` (`None`: there was none) to `to`. False where it isn't there any more.
///
/// # Errors
/// [`super::StoreError`].
pub async fn advance(
    connection: &mut Connection,
    tenant: &str,
    agent: &str,
    from: Option<&Cursor>,
    to: &Cursor,
    now: UnixMs,
) -> Result<bool> {
    let done =
        match from {
            Some(from) => sqlx::query(
                "UPDATE agent_cursor SET stream = $3, committed_seq = $4, lost_total = $5, updated_at = $6 \
                 WHERE tenant = $1 AND agent = $2 AND stream = $7 AND committed_seq = $8",
            )
            .bind(tenant)
            .bind(agent)
            .bind(&to.stream)
            .bind(to.committed_seq)
            .bind(to.lost_total)
            .bind(now)
            .bind(&from.stream)
            .bind(from.committed_seq)
            .execute(connection)
            .await?,
            None => {
                sqlx::query(
                    "INSERT INTO agent_cursor (tenant, agent, stream, committed_seq, lost_total, updated_at) \
                 VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING",
                )
                .bind(tenant)
                .bind(agent)
                .bind(&to.stream)
                .bind(to.committed_seq)
                .bind(to.lost_total)
                .bind(now)
                .execute(connection)
                .await?
            }
        };
    Ok(done.rows_affected() == 1)
}

/// Records results that will never come. A range that is known already stays as it is.
///
/// # Errors
/// [`super::StoreError`].
#[expect(
    clippy::too_many_arguments,
    reason = "a row's columns, each named at the only call"
)]
pub async fn insert_gap(
    connection: &mut Connection,
    tenant: &str,
    agent: &str,
    stream: &str,
    first_seq: i64,
    last_seq: i64,
    cause: &str,
    now: UnixMs,
) -> Result<()> {
    sqlx::query(
        "INSERT INTO result_gap (tenant, agent, stream, first_seq, last_seq, cause, noticed_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING",
    )
    .bind(tenant)
    .bind(agent)
    .bind(stream)
    .bind(first_seq)
    .bind(last_seq)
    .bind(cause)
    .bind(now)
    .execute(connection)
    .await?;
    Ok(())
}
