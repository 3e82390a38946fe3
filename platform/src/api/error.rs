//! What went wrong, as status and JSON: `{"error": {"code": .., "message": ..}}`.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::WWW_AUTHENTICATE;
use serde_json::json;

use crate::store::StoreError;

/// Why a call fails.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// No token, or one that isn't known.
    #[error(
        "a bearer token is needed: `platform token create` makes one; send it as `Authorization: Bearer TOKEN`"
    )]
    Unauthenticated,
    /// The token may not.
    #[error("this token is of one tenant: {0}")]
    Forbidden(&'static str),
    /// There is no such thing, or none that this token sees.
    #[error("there is no such {0}")]
    NotFound(&'static str),
    /// The endpoint has other methods.
    #[error("this endpoint has no such method")]
    Method,
    /// A parameter or the body isn't what it should be.
    #[error("{0}")]
    Invalid(String),
    /// It is there already.
    #[error("{0}")]
    Conflict(String),
    /// Try again later.
    #[error("{0}")]
    Busy(&'static str),
    /// The database.
    #[error("the platform's log says what went wrong")]
    Store(#[from] StoreError),
    /// Anything else of ours.
    #[error("the platform's log says what went wrong")]
    Internal(String),
}

impl ApiError {
    fn status_and_code(&self) -> (StatusCode, &'static str) {
        match self {
            Self::Unauthenticated => (StatusCode::UNAUTHORIZED, "unauthenticated"),
            Self::Forbidden(_) => (StatusCode::FORBIDDEN, "forbidden"),
            Self::NotFound(_) => (StatusCode::NOT_FOUND, "not_found"),
            Self::Method => (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed"),
            Self::Invalid(_) => (StatusCode::UNPROCESSABLE_ENTITY, "invalid"),
            Self::Conflict(_) => (StatusCode::CONFLICT, "conflict"),
            Self::Busy(_) => (StatusCode::SERVICE_UNAVAILABLE, "busy"),
            Self::Store(error) if error.is_transient() => (StatusCode::SERVICE_UNAVAILABLE, "busy"),
            Self::Store(_) | Self::Internal(_) => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (status, code) = self.status_and_code();
        match &self {
            Self::Store(error) if !error.is_transient() => tracing::error!(%error, "an API call failed"),
            Self::Internal(error) => tracing::error!(%error, "an API call failed"),
            _ => {}
        }
        let body = Json(json!({ "error": { "code": code, "message": self.to_string() } }));
        if matches!(self, Self::Unauthenticated) {
            return (status, [(WWW_AUTHENTICATE, "Bearer realm=\"picket\"")], body).into_response();
        }
        (status, body).into_response()
    }
}
