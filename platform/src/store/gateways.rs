//! Gateways and their leases.

use super::row::row;
use super::{Connection, Result};
use crate::clock::UnixMs;

row! {
    /// A registered gateway.
    Gateway {
        /// Its name.
        name: String,
        /// The pool that it works for.
        pool: String,
        /// The SPIFFE ID that it has to show.
        spiffe_id: String,
        /// The process that has the lease.
        instance: Option<String>,
        /// `absent`, `live`, `draining` or `dead`.
        state: String,
        /// How large its share is, against the others' of its pool.
        weight: i64,
        /// Where it runs.
        zone: String,
        /// Its program's version.
        version: String,
        /// How many agents it says that it has.
        agents: i64,
        /// When its lease ends.
        expires_at: UnixMs,
        /// The sequence of the trust that it goes by.
        trust_sequence: i64,
        /// When it was turned away for good.
        revoked_at: Option<UnixMs>,
        /// 1 where its certificates come from a Workload API.
        by_workload_api: i64,
    }
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT name, pool, spiffe_id, instance, state, weight, zone, version, agents, expires_at, trust_sequence, \
             revoked_at, by_workload_api FROM gateway ",
            $rest
        )
    };
}

/// Registers a gateway.
///
/// # Errors
/// [`super::StoreError`]; a unique violation where there is one of that name.
pub async fn insert(
    connection: &mut Connection,
    name: &str,
    pool: &str,
    spiffe_id: &str,
    now: UnixMs,
) -> Result<()> {
    sqlx::query(
        "INSERT INTO gateway (name, pool, spiffe_id, instance, state, weight, zone, version, agents, expires_at, changed_at, \
         created_at) VALUES ($1, $2, $3, NULL, 'absent', 1, '', '', 0, 0, $4, $4)",
    )
    .bind(name)
    .bind(pool)
    .bind(spiffe_id)
    .bind(now)
    .execute(connection)
    .await?;
    Ok(())
}

/// One gateway.
///
/// # Errors
/// [`super::StoreError`].
pub async fn find(connection: &mut Connection, name: &str) -> Result<Option<Gateway>> {
    Ok(sqlx::query_as(select!("WHERE name = $1"))
        .bind(name)
        .fetch_optional(connection)
        .await?)
}

/// All gateways.
///
/// # Errors
/// [`super::StoreError`].
pub async fn list(connection: &mut Connection) -> Result<Vec<Gateway>> {
    Ok(sqlx::query_as(select!("ORDER BY name"))
        .fetch_all(connection)
        .await?)
}

/// A pool's gateways.
///
/// # Errors
/// [`super::StoreError`].
pub async fn of_pool(connection: &mut Connection, pool: &str) -> Result<Vec<Gateway>> {
    Ok(sqlx::query_as(select!("WHERE pool = $1 ORDER BY name"))
        .bind(pool)
        .fetch_all(connection)
        .await?)
}

/// What a process says of itself when it joins.
#[derive(Debug, Clone)]
pub struct Joining<'a> {
    /// Random for each boot.
    pub instance: &'a str,
    /// Its program's version.
    pub version: &'a str,
    /// Its share.
    pub weight: i64,
    /// Where it runs.
    pub zone: &'a str,
    /// The sequence of the trust that it goes by.
    pub trust_sequence: i64,
}

/// Gives the lease to a process, whoever had it before.
///
/// # Errors
/// [`super::StoreError`].
pub async fn join(
    connection: &mut Connection,
    name: &str,
    joining: &Joining<'_>,
    now: UnixMs,
    expires_at: UnixMs,
) -> Result<()> {
    sqlx::query(
        "UPDATE gateway SET instance = $2, state = 'live', version = $3, weight = $4, zone = $5, agents = 0, \
         expires_at = $6, changed_at = $7, trust_sequence = $8 WHERE name = $1",
    )
    .bind(name)
    .bind(joining.instance)
    .bind(joining.version)
    .bind(joining.weight)
    .bind(joining.zone)
    .bind(expires_at)
    .bind(now)
    .bind(joining.trust_sequence)
    .execute(connection)
    .await?;
    Ok(())
}

/// Renews the lease of a process that still has it. False where it has it no more.
///
/// # Errors
/// [`super::StoreError`].
pub async fn renew(
    connection: &mut Connection,
    name: &str,
    instance: &str,
    (agents, trust_sequence): (i64, i64),
    now: UnixMs,
    expires_at: UnixMs,
) -> Result<bool> {
    let done = sqlx::query(
        "UPDATE gateway SET expires_at = $5, agents = $3, trust_sequence = $6 WHERE name = $1 AND instance = $2 \
         AND state IN ('live', 'draining') AND expires_at > $4",
    )
    .bind(name)
    .bind(instance)
    .bind(agents)
    .bind(now)
    .bind(expires_at)
    .bind(trust_sequence)
    .execute(connection)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Sets the state of a process that still has the lease.
///
/// # Errors
/// [`super::StoreError`].
pub async fn set_state(
    connection: &mut Connection,
    name: &str,
    instance: &str,
    state: &str,
    now: UnixMs,
) -> Result<bool> {
    let done = sqlx::query(
        "UPDATE gateway SET state = $3, changed_at = $4 WHERE name = $1 AND instance = $2 AND state <> $3",
    )
    .bind(name)
    .bind(instance)
    .bind(state)
    .bind(now)
    .execute(connection)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Takes the lease from a process; its name stays registered.
///
/// # Errors
/// [`super::StoreError`].
pub async fn leave(
    connection: &mut Connection,
    name: &str,
    instance: &str,
    state: &str,
    now: UnixMs,
) -> Result<bool> {
    let done = sqlx::query(
        "UPDATE gateway SET state = $3, instance = NULL, agents = 0, expires_at = 0, changed_at = $4 \
         WHERE name = $1 AND instance = $2",
    )
    .bind(name)
    .bind(instance)
    .bind(state)
    .bind(now)
    .execute(connection)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Makes the lease of a process end at `expires_at` at the latest.
///
/// # Errors
/// [`super::StoreError`].
pub async fn shorten(
    connection: &mut Connection,
    name: &str,
    instance: &str,
    expires_at: UnixMs,
) -> Result<()> {
    sqlx::query("UPDATE gateway SET expires_at = $3 WHERE name = $1 AND instance = $2 AND expires_at > $3")
        .bind(name)
        .bind(instance)
        .bind(expires_at)
        .execute(connection)
        .await?;
    Ok(())
}

/// Turns a gateway away for good: it has no lease, and gets none.
///
/// # Errors
/// [`super::StoreError`].
pub async fn revoke(connection: &mut Connection, name: &str, now: UnixMs) -> Result<()> {
    sqlx::query(
        "UPDATE gateway SET state = 'dead', instance = NULL, agents = 0, expires_at = 0, changed_at = $2, revoked_at = $2 \
         WHERE name = $1",
    )
    .bind(name)
    .bind(now)
    .execute(connection)
    .await?;
    Ok(())
}

/// Says whether a gateway's certificates come from a Workload API, and no more from us.
///
/// # Errors
/// [`super::StoreError`].
pub async fn set_by_workload_api(
    connection: &mut Connection,
    name: &str,
    by_workload_api: bool,
) -> Result<()> {
    sqlx::query("UPDATE gateway SET by_workload_api = $2 WHERE name = $1")
        .bind(name)
        .bind(i64::from(by_workload_api))
        .execute(connection)
        .await?;
    Ok(())
}

/// The names of the gateways that were turned away, and whose certificates come from a Workload API.
///
/// # Errors
/// [`super::StoreError`].
pub async fn revoked_by_workload_api(connection: &mut Connection) -> Result<Vec<String>> {
    Ok(sqlx::query_scalar(
        "SELECT name FROM gateway WHERE by_workload_api = 1 AND revoked_at IS NOT NULL ORDER BY name",
    )
    .fetch_all(connection)
    .await?)
}

/// Takes back that a gateway was turned away.
///
/// # Errors
/// [`super::StoreError`].
pub async fn readmit(connection: &mut Connection, name: &str, now: UnixMs) -> Result<()> {
    sqlx::query("UPDATE gateway SET revoked_at = NULL, changed_at = $2 WHERE name = $1")
        .bind(name)
        .bind(now)
        .execute(connection)
        .await?;
    Ok(())
}
