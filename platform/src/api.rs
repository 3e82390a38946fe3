//! The REST API, below `/api/v1`: JSON in and out, a bearer token with each request.
//!
//! - [`access`]: what a token may see. One that is scoped to a tenant gets "not found" for everything else.
//! - [`error`]: the one table from what went wrong to status and body.
//! - [`model`]: the JSON, made from the store's read models.
//! - [`agents`], [`checks`], [`alerts`], [`operations`], [`stream`]: the endpoints.

pub mod access;
pub mod agents;
pub mod alerts;
pub mod checks;
pub mod error;
pub mod model;
pub mod operations;
pub mod paging;
pub mod stream;

use axum::Router;
use axum::routing::{get, post};

use crate::web::WebState;

/// The endpoints.
pub fn router() -> Router<WebState> {
    const CHECK: &str = "/tenants/{tenant}/agents/{agent}/checks/{check}";
    Router::new()
        .route("/tenants", get(operations::tenants).post(operations::add_tenant))
        .route("/agents", get(agents::list))
        .route("/tenants/{tenant}/agents/{agent}", get(agents::show))
        .route("/tenants/{tenant}/agents/{agent}/checks", get(checks::list))
        .route(CHECK, get(checks::show))
        .route(&format!("{CHECK}/results"), get(checks::results))
        .route(&format!("{CHECK}/events"), get(checks::events))
        .route("/alerts", get(alerts::list))
        .route("/alerts/{id}/acknowledge", post(alerts::acknowledge))
        .route("/gateways", get(operations::gateways))
        .route("/jobs", get(operations::jobs))
        .route("/events", get(stream::events))
}
