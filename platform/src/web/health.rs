//! What orchestrators and Prometheus ask.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode};

use super::WebState;
use super::address::Peer;

/// The process runs.
pub async fn healthz() -> &'static str {
    "ok\n"
}

/// The process can do its work: the database answers.
pub async fn readyz(State(state): State<WebState>) -> Response {
    match state.store().now().await {
        Ok(_) => "ready\n".into_response(),
        Err(error) => {
            tracing::warn!(%error, "not ready: the database does not answer");
            (StatusCode::SERVICE_UNAVAILABLE, "the database does not answer\n").into_response()
        }
    }
}

/// This process's metrics, for Prometheus on the same machine or with a bearer token that sees all tenants.
pub async fn metrics(State(state): State<WebState>, peer: Peer, headers: HeaderMap) -> Response {
    if !peer.is_loopback() {
        match crate::api::access::authenticate(&state, &headers).await {
            Ok(access) if access.tenant().is_none() => {}
            Ok(_) => {
                return crate::api::error::ApiError::Forbidden("metrics are of all tenants").into_response();
            }
            Err(error) => return error.into_response(),
        }
    }
    (
        [(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")],
        state.services().metrics.render(),
    )
        .into_response()
}
