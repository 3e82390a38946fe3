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
        /// When it was issued.
        issued_at: UnixMs,
        /// SHA-256 of the public key in it; `None` where it was issued before anybody noted that.
        spki_sha256: Option<Vec<u8>>,
        /// When a newer one took its place.
        superseded_at: Option<UnixMs>,
        /// When its time of grace after that was over.
        retired_at: Option<UnixMs>,
    }
}

impl Certificate {
    /// Whether whoever shows it is still who it says, its dates and its authority aside.
    #[must_use]
    pub fn is_active(&self) -> bool {
        match self.state.as_str() {
            "current" | "pending" => true,
            "superseded" => self.retired_at.is_none(),
            _ => false,
        }
    }
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT issuer_ca, serial, subject_kind, tenant, subject, spiffe_id, certificate, state, not_before_at, \
             not_after_at, issued_at, spki_sha256, superseded_at, retired_at FROM certificate ",
            $rest
        )
    };
}

/// Registers a certificate in the state that it has.
///
/// # Errors
/// [`super::StoreError`]; a unique violation where the issuer used the serial before.
pub async fn insert(connection: &mut Connection, certificate: &Certificate) -> Result<()> {
    sqlx::query(
        "INSERT INTO certificate (issuer_ca, serial, subject_kind, tenant, subject, spiffe_id, certificate, state, \
         not_before_at, not_after_at, issued_at, spki_sha256, superseded_at, retired_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)",
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
    .bind(certificate.issued_at)
    .bind(&certificate.spki_sha256)
    .bind(certificate.superseded_at)
    .bind(certificate.retired_at)
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

/// The certificates of an agent that may be used now, the one in use first, those that are to be used next after it.
///
/// # Errors
/// [`super::StoreError`].
pub async fn active_of_agent(
    connection: &mut Connection,
    tenant: &str,
    agent: &str,
) -> Result<Vec<Certificate>> {
    Ok(sqlx::query_as(select!(
        "WHERE subject_kind = 'agent' AND tenant = $1 AND subject = $2 AND (state IN ('current', 'pending') \
         OR state = 'superseded' AND retired_at IS NULL) \
         ORDER BY CASE state WHEN 'current' THEN 0 WHEN 'pending' THEN 1 ELSE 2 END, issued_at DESC, serial"
    ))
    .bind(tenant)
    .bind(agent)
    .fetch_all(connection)
    .await?)
}

/// What was ever issued for a public key to an agent or a gateway itself, the newest first.
///
/// # Errors
/// [`super::StoreError`].
pub async fn find_by_key(
    connection: &mut Connection,
    subject_kind: &str,
    tenant: Option<&str>,
    subject: &str,
    spki_sha256: &[u8],
) -> Result<Option<Certificate>> {
    Ok(sqlx::query_as(select!(
        "WHERE subject_kind = $1 AND COALESCE(tenant, '') = COALESCE($2, '') AND subject = $3 AND spki_sha256 = $4 \
         ORDER BY issued_at DESC, serial LIMIT 1"
    ))
    .bind(subject_kind)
    .bind(tenant)
    .bind(subject)
    .bind(spki_sha256)
    .fetch_optional(connection)
    .await?)
}

/// Whether an agent or a gateway itself has a certificate by an authority that still issues.
///
/// # Errors
/// [`super::StoreError`].
pub async fn has_lasting(
    connection: &mut Connection,
    subject_kind: &str,
    tenant: Option<&str>,
    subject: &str,
) -> Result<bool> {
    Ok(sqlx::query(
        "SELECT 1 FROM certificate c JOIN ca i ON i.id = c.issuer_ca AND i.state = 'active' WHERE c.subject_kind = $1 \
         AND COALESCE(c.tenant, '') = COALESCE($2, '') AND c.subject = $3 AND c.state IN ('current', 'pending') LIMIT 1",
    )
    .bind(subject_kind)
    .bind(tenant)
    .bind(subject)
    .fetch_optional(connection)
    .await?
    .is_some())
}

/// One that was pending is in use, and takes the place of those that were issued before it; these have their time of
/// grace. False where it isn't pending.
///
/// # Errors
/// [`super::StoreError`].
pub async fn promote(connection: &mut Connection, seen: &Certificate, now: UnixMs) -> Result<bool> {
    let done = sqlx::query(
        "UPDATE certificate SET state = 'current' WHERE issuer_ca = $1 AND serial = $2 AND state = 'pending'",
    )
    .bind(seen.issuer_ca)
    .bind(&seen.serial)
    .execute(&mut *connection)
    .await?;
    if done.rows_affected() == 0 {
        return Ok(false);
    }
    sqlx::query(
        "UPDATE certificate SET state = 'superseded', superseded_at = $1 WHERE subject_kind = $2 \
         AND COALESCE(tenant, '') = COALESCE($3, '') AND subject = $4 AND NOT (issuer_ca = $5 AND serial = $6) \
         AND (state = 'current' OR state = 'pending' AND issued_at <= $7)",
    )
    .bind(now)
    .bind(&seen.subject_kind)
    .bind(&seen.tenant)
    .bind(&seen.subject)
    .bind(seen.issuer_ca)
    .bind(&seen.serial)
    .bind(seen.issued_at)
    .execute(connection)
    .await?;
    Ok(true)
}

/// Of an agent's or a gateway's pending certificates, all but the newest `keep` are superseded: nobody ever used them.
///
/// # Errors
/// [`super::StoreError`].
pub async fn limit_pending(
    connection: &mut Connection,
    subject_kind: &str,
    tenant: Option<&str>,
    subject: &str,
    keep: i64,
    now: UnixMs,
) -> Result<()> {
    sqlx::query(
        "UPDATE certificate SET state = 'superseded', superseded_at = $1 WHERE (issuer_ca, serial) IN \
         (SELECT issuer_ca, serial FROM certificate WHERE subject_kind = $2 AND COALESCE(tenant, '') = COALESCE($3, '') \
         AND subject = $4 AND state = 'pending' ORDER BY issued_at DESC, serial LIMIT 1000 OFFSET $5)",
    )
    .bind(now)
    .bind(subject_kind)
    .bind(tenant)
    .bind(subject)
    .bind(keep)
    .execute(connection)
    .await?;
    Ok(())
}

/// The superseded ones, of every tenant, whose time of grace began before `before` and isn't marked as over.
///
/// # Errors
/// [`super::StoreError`].
pub async fn in_grace_since(connection: &mut Connection, before: UnixMs) -> Result<Vec<Certificate>> {
    Ok(sqlx::query_as(select!(
        "WHERE state = 'superseded' AND retired_at IS NULL AND superseded_at <= $1 ORDER BY superseded_at, serial LIMIT 1000"
    ))
    .bind(before)
    .fetch_all(connection)
    .await?)
}

/// Marks that a superseded one's time of grace is over.
///
/// # Errors
/// [`super::StoreError`].
pub async fn retire(connection: &mut Connection, certificate: &Certificate, now: UnixMs) -> Result<()> {
    sqlx::query(
        "UPDATE certificate SET retired_at = $3 WHERE issuer_ca = $1 AND serial = $2 AND state = 'superseded'",
    )
    .bind(certificate.issuer_ca)
    .bind(&certificate.serial)
    .bind(now)
    .execute(connection)
    .await?;
    Ok(())
}

/// Revokes what an agent or a gateway itself may still use; only `serial`, where one is given. Returns the serials.
///
/// # Errors
/// [`super::StoreError`].
pub async fn revoke(
    connection: &mut Connection,
    subject_kind: &str,
    tenant: Option<&str>,
    subject: &str,
    serial: Option<&str>,
) -> Result<Vec<String>> {
    let rows: Vec<(String,)> = sqlx::query_as(
        "UPDATE certificate SET state = 'revoked' WHERE subject_kind = $1 AND COALESCE(tenant, '') = COALESCE($2, '') \
         AND subject = $3 AND ($4 IS NULL OR serial = $4) AND state <> 'revoked' \
         AND ($4 IS NOT NULL OR state IN ('current', 'pending') OR retired_at IS NULL) RETURNING serial",
    )
    .bind(subject_kind)
    .bind(tenant)
    .bind(subject)
    .bind(serial)
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(|(serial,)| serial).collect())
}

/// A gateway gets another certificate for one tenant's agents: those before it are superseded. Agents take them until they
/// end, unless the gateway is revoked.
///
/// # Errors
/// [`super::StoreError`].
pub async fn supersede_for_tenant(
    connection: &mut Connection,
    gateway: &str,
    tenant: &str,
    now: UnixMs,
) -> Result<()> {
    sqlx::query(
        "UPDATE certificate SET state = 'superseded', superseded_at = $3 WHERE subject_kind = 'gateway' \
         AND tenant = $2 AND subject = $1 AND state = 'current'",
    )
    .bind(gateway)
    .bind(tenant)
    .bind(now)
    .execute(connection)
    .await?;
    Ok(())
}

/// Revokes the certificates with which a gateway may still dial tenants' agents. Returns how many.
///
/// # Errors
/// [`super::StoreError`].
pub async fn revoke_for_tenants(connection: &mut Connection, gateway: &str, now: UnixMs) -> Result<u64> {
    Ok(sqlx::query(
        "UPDATE certificate SET state = 'revoked' WHERE subject_kind = 'gateway' AND tenant IS NOT NULL \
         AND subject = $1 AND state <> 'revoked' AND not_after_at > $2",
    )
    .bind(gateway)
    .bind(now)
    .execute(connection)
    .await?
    .rows_affected())
}

/// The revoked certificates of gateways that end after `ending`: those for one tenant's agents, or, where none is named,
/// those for the platform. As (DER of the issuer, serial). Those of an authority that is revoked itself need no denial; but
/// one whose key has another certificate would still be believed.
///
/// # Errors
/// [`super::StoreError`].
pub async fn denied_gateways(
    connection: &mut Connection,
    tenant: Option<&str>,
    ending: UnixMs,
) -> Result<Vec<(Vec<u8>, String)>> {
    Ok(sqlx::query_as(
        "SELECT i.certificate, c.serial FROM certificate c JOIN ca i ON i.id = c.issuer_ca \
         WHERE c.subject_kind = 'gateway' AND COALESCE(c.tenant, '') = COALESCE($1, '') AND c.state = 'revoked' \
         AND c.not_after_at > $2 \
         AND EXISTS (SELECT 1 FROM ca k WHERE k.key_ref = i.key_ref AND k.state <> 'revoked') ORDER BY c.not_after_at, c.serial",
    )
    .bind(tenant)
    .bind(ending)
    .fetch_all(connection)
    .await?)
}

/// How many certificates a gateway has for one tenant's agents that haven't ended.
///
/// # Errors
/// [`super::StoreError`].
pub async fn count_for_tenant(
    connection: &mut Connection,
    gateway: &str,
    tenant: &str,
    now: UnixMs,
) -> Result<i64> {
    use sqlx::Row as _;
    Ok(sqlx::query(
        "SELECT COUNT(*) FROM certificate WHERE subject_kind = 'gateway' AND tenant = $2 AND subject = $1 \
         AND not_after_at > $3",
    )
    .bind(gateway)
    .bind(tenant)
    .bind(now)
    .fetch_one(connection)
    .await?
    .try_get(0)?)
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
