//! Checks, their results, and the changes of their status.

use axum::Json;
use axum::extract::{Path, State};
use serde::Deserialize;

use super::access::Access;
use super::agents::find;
use super::error::ApiError;
use super::model::{CheckJson, EventJson, ResultJson};
use super::paging::{Items, Query, limit};
use crate::clock::UnixMs;
use crate::store::views::MAX_PAGE;
use crate::store::views::check::{check, checks, events as status_events};
use crate::store::views::history::{Budget, Span, history};
use crate::web::WebState;

/// Which checks.
#[derive(Debug, Default, Deserialize)]
pub struct ChecksQuery {
    limit: Option<u32>,
    after: Option<String>,
}

/// `GET …/checks?limit=&after=`: by name.
///
/// # Errors
/// [`ApiError`].
pub async fn list(
    State(state): State<WebState>,
    access: Access,
    Path((tenant, agent)): Path<(String, String)>,
    Query(query): Query<ChecksQuery>,
) -> Result<Json<Items<CheckJson>>, ApiError> {
    let agent = find(&state, &access, &tenant, &agent).await?;
    let limit = limit(query.limit)?.min(MAX_PAGE - 1);
    let now = state.store().now().await?;
    let after = query.after.as_deref().unwrap_or_default();
    let found = checks(state.store(), &tenant, &agent.name, after, limit + 1).await?;
    let items = found
        .into_iter()
        .map(|check| CheckJson::new(&agent, check, now))
        .collect();
    Ok(Json(Items::page(items, limit, CheckJson::cursor)))
}

/// `GET …/checks/{check}`.
///
/// # Errors
/// [`ApiError`].
pub async fn show(
    State(state): State<WebState>,
    access: Access,
    Path((tenant, agent, name)): Path<(String, String, String)>,
) -> Result<Json<CheckJson>, ApiError> {
    let agent = find(&state, &access, &tenant, &agent).await?;
    let check = check(state.store(), &tenant, &agent.name, &name)
        .await?
        .ok_or(ApiError::NotFound("check"))?;
    let now = state.store().now().await?;
    Ok(Json(CheckJson::new(&agent, check, now)))
}

/// Which results or events: those that came before a time, by the agent's clock.
#[derive(Debug, Default, Deserialize)]
pub struct HistoryQuery {
    limit: Option<u32>,
    before: Option<UnixMs>,
}

/// `GET …/checks/{check}/results?limit=&before=`: newest first.
///
/// # Errors
/// [`ApiError`].
pub async fn results(
    State(state): State<WebState>,
    access: Access,
    Path((tenant, agent, name)): Path<(String, String, String)>,
    Query(query): Query<HistoryQuery>,
) -> Result<Json<Items<ResultJson>>, ApiError> {
    let agent = find(&state, &access, &tenant, &agent).await?;
    check(state.store(), &tenant, &agent.name, &name)
        .await?
        .ok_or(ApiError::NotFound("check"))?;
    let limit = limit(query.limit)?;
    let span = Span {
        tenant: &tenant,
        agent: &agent.name,
        check: &name,
        from: 0,
        before: query.before.unwrap_or(i64::MAX),
    };
    let found = history(state.store(), span, Budget::list(limit as usize)).await?;
    let items: Vec<ResultJson> = found.results.into_iter().map(ResultJson::from).collect();
    let next = if found.truncated {
        items.last().map(ResultJson::cursor)
    } else {
        None
    };
    Ok(Json(Items { items, next }))
}

/// `GET …/checks/{check}/events?limit=&before=`: newest first.
///
/// # Errors
/// [`ApiError`].
pub async fn events(
    State(state): State<WebState>,
    access: Access,
    Path((tenant, agent, name)): Path<(String, String, String)>,
    Query(query): Query<HistoryQuery>,
) -> Result<Json<Items<EventJson>>, ApiError> {
    let agent = find(&state, &access, &tenant, &agent).await?;
    check(state.store(), &tenant, &agent.name, &name)
        .await?
        .ok_or(ApiError::NotFound("check"))?;
    let limit = limit(query.limit)?.min(MAX_PAGE - 1);
    let before = query.before.unwrap_or(i64::MAX);
    let found = status_events(state.store(), (&tenant, &agent.name, &name), before, limit + 1).await?;
    Ok(Json(Items::page(
        found.into_iter().map(EventJson::from).collect(),
        limit,
        EventJson::cursor,
    )))
}
