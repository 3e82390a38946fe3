//! Agents.

use axum::Json;
use axum::extract::{Path, State};
use serde::Deserialize;

use super::access::Access;
use super::error::ApiError;
use super::model::AgentJson;
use super::paging::{Items, Query, limit};
use crate::store::views::MAX_PAGE;
use crate::store::views::agent::{Agent, agent, agents, checks};
use crate::store::views::fleet::Counts;
use crate::web::WebState;

/// Which agents.
#[derive(Debug, Default, Deserialize)]
pub struct AgentsQuery {
    tenant: Option<String>,
    limit: Option<u32>,
    after: Option<String>,
}

/// `GET /agents?tenant=&limit=&after=`: by tenant and name.
///
/// # Errors
/// [`ApiError`].
pub async fn list(
    State(state): State<WebState>,
    access: Access,
    Query(query): Query<AgentsQuery>,
) -> Result<Json<Items<AgentJson>>, ApiError> {
    let tenant = access.narrow(query.tenant.as_deref())?;
    let limit = limit(query.limit.or(Some(MAX_PAGE)))?;
    let after = query.after.as_deref().unwrap_or("/");
    let after = after.split_once('/').ok_or_else(|| {
        ApiError::Invalid(format!(
            "after is {after:?}; it has to be the `next` of a page before"
        ))
    })?;
    let fleet = state.fleet().await?;
    let now = state.store().now().await?;
    // One full page can't say whether more follow, so the largest page is one smaller than what is read.
    let limit = limit.min(MAX_PAGE - 1);
    let found = agents(state.store(), tenant.as_deref(), after, limit + 1).await?;
    let items = found.into_iter().map(|agent| {
        let counts = fleet
            .agent(&agent.tenant, &agent.name)
            .map(|line| line.checks)
            .unwrap_or_default();
        AgentJson::new(agent, counts, now)
    });
    Ok(Json(Items::page(items.collect(), limit, AgentJson::cursor)))
}

/// `GET /tenants/{tenant}/agents/{agent}`.
///
/// # Errors
/// [`ApiError`].
pub async fn show(
    State(state): State<WebState>,
    access: Access,
    Path((tenant, name)): Path<(String, String)>,
) -> Result<Json<AgentJson>, ApiError> {
    let found = find(&state, &access, &tenant, &name).await?;
    let now = state.store().now().await?;
    let mut counts = Counts::default();
    for line in checks(state.store(), &tenant, &name).await? {
        counts.add(line.state(&found, now), 1);
    }
    Ok(Json(AgentJson::new(found, counts, now)))
}

/// The agent, if there is one that the token may see.
pub(super) async fn find(
    state: &WebState,
    access: &Access,
    tenant: &str,
    name: &str,
) -> Result<Agent, ApiError> {
    access.require(tenant, "agent")?;
    agent(state.store(), tenant, name)
        .await?
        .ok_or(ApiError::NotFound("agent"))
}
