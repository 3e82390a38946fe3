//! Tenants, gateways and jobs.

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use http::StatusCode;
use picket_identity::name::TenantSlug;
use serde::Deserialize;

use super::access::Access;
use super::error::ApiError;
use super::model::{GatewayJson, JobJson, TenantJson};
use super::paging::{Items, Query, limit};
use crate::authority::AuthorityError;
use crate::store::views::MAX_PAGE;
use crate::store::views::operations;
use crate::web::WebState;
use crate::web::jobs::STATES;

/// Which tenants.
#[derive(Debug, Default, Deserialize)]
pub struct TenantsQuery {
    limit: Option<u32>,
    after: Option<String>,
}

/// `GET /tenants?limit=&after=`: by slug.
///
/// # Errors
/// [`ApiError`].
pub async fn tenants(
    State(state): State<WebState>,
    access: Access,
    Query(query): Query<TenantsQuery>,
) -> Result<Json<Items<TenantJson>>, ApiError> {
    let limit = limit(query.limit)?.min(MAX_PAGE - 1);
    let after = query.after.as_deref().unwrap_or_default();
    let found = operations::tenants(state.store(), access.tenant(), after, limit + 1).await?;
    let items = found.into_iter().map(TenantJson::from).collect();
    Ok(Json(Items::page(items, limit, |tenant: &TenantJson| {
        tenant.slug.clone()
    })))
}

/// A tenant to be.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewTenant {
    slug: String,
    /// The slug where none is given.
    name: Option<String>,
}

/// Characters of a tenant's name: more than any company's needs.
const MAX_NAME: usize = 200;

/// `POST /tenants`: adds a tenant and its certificate authority.
///
/// # Errors
/// [`ApiError`].
pub async fn add_tenant(
    State(state): State<WebState>,
    access: Access,
    body: Result<Json<NewTenant>, JsonRejection>,
) -> Result<(StatusCode, Json<TenantJson>), ApiError> {
    access.require_all("adding tenants is not for it")?;
    let Json(new) = body.map_err(|error| ApiError::Invalid(error.body_text()))?;
    let slug: TenantSlug = new
        .slug
        .parse()
        .map_err(|error| ApiError::Invalid(format!("slug: {error}")))?;
    let name = new
        .name
        .as_deref()
        .map(str::trim)
        .filter(|name| !name.is_empty())
        .unwrap_or(slug.as_str());
    if name.chars().count() > MAX_NAME || name.chars().any(char::is_control) {
        return Err(ApiError::Invalid(format!(
            "name: at most {MAX_NAME} characters, none of them control characters"
        )));
    }
    state
        .services()
        .authority
        .add_tenant(&slug, name, &access.actor())
        .await
        .map_err(|error| match error {
            AuthorityError::Exists { .. } => ApiError::Conflict(error.to_string()),
            AuthorityError::Store(error) => ApiError::Store(error),
            other => ApiError::Internal(other.to_string()),
        })?;
    let added = operations::tenants(state.store(), Some(slug.as_str()), "", 1)
        .await?
        .pop();
    let added = added.ok_or(ApiError::NotFound("tenant"))?;
    Ok((StatusCode::CREATED, Json(added.into())))
}

/// `GET /gateways`. A token of one tenant sees those of that tenant's own pools.
///
/// # Errors
/// [`ApiError`].
pub async fn gateways(
    State(state): State<WebState>,
    access: Access,
) -> Result<Json<Items<GatewayJson>>, ApiError> {
    let found = operations::gateways(state.store(), access.tenant()).await?;
    Ok(Json(Items::all(
        found.into_iter().map(GatewayJson::from).collect(),
    )))
}

/// Which jobs.
#[derive(Debug, Default, Deserialize)]
pub struct JobsQuery {
    state: Option<String>,
    limit: Option<u32>,
    offset: Option<u32>,
}

/// `GET /jobs?state=&limit=&offset=`. Jobs are of all tenants.
///
/// # Errors
/// [`ApiError`].
pub async fn jobs(
    State(state): State<WebState>,
    access: Access,
    Query(query): Query<JobsQuery>,
) -> Result<Json<Items<JobJson>>, ApiError> {
    access.require_all("jobs are of all tenants")?;
    let only = query.state.as_deref().filter(|word| !word.is_empty());
    if let Some(word) = only.filter(|word| !STATES.contains(word)) {
        return Err(ApiError::Invalid(format!(
            "state is {word:?}; it has to be one of {}",
            STATES.join(", ")
        )));
    }
    let limit = limit(query.limit)?;
    let offset = query.offset.unwrap_or(0);
    let found = operations::jobs(state.store(), only, offset, limit + 1).await?;
    let next = offset.saturating_add(limit).to_string();
    Ok(Json(Items::page(
        found.into_iter().map(JobJson::from).collect(),
        limit,
        |_| next.clone(),
    )))
}
