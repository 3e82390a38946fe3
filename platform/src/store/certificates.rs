//! Leaves that were issued, and whether they still count.

use super::row::row;
use super::{Connection, Result};
use crate::clock::UnixMs;

row! {
    /// An issued certificate.
    Certificate {
        /// The authority that signed it.
        issuer_ca: i64,
        /// Hexadecimal, lower case.
        serial: String,
        /// `agent`, `gateway` or `platform`.
        subject_kind: String,
        /// Whose agent, or for which tenant a gateway may use it.
        tenant: Option<String>,
        /// The agent's, gateway's or node's name.
        subject: String,
        /// The SPIFFE ID in it.
        spiffe_id: String,
        /// DER.
        certificate: Vec<u8>,
        /// `pending`, `current`, `superseded` or `revoked`.
        state: String,
        /// Valid from.
        not_before_at: UnixMs,
        /// Valid until.
        not_after_at: UnixMs,
        /// When a newer one took its place.
        superseded_at: Option<UnixMs>,
    }
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT issuer_ca, serial, subject_kind, tenant, subject, spiffe_id, certificate, state, not_before_at, \
             not_after_at, superseded_at FROM certificate ",
            $rest
        )
    };
}

/// Registers a certificate in the state that it has.
///
/// # Errors
/// [`super::StoreError`]; a unique violation where the issuer used the serial before.
pub async fn insert(connection: &mut Connection, certificate: &Certificate, now: UnixMs) -> Result<()> {
    sqlx::query(
        "INSERT INTO certificate (issuer_ca, serial, subject_kind, tenant, subject, spiffe_id, certificate, state, \
         not_before_at, not_after_at, issued_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
    )
    .bind(certificate.issuer_ca)
    .bind(&certificate.serial)
    .bind(&certificate.subject_kind)
    .bind(&certificate.tenant)
    .bind(&certificate.subject)
    .bind(&certificate.spiffe_id)
    .bind(&certificate.certificate)
    .bind(&certificate.state)
    .bind(certificate.not_before_at)
    .bind(certificate.not_after_at)
    .bind(now)
    .execute(connection)
    .await?;
    Ok(())
}

/// What was issued to an agent under a serial number, whoever of its authorities signed it.
///
/// # Errors
/// [`super::StoreError`].
pub async fn find_of_agent(
    connection: &mut Connection,
    tenant: &str,
    agent: &str,
    serial: &str,
) -> Result<Option<Certificate>> {
    Ok(sqlx::query_as(select!(
        "WHERE subject_kind = 'agent' AND tenant = $1 AND subject = $2 AND serial = $3 ORDER BY issued_at DESC LIMIT 1"
    ))
    .bind(tenant)
    .bind(agent)
    .bind(serial)
    .fetch_optional(connection)
    .await?)
}

/// What was issued to a gateway itself (not for a tenant) under a serial number.
///
/// # Errors
/// [`super::StoreError`].
pub async fn find_of_gateway(
    connection: &mut Connection,
    gateway: &str,
    serial: &str,
) -> Result<Option<Certificate>> {
    Ok(sqlx::query_as(select!(
        "WHERE subject_kind = 'gateway' AND tenant IS NULL AND subject = $1 AND serial = $2 \
         ORDER BY issued_at DESC LIMIT 1"
    ))
    .bind(gateway)
    .bind(serial)
    .fetch_optional(connection)
    .await?)
}

/// The certificates of an agent that may be used now, the newest first.
///
/// # Errors
/// [`super::StoreError`].
pub async fn active_of_agent(
    connection: &mut Connection,
    tenant: &str,
    agent: &str,
) -> Result<Vec<Certificate>> {
    Ok(sqlx::query_as(select!(
        "WHERE subject_kind = 'agent' AND tenant = $1 AND subject = $2 AND state IN ('current', 'pending') \
         ORDER BY issued_at DESC, serial"
    ))
    .bind(tenant)
    .bind(agent)
    .fetch_all(connection)
    .await?)
}

/// What an agent or a gateway itself had until now is superseded. Returns how many certificates that were.
///
/// # Errors
/// [`super::StoreError`].
pub async fn supersede(
    connection: &mut Connection,
    subject_kind: &str,
    tenant: Option<&str>,
    subject: &str,
    now: UnixMs,
) -> Result<u64> {
    Ok(sqlx::query(
        "UPDATE certificate SET state = 'superseded', superseded_at = $1 WHERE subject_kind = $2 \
         AND COALESCE(tenant, '') = COALESCE($3, '') AND subject = $4 AND state IN ('current', 'pending')",
    )
    .bind(now)
    .bind(subject_kind)
    .bind(tenant)
    .bind(subject)
    .execute(connection)
    .await?
    .rows_affected())
}

/// Agents' certificates that are in use and end before `before`, of every tenant: for the expiry scan.
///
/// # Errors
/// [`super::StoreError`].
pub async fn agents_expiring(connection: &mut Connection, before: UnixMs) -> Result<Vec<Certificate>> {
    Ok(sqlx::query_as(select!(
        "WHERE subject_kind = 'agent' AND state = 'current' AND not_after_at < $1 ORDER BY not_after_at, serial"
    ))
    .bind(before)
    .fetch_all(connection)
    .await?)
}

/// Forgets certificates that ended before `before` and aren't anybody's current one. Returns how many.
///
/// # Errors
/// [`super::StoreError`].
pub async fn prune(connection: &mut Connection, before: UnixMs) -> Result<u64> {
    Ok(sqlx::query(
        "DELETE FROM certificate WHERE not_after_at < $1 AND (state IN ('superseded', 'revoked') OR tenant IS NOT NULL \
         AND subject_kind = 'gateway')",
    )
    .bind(before)
    .execute(connection)
    .await?
    .rows_affected())
}
