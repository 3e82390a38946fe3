//! Who may look: one-time sign-in tokens, web sessions and API tokens. Only SHA-256 of a token is kept; a copy of the
//! database lets nobody in.

use std::fmt::Write as _;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sqlx::Row as _;

use super::{Result, Store};
use crate::clock::UnixMs;

/// How long a sign-in token can be used: long enough to open a browser on another machine.
pub const SIGNIN_TOKEN_MS: i64 = 15 * 60 * 1000;

/// How long a web session lasts: a working day, then one signs in again.
pub const SESSION_MS: i64 = 12 * 60 * 60 * 1000;

/// `last_used_at` is written at most this often, so that a busy client costs no write per request.
const LAST_USED_EVERY_MS: i64 = 60_000;

/// 256 random bits: no guessing, so a plain SHA-256 is enough to keep it by.
const SECRET_BYTES: usize = 32;

/// A secret that is shown once, to the one who asked for it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    fn generate(prefix: &str) -> Self {
        let bytes: [u8; SECRET_BYTES] = rand::random();
        Self(format!("{prefix}{}", URL_SAFE_NO_PAD.encode(bytes)))
    }

    /// The text to show.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// SHA-256 of a secret, hexadecimal: what the database has of it.
#[must_use]
pub fn hash(secret: &str) -> String {
    let sum = digest(&SHA256, secret.as_bytes());
    sum.as_ref()
        .iter()
        .fold(String::with_capacity(64), |mut text, byte| {
            // Writing to a String can't fail.
            let _infallible = write!(text, "{byte:02x}");
            text
        })
}

/// A signed-in browser.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// What each form has to send back.
    pub csrf: String,
    /// When it ends.
    pub expires_at: UnixMs,
}

/// What an API token allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiToken {
    /// Its name: the actor in the audit log.
    pub name: String,
    /// The only tenant that it sees; `None`: all of them.
    pub tenant: Option<String>,
}

/// Makes a one-time sign-in token, usable for [`SIGNIN_TOKEN_MS`].
///
/// # Errors
/// [`super::StoreError::Sql`].
pub async fn create_signin_token(store: &Store) -> Result<Secret> {
    let secret = Secret::generate("");
    let mut write = store.write().await?;
    let now = write.now();
    sqlx::query("DELETE FROM signin_token WHERE expires_at <= $1")
        .bind(now)
        .execute(&mut *write)
        .await?;
    sqlx::query("INSERT INTO signin_token (token_hash, created_at, expires_at) VALUES ($1, $2, $3)")
        .bind(hash(secret.reveal()))
        .bind(now)
        .bind(now + SIGNIN_TOKEN_MS)
        .execute(&mut *write)
        .await?;
    write.commit().await?;
    Ok(secret)
}

/// Uses a sign-in token up and begins a session, in one transaction: the cookie's value, or `None` where the token
/// isn't one, was used, or is too old.
///
/// # Errors
/// [`super::StoreError::Sql`].
pub async fn sign_in(store: &Store, token: &str) -> Result<Option<(Secret, Session)>> {
    let token_hash = hash(token);
    // Looked up first: guessing must not cost the one writer's time. The deletion decides.
    let mut read = store.read().await?;
    let known = sqlx::query("SELECT 1 FROM signin_token WHERE token_hash = $1").bind(&token_hash);
    if known.fetch_optional(&mut *read).await?.is_none() {
        return Ok(None);
    }
    drop(read);
    let mut write = store.write().await?;
    let now = write.now();
    let used = sqlx::query("DELETE FROM signin_token WHERE token_hash = $1 AND expires_at > $2")
        .bind(&token_hash)
        .bind(now)
        .execute(&mut *write)
        .await?
        .rows_affected();
    if used != 1 {
        return Ok(None);
    }
    let cookie = Secret::generate("");
    let session = Session {
        csrf: Secret::generate("").0,
        expires_at: now + SESSION_MS,
    };
    sqlx::query("DELETE FROM web_session WHERE expires_at <= $1")
        .bind(now)
        .execute(&mut *write)
        .await?;
    sqlx::query("INSERT INTO web_session (token_hash, csrf, created_at, expires_at) VALUES ($1, $2, $3, $4)")
        .bind(hash(cookie.reveal()))
        .bind(&session.csrf)
        .bind(now)
        .bind(session.expires_at)
        .execute(&mut *write)
        .await?;
    write.commit().await?;
    Ok(Some((cookie, session)))
}

/// The session of a cookie's value, unless it has ended.
///
/// # Errors
/// [`super::StoreError::Sql`].
pub async fn session(store: &Store, cookie: &str, now: UnixMs) -> Result<Option<Session>> {
    let mut read = store.read().await?;
    let row =
        sqlx::query("SELECT csrf, expires_at FROM web_session WHERE token_hash = $1 AND expires_at > $2")
            .bind(hash(cookie))
            .bind(now)
            .fetch_optional(&mut *read)
            .await?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(Session {
        csrf: row.try_get("csrf")?,
        expires_at: row.try_get("expires_at")?,
    }))
}

/// Ends the session of a cookie's value.
///
/// # Errors
/// [`super::StoreError::Sql`].
pub async fn sign_out(store: &Store, cookie: &str) -> Result<()> {
    let mut write = store.write().await?;
    sqlx::query("DELETE FROM web_session WHERE token_hash = $1")
        .bind(hash(cookie))
        .execute(&mut *write)
        .await?;
    write.commit().await
}

/// Whether nobody has ever signed in and no sign-in token is waiting: the first run.
///
/// # Errors
/// [`super::StoreError::Sql`].
pub async fn is_first_run(store: &Store) -> Result<bool> {
    let mut read = store.read().await?;
    let row = sqlx::query("SELECT (SELECT COUNT(*) FROM web_session) + (SELECT COUNT(*) FROM signin_token)")
        .fetch_one(&mut *read)
        .await?;
    Ok(row.try_get::<i64, _>(0)? == 0)
}

/// Makes an API token. A name that is taken is a unique violation ([`super::StoreError::is_unique_violation`]).
///
/// # Errors
/// [`super::StoreError::Sql`]: the name is taken, or there is no such tenant.
pub async fn create_api_token(store: &Store, name: &str, tenant: Option<&str>) -> Result<Secret> {
    // A prefix that secret scanners can look for.
    let secret = Secret::generate("picket_");
    let mut write = store.write().await?;
    let now = write.now();
    sqlx::query("INSERT INTO api_token (token_hash, name, tenant, created_at) VALUES ($1, $2, $3, $4)")
        .bind(hash(secret.reveal()))
        .bind(name)
        .bind(tenant)
        .bind(now)
        .execute(&mut *write)
        .await?;
    write.commit().await?;
    Ok(secret)
}

/// What a bearer token allows; `None` where it isn't one.
///
/// # Errors
/// [`super::StoreError::Sql`].
pub async fn api_token(store: &Store, bearer: &str, now: UnixMs) -> Result<Option<ApiToken>> {
    let token_hash = hash(bearer);
    let mut read = store.read().await?;
    let row = sqlx::query(
        "SELECT name, tenant, last_used_at FROM api_token WHERE token_hash = $1 \
         AND (tenant IS NULL OR tenant IN (SELECT slug FROM tenant WHERE state <> 'deleted'))",
    )
    .bind(&token_hash)
    .fetch_optional(&mut *read)
    .await?;
    drop(read);
    let Some(row) = row else { return Ok(None) };
    let last_used: Option<UnixMs> = row.try_get("last_used_at")?;
    if last_used.is_none_or(|at| now - at >= LAST_USED_EVERY_MS) {
        let mut write = store.write().await?;
        sqlx::query("UPDATE api_token SET last_used_at = $1 WHERE token_hash = $2")
            .bind(now)
            .bind(&token_hash)
            .execute(&mut *write)
            .await?;
        write.commit().await?;
    }
    Ok(Some(ApiToken {
        name: row.try_get("name")?,
        tenant: row.try_get("tenant")?,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Clock, ManualClock};

    async fn store(folder: &tempfile::TempDir, clock: &ManualClock) -> Store {
        Store::create_with_clock(&folder.path().join("picket.db"), Clock::Manual(clock.clone()))
            .await
            .unwrap()
    }

    #[tokio::test]
    async fn a_sign_in_token_works_once_and_not_after_its_time() {
        let folder = tempfile::tempdir().unwrap();
        let clock = ManualClock::at(1_000_000);
        let store = store(&folder, &clock).await;
        let token = create_signin_token(&store).await.unwrap();
        let late = create_signin_token(&store).await.unwrap();

        let (cookie, signed_in) = sign_in(&store, token.reveal()).await.unwrap().unwrap();
        assert_eq!(
            session(&store, cookie.reveal(), clock.now()).await.unwrap(),
            Some(signed_in)
        );
        assert!(
            sign_in(&store, token.reveal()).await.unwrap().is_none(),
            "a second use"
        );

        clock.advance(SIGNIN_TOKEN_MS);
        assert!(sign_in(&store, late.reveal()).await.unwrap().is_none(), "too old");
    }

    #[tokio::test]
    async fn a_session_ends_after_its_time_and_at_sign_out() {
        let folder = tempfile::tempdir().unwrap();
        let clock = ManualClock::at(1_000_000);
        let store = store(&folder, &clock).await;
        let token = create_signin_token(&store).await.unwrap();
        let (cookie, _) = sign_in(&store, token.reveal()).await.unwrap().unwrap();
        assert!(
            session(&store, cookie.reveal(), clock.now() + SESSION_MS)
                .await
                .unwrap()
                .is_none()
        );
        sign_out(&store, cookie.reveal()).await.unwrap();
        assert!(
            session(&store, cookie.reveal(), clock.now())
                .await
                .unwrap()
                .is_none()
        );
    }

    #[tokio::test]
    async fn no_table_holds_a_secret_itself() {
        let folder = tempfile::tempdir().unwrap();
        let clock = ManualClock::at(1_000_000);
        let store = store(&folder, &clock).await;
        let first = create_signin_token(&store).await.unwrap();
        let second = create_signin_token(&store).await.unwrap();
        let api = create_api_token(&store, "ci", None).await.unwrap();
        let (cookie, _) = sign_in(&store, second.reveal()).await.unwrap().unwrap();
        store.close().await;
        for file in std::fs::read_dir(folder.path()).unwrap() {
            let bytes = std::fs::read(file.unwrap().path()).unwrap();
            for secret in [&first, &second, &api, &cookie] {
                let needle = secret.reveal().as_bytes();
                assert!(!bytes.windows(needle.len()).any(|window| window == needle));
            }
        }
    }

    #[test]
    fn a_secret_does_not_show_in_debug_output() {
        assert_eq!(format!("{:?}", Secret::generate("picket_")), "Secret(..)");
    }
}
