//! Certificate authorities. The table holds certificates and where the keys are, never a key.

use super::row::row;
use super::{Connection, Result};
use crate::clock::UnixMs;

row! {
    /// A certificate authority.
    Ca {
        /// Its key.
        id: i64,
        /// `root`, `gateway`, `platform` or `tenant`.
        kind: String,
        /// Whose it is, where it is a tenant's.
        tenant: Option<String>,
        /// DER.
        certificate: Vec<u8>,
        /// The key's file, below the key folder.
        key_ref: String,
        /// `prepared`, `active`, `retiring` or `revoked`.
        state: String,
        /// Until when it is valid.
        not_after_at: UnixMs,
        /// The root that signed its certificate; `None` for a root.
        issuer: Option<i64>,
        /// The sequence of the trust from which on it is trusted.
        trusted_from: i64,
        /// When it was made.
        created_at: UnixMs,
        /// When it came into its state.
        changed_at: UnixMs,
    }
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, kind, tenant, certificate, key_ref, state, not_after_at, issuer, trusted_from, created_at, \
             changed_at FROM ca ",
            $rest
        )
    };
}

/// An authority to be added.
#[derive(Debug, Clone)]
pub struct NewCa<'a> {
    /// `root`, `gateway`, `platform` or `tenant`.
    pub kind: &'a str,
    /// Whose it is, where it is a tenant's.
    pub tenant: Option<&'a str>,
    /// DER.
    pub certificate: &'a [u8],
    /// The key's file, below the key folder.
    pub key_ref: &'a str,
    /// `prepared` or `active`.
    pub state: &'a str,
    /// Until when it is valid.
    pub not_after_at: UnixMs,
    /// The root that signed its certificate; `None` for a root.
    pub issuer: Option<i64>,
    /// The sequence of the trust from which on it is trusted.
    pub trusted_from: i64,
}

impl std::fmt::Display for Ca {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.tenant {
            Some(tenant) => write!(f, "{} CA {tenant}", self.kind),
            None if self.kind == "root" => f.write_str("root"),
            None => write!(f, "{} CA", self.kind),
        }
    }
}

/// Adds an authority and returns its id.
///
/// # Errors
/// [`super::StoreError`].
pub async fn insert(connection: &mut Connection, new: &NewCa<'_>, now: UnixMs) -> Result<i64> {
    use sqlx::Row as _;
    Ok(sqlx::query(
        "INSERT INTO ca (id, kind, tenant, certificate, key_ref, state, not_after_at, issuer, trusted_from, created_at, \
         changed_at) \
         SELECT COALESCE(MAX(id), 0) + 1, $1, $2, $3, $4, $5, $6, $7, $8, $9, $9 FROM ca RETURNING id",
    )
    .bind(new.kind)
    .bind(new.tenant)
    .bind(new.certificate)
    .bind(new.key_ref)
    .bind(new.state)
    .bind(new.not_after_at)
    .bind(new.issuer)
    .bind(new.trusted_from)
    .bind(now)
    .fetch_one(connection)
    .await?
    .try_get(0)?)
}

/// Brings an authority into another state.
///
/// # Errors
/// [`super::StoreError`].
pub async fn set_state(connection: &mut Connection, id: i64, state: &str, now: UnixMs) -> Result<()> {
    sqlx::query("UPDATE ca SET state = $2, changed_at = $3 WHERE id = $1")
        .bind(id)
        .bind(state)
        .bind(now)
        .execute(connection)
        .await?;
    Ok(())
}

/// The authorities of a kind that leaves are trusted from, the one that issues first. `tenant` is `None` for the
/// platform's own.
///
/// # Errors
/// [`super::StoreError`].
pub async fn trusted(connection: &mut Connection, kind: &str, tenant: Option<&str>) -> Result<Vec<Ca>> {
    Ok(sqlx::query_as(select!(
        "WHERE kind = $1 AND COALESCE(tenant, '') = COALESCE($2, '') AND state IN ('prepared', 'active', 'retiring') \
         ORDER BY CASE state WHEN 'active' THEN 0 ELSE 1 END, id DESC"
    ))
    .bind(kind)
    .bind(tenant)
    .fetch_all(connection)
    .await?)
}

/// One of them.
///
/// # Errors
/// [`super::StoreError`].
pub async fn find(connection: &mut Connection, id: i64) -> Result<Option<Ca>> {
    Ok(sqlx::query_as(select!("WHERE id = $1"))
        .bind(id)
        .fetch_optional(connection)
        .await?)
}

/// Every authority, oldest first.
///
/// # Errors
/// [`super::StoreError`].
pub async fn list(connection: &mut Connection) -> Result<Vec<Ca>> {
    Ok(sqlx::query_as(select!("ORDER BY id"))
        .fetch_all(connection)
        .await?)
}
