//! Signing in and out. A one-time token, printed by `platform signin-token`, becomes a session of twelve hours; the
//! browser holds a random cookie, the database its hash.

use std::sync::PoisonError;
use std::time::Instant;

use askama::Template;
use axum::Form;
use axum::extract::{FromRequestParts, OptionalFromRequestParts, Query, State};
use axum::response::{Html, IntoResponse, Redirect, Response};
use http::header::{COOKIE, HOST, ORIGIN, RETRY_AFTER, SET_COOKIE};
use http::request::Parts;
use http::{HeaderMap, Method, StatusCode};
use serde::Deserialize;

use super::WebState;
use super::address::Peer;
use super::error::PageError;
use super::page::is_partial;
use crate::store::auth::{self, Session};

/// The cookie's name. Under HTTPS the prefix makes browsers insist on `Secure`, `Path=/` and no `Domain`.
const fn cookie_name(https: bool) -> &'static str {
    if https { "__Host-picket" } else { "picket" }
}

/// A request of somebody who is signed in.
#[derive(Debug, Clone)]
pub struct SignedIn {
    session: Session,
    cookie: String,
}

impl SignedIn {
    /// What forms have to send back.
    #[must_use]
    pub fn csrf(&self) -> &str {
        &self.session.csrf
    }

    /// When the session ends, on the database's clock.
    #[must_use]
    pub const fn expires_at(&self) -> i64 {
        self.session.expires_at
    }

    /// Whether a form is of this session.
    ///
    /// # Errors
    /// [`PageError::Forbidden`].
    pub fn require_csrf(&self, sent: &str) -> Result<(), PageError> {
        let same = aws_lc_rs::constant_time::verify_slices_are_equal(self.csrf().as_bytes(), sent.as_bytes());
        same.map_err(|_| PageError::Forbidden)
    }
}

impl FromRequestParts<WebState> for SignedIn {
    type Rejection = PageError;

    async fn from_request_parts(parts: &mut Parts, state: &WebState) -> Result<Self, PageError> {
        if let Some(found) = find(&parts.headers, state).await? {
            return Ok(found);
        }
        let is_window = parts.method == Method::GET && !is_partial(&parts.headers);
        if is_window {
            let path = parts
                .uri
                .path_and_query()
                .map_or("/", http::uri::PathAndQuery::as_str);
            return Err(PageError::SignIn(path.to_owned()));
        }
        Err(PageError::Unauthenticated)
    }
}

impl OptionalFromRequestParts<WebState> for SignedIn {
    type Rejection = PageError;

    async fn from_request_parts(parts: &mut Parts, state: &WebState) -> Result<Option<Self>, PageError> {
        find(&parts.headers, state).await
    }
}

async fn find(headers: &HeaderMap, state: &WebState) -> Result<Option<SignedIn>, PageError> {
    let Some(cookie) = cookie(headers, cookie_name(state.options().https)) else {
        return Ok(None);
    };
    let now = state.store().now().await?;
    let session = auth::session(state.store(), &cookie, now).await?;
    Ok(session.map(|session| SignedIn { session, cookie }))
}

fn cookie(headers: &HeaderMap, name: &str) -> Option<String> {
    headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find_map(|(key, value)| (key == name).then(|| value.to_owned()))
}

#[derive(Template)]
#[template(path = "sign_in.html")]
struct SignInPage {
    first_run: bool,
    next: String,
    error: Option<&'static str>,
}

/// Where to go after signing in.
#[derive(Debug, Default, Deserialize)]
pub struct Next {
    #[serde(default)]
    next: String,
}

/// The sign-in page.
pub async fn show_sign_in(
    State(state): State<WebState>,
    signed_in: Option<SignedIn>,
    Query(Next { next }): Query<Next>,
) -> Result<Response, PageError> {
    let next = local_path(&next);
    if signed_in.is_some() {
        return Ok(Redirect::to(&next).into_response());
    }
    let first_run = auth::is_first_run(state.store()).await?;
    Ok(Html(
        SignInPage {
            first_run,
            next,
            error: None,
        }
        .render()?,
    )
    .into_response())
}

/// The sign-in form.
#[derive(Deserialize)]
pub struct SignInForm {
    token: String,
    #[serde(default)]
    next: String,
}

/// Uses the token up and sets the cookie.
pub async fn sign_in(
    State(state): State<WebState>,
    peer: Peer,
    headers: HeaderMap,
    Form(form): Form<SignInForm>,
) -> Result<Response, PageError> {
    if !is_same_origin(&headers) {
        return Err(PageError::Forbidden);
    }
    let next = local_path(&form.next);
    let attempt = {
        let mut throttle = state.throttle().lock().unwrap_or_else(PoisonError::into_inner);
        throttle.attempt(peer.0, Instant::now())
    };
    if let Err(wait) = attempt {
        tracing::warn!(peer = ?peer.0, "sign-in attempts are coming too fast");
        let page = SignInPage {
            first_run: false,
            next,
            error: Some("Too many attempts. Wait a minute, then try again."),
        };
        let retry_after = [(RETRY_AFTER, wait.as_secs().saturating_add(1).to_string())];
        return Ok((StatusCode::TOO_MANY_REQUESTS, retry_after, Html(page.render()?)).into_response());
    }
    let Some((cookie, _session)) = auth::sign_in(state.store(), form.token.trim()).await? else {
        tracing::warn!(peer = ?peer.0, "a sign-in token was refused");
        let page = SignInPage {
            first_run: false,
            next,
            error: Some("This token is not valid: each works once, for 15 minutes. Make a new one."),
        };
        return Ok((StatusCode::UNAUTHORIZED, Html(page.render()?)).into_response());
    };
    let https = state.options().https;
    let cookie = set_cookie(https, cookie.reveal(), auth::SESSION_MS / 1000);
    Ok(([(SET_COOKIE, cookie)], Redirect::to(&next)).into_response())
}

/// A form with nothing but the CSRF token.
#[derive(Deserialize)]
pub struct CsrfForm {
    /// The token.
    #[serde(default)]
    pub csrf: String,
}

/// Ends the session.
pub async fn sign_out(
    State(state): State<WebState>,
    signed_in: SignedIn,
    Form(form): Form<CsrfForm>,
) -> Result<Response, PageError> {
    signed_in.require_csrf(&form.csrf)?;
    auth::sign_out(state.store(), &signed_in.cookie).await?;
    Ok((
        [(SET_COOKIE, set_cookie(state.options().https, "", 0))],
        Redirect::to("/sign-in"),
    )
        .into_response())
}

fn set_cookie(https: bool, value: &str, max_age_seconds: i64) -> String {
    let name = cookie_name(https);
    let secure = if https { "; Secure" } else { "" };
    format!("{name}={value}; Path=/; HttpOnly; SameSite=Strict; Max-Age={max_age_seconds}{secure}")
}

/// There is no session before signing in, so no CSRF token either: the browser says where the form comes from.
fn is_same_origin(headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    // Every browser of the last years sends the first; for older ones, and without it, the origin has to be ours.
    if let Some(site) = text("sec-fetch-site") {
        return matches!(site, "same-origin" | "none");
    }
    match (text(ORIGIN.as_str()), text(HOST.as_str())) {
        (None, _) => true,
        (Some(origin), Some(host)) => origin
            .split_once("://")
            .is_some_and(|(_, authority)| authority == host),
        (Some(_), None) => false,
    }
}

/// A path of ours, never another host's (`//evil`, `/\evil`, `https:…`).
fn local_path(next: &str) -> String {
    let is_local = next.starts_with('/')
        && !next.starts_with("//")
        && !next.contains('\\')
        && !next.chars().any(char::is_control)
        && !next.starts_with("/sign-");
    if is_local { next.to_owned() } else { "/".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_of_ours_are_followed_after_signing_in() {
        assert_eq!(local_path("/alerts?state=open"), "/alerts?state=open");
        for evil in [
            "//evil.example",
            "https://evil.example",
            "/\\evil.example",
            "",
            "/a\nb",
            "/sign-out",
        ] {
            assert_eq!(local_path(evil), "/", "{evil:?}");
        }
    }

    #[test]
    fn the_cookie_is_for_this_host_and_for_no_script() {
        let cookie = set_cookie(true, "v", 9);
        assert_eq!(
            cookie,
            "__Host-picket=v; Path=/; HttpOnly; SameSite=Strict; Max-Age=9; Secure"
        );
        assert!(!set_cookie(false, "v", 9).contains("Secure"));
    }

    #[test]
    fn a_form_from_another_site_is_seen() {
        let headers = |pairs: &[(&str, &str)]| -> HeaderMap {
            pairs
                .iter()
                .map(|(name, value)| (name.parse::<http::HeaderName>().unwrap(), value.parse().unwrap()))
                .collect()
        };
        assert!(is_same_origin(&headers(&[])));
        assert!(is_same_origin(&headers(&[
            ("host", "p:8443"),
            ("origin", "https://p:8443")
        ])));
        assert!(!is_same_origin(&headers(&[
            ("host", "p:8443"),
            ("origin", "https://evil.example")
        ])));
        assert!(!is_same_origin(&headers(&[("sec-fetch-site", "cross-site")])));
    }
}
