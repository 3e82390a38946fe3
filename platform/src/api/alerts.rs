//! Alerts.

use axum::Json;
use axum::extract::{Path, State};
use serde::Deserialize;

use super::access::Access;
use super::error::ApiError;
use super::model::AlertJson;
use super::paging::{Items, Query, limit};
use crate::events::Event;
use crate::store::views::alerts::{self, Which};
use crate::web::WebState;

/// Which alerts.
#[derive(Debug, Default, Deserialize)]
pub struct AlertsQuery {
    state: Option<String>,
    tenant: Option<String>,
    limit: Option<u32>,
    offset: Option<u32>,
}

/// `GET /alerts?state=open|resolved&tenant=&limit=&offset=`.
///
/// # Errors
/// [`ApiError`].
pub async fn list(
    State(state): State<WebState>,
    access: Access,
    Query(query): Query<AlertsQuery>,
) -> Result<Json<Items<AlertJson>>, ApiError> {
    let tenant = access.narrow(query.tenant.as_deref())?;
    let which = match query.state.as_deref() {
        None | Some("") => Which::All,
        Some("open") => Which::Open,
        Some("resolved") => Which::Resolved,
        Some(other) => {
            return Err(ApiError::Invalid(format!(
                "state is {other:?}; it has to be open or resolved"
            )));
        }
    };
    let limit = limit(query.limit)?;
    let offset = query.offset.unwrap_or(0);
    let found = alerts::alerts(state.store(), which, tenant.as_deref(), offset, limit + 1).await?;
    let items = found.into_iter().map(AlertJson::from).collect();
    let next = offset.saturating_add(limit).to_string();
    Ok(Json(Items::page(items, limit, |_| next.clone())))
}

/// `POST /alerts/{id}/acknowledge`.
///
/// # Errors
/// [`ApiError`].
pub async fn acknowledge(
    State(state): State<WebState>,
    access: Access,
    Path(id): Path<String>,
) -> Result<Json<AlertJson>, ApiError> {
    let alert = alerts::acknowledge(state.store(), &id, access.tenant(), &access.actor())
        .await?
        .ok_or(ApiError::NotFound("alert"))?;
    state.services().events.publish(Event::alert(
        &alert.tenant,
        &alert.agent,
        &alert.id,
        alert.changed_at,
    ));
    Ok(Json(alert.into()))
}
