//! What a request may see.

use axum::extract::FromRequestParts;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use http::request::Parts;

use super::error::ApiError;
use crate::store::auth::{self, ApiToken};
use crate::web::WebState;

/// A request with a token that is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access(ApiToken);

impl Access {
    /// The only tenant that it may see; `None`: all of them.
    #[must_use]
    pub fn tenant(&self) -> Option<&str> {
        self.0.tenant.as_deref()
    }

    /// Who acts, for the audit log.
    #[must_use]
    pub fn actor(&self) -> String {
        format!("token:{}", self.0.name)
    }

    /// Whether it may see what is `tenant`'s.
    ///
    /// # Errors
    /// [`ApiError::NotFound`]: that it exists is nobody else's business.
    pub fn require(&self, tenant: &str, noun: &'static str) -> Result<(), ApiError> {
        match self.tenant() {
            Some(own) if own != tenant => Err(ApiError::NotFound(noun)),
            _ => Ok(()),
        }
    }

    /// Which tenant a list is of: the one that was asked for, or the token's own.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] where another tenant than the token's was asked for.
    pub fn narrow(&self, asked: Option<&str>) -> Result<Option<String>, ApiError> {
        match asked.filter(|asked| !asked.is_empty()) {
            Some(asked) => {
                self.require(asked, "tenant")?;
                Ok(Some(asked.to_owned()))
            }
            None => Ok(self.tenant().map(str::to_owned)),
        }
    }

    /// Whether it may see and do what is of all tenants.
    ///
    /// # Errors
    /// [`ApiError::Forbidden`].
    pub fn require_all(&self, why: &'static str) -> Result<(), ApiError> {
        if self.tenant().is_some() {
            Err(ApiError::Forbidden(why))
        } else {
            Ok(())
        }
    }
}

impl FromRequestParts<WebState> for Access {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &WebState) -> Result<Self, ApiError> {
        authenticate(state, &parts.headers).await
    }
}

/// Looks the bearer token up.
///
/// # Errors
/// [`ApiError::Unauthenticated`].
pub async fn authenticate(state: &WebState, headers: &HeaderMap) -> Result<Access, ApiError> {
    let bearer = headers
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| token.trim())
        .ok_or(ApiError::Unauthenticated)?;
    let now = state.store().now().await?;
    auth::api_token(state.store(), bearer, now)
        .await?
        .map(Access)
        .ok_or(ApiError::Unauthenticated)
}
