//! The event stream.

use axum::extract::State;
use axum::response::Response;
use http::HeaderMap;
use serde::Deserialize;

use super::access::Access;
use super::error::ApiError;
use super::paging::Query;
use crate::web::WebState;
use crate::web::error::PageError;
use crate::web::stream::{Interest, follow};

/// Which events.
#[derive(Debug, Default, Deserialize)]
pub struct EventsQuery {
    tenant: Option<String>,
    agent: Option<String>,
}

/// `GET /events?tenant=&agent=`: server-sent events. First `snapshot`, or what was missed since `Last-Event-ID`; then
/// `hint`s.
///
/// # Errors
/// [`ApiError`].
pub async fn events(
    State(state): State<WebState>,
    access: Access,
    Query(query): Query<EventsQuery>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let interest = Interest {
        tenant: access.narrow(query.tenant.as_deref())?,
        agent: query.agent.filter(|agent| !agent.is_empty()),
        gateways: access.tenant().is_none(),
    };
    follow(&state, &headers, interest, None)
        .await
        .map_err(|error| match error {
            PageError::Store(error) => ApiError::Store(error),
            PageError::TooManyStreams => ApiError::Busy("too many event streams are open; try again later"),
            other => ApiError::Internal(other.to_string()),
        })
}
