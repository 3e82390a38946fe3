//! One-time activations: one for each `.enroll` file. The platform knows the public half of the key in it, never the
//! private one.

use super::row::row;
use super::{Connection, Result};
use crate::clock::UnixMs;

row! {
    /// An activation.
    Activation {
        /// Its key.
        id: String,
        /// Whose agent.
        tenant: String,
        /// Which.
        agent: String,
        /// Ed25519, 32 bytes.
        public_key: Vec<u8>,
        /// `waiting`, `used`, `done` or `closed`.
        state: String,
        /// When the file was written.
        created_at: UnixMs,
        /// Until when it may be used.
        expires_at: UnixMs,
        /// SHA-256 of the public key that it was used with.
        spki_sha256: Option<Vec<u8>>,
        /// The authority that issued by it.
        issuer_ca: Option<i64>,
        /// What was issued by it.
        serial: Option<String>,
    }
}

/// The most that are looked at of one agent: a person writes a file for each.
const MAX_OF_AGENT: i64 = 32;

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, tenant, agent, public_key, state, created_at, expires_at, spki_sha256, issuer_ca, serial \
             FROM activation ",
            $rest
        )
    };
}

/// Adds a waiting one. Those before it have to be closed.
///
/// # Errors
/// [`super::StoreError`]; a unique violation where another one of the agent is open.
pub async fn insert(
    connection: &mut Connection,
    id: &str,
    (tenant, agent): (&str, &str),
    public_key: &[u8],
    now: UnixMs,
    expires_at: UnixMs,
) -> Result<()> {
    sqlx::query(
        "INSERT INTO activation (id, tenant, agent, public_key, state, created_at, expires_at) \
         VALUES ($1, $2, $3, $4, 'waiting', $5, $6)",
    )
    .bind(id)
    .bind(tenant)
    .bind(agent)
    .bind(public_key)
    .bind(now)
    .bind(expires_at)
    .execute(connection)
    .await?;
    Ok(())
}

/// An agent's, the newest first.
///
/// # Errors
/// [`super::StoreError`].
pub async fn of_agent(connection: &mut Connection, tenant: &str, agent: &str) -> Result<Vec<Activation>> {
    Ok(sqlx::query_as(select!(
        "WHERE tenant = $1 AND agent = $2 ORDER BY created_at DESC, id DESC LIMIT $3"
    ))
    .bind(tenant)
    .bind(agent)
    .bind(MAX_OF_AGENT)
    .fetch_all(connection)
    .await?)
}

/// Whether an agent has one that is `waiting` or `used`: it awaits enrolment.
///
/// # Errors
/// [`super::StoreError`].
pub async fn is_awaited(connection: &mut Connection, tenant: &str, agent: &str) -> Result<bool> {
    Ok(sqlx::query(
        "SELECT 1 FROM activation WHERE tenant = $1 AND agent = $2 AND state IN ('waiting', 'used')",
    )
    .bind(tenant)
    .bind(agent)
    .fetch_optional(connection)
    .await?
    .is_some())
}

/// Consumes a waiting one. False where it isn't waiting any more.
///
/// # Errors
/// [`super::StoreError`].
pub async fn consume(
    connection: &mut Connection,
    id: &str,
    spki_sha256: &[u8],
    (issuer_ca, serial): (i64, &str),
    now: UnixMs,
) -> Result<bool> {
    let done = sqlx::query(
        "UPDATE activation SET state = 'used', used_at = $2, spki_sha256 = $3, issuer_ca = $4, serial = $5 \
         WHERE id = $1 AND state = 'waiting'",
    )
    .bind(id)
    .bind(now)
    .bind(spki_sha256)
    .bind(issuer_ca)
    .bind(serial)
    .execute(connection)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// The certificate that was issued by one is in use.
///
/// # Errors
/// [`super::StoreError`].
pub async fn finish(connection: &mut Connection, tenant: &str, agent: &str, serial: &str) -> Result<()> {
    sqlx::query(
        "UPDATE activation SET state = 'done' WHERE tenant = $1 AND agent = $2 AND state = 'used' AND serial = $3",
    )
    .bind(tenant)
    .bind(agent)
    .bind(serial)
    .execute(connection)
    .await?;
    Ok(())
}

/// Closes what is open of an agent's. Returns how many that were.
///
/// # Errors
/// [`super::StoreError`].
pub async fn close(connection: &mut Connection, tenant: &str, agent: &str) -> Result<u64> {
    Ok(sqlx::query(
        "UPDATE activation SET state = 'closed' WHERE tenant = $1 AND agent = $2 AND state IN ('waiting', 'used')",
    )
    .bind(tenant)
    .bind(agent)
    .execute(connection)
    .await?
    .rows_affected())
}

/// The agents, of every tenant, that have a certificate and an open activation whose time ran out: as (tenant, agent).
/// One without any certificate goes on waiting, so that whoever comes with the late file is told why it is too late.
///
/// # Errors
/// [`super::StoreError`].
pub async fn lapsed(connection: &mut Connection, now: UnixMs) -> Result<Vec<(String, String)>> {
    Ok(sqlx::query_as(
        "SELECT v.tenant, v.agent FROM activation v WHERE v.state IN ('waiting', 'used') AND v.expires_at <= $1 \
         AND EXISTS (SELECT 1 FROM certificate c WHERE c.subject_kind = 'agent' AND c.tenant = v.tenant \
         AND c.subject = v.agent AND c.state IN ('current', 'pending'))",
    )
    .bind(now)
    .fetch_all(connection)
    .await?)
}

/// Forgets those, of every tenant, that ended before `before`.
///
/// # Errors
/// [`super::StoreError`].
pub async fn prune(connection: &mut Connection, before: UnixMs) -> Result<u64> {
    Ok(
        sqlx::query("DELETE FROM activation WHERE expires_at < $1 AND state IN ('done', 'closed')")
            .bind(before)
            .execute(connection)
            .await?
            .rows_affected(),
    )
}
