//! The tenants.

use askama::Template;
use axum::extract::{Query, State};
use axum::response::Response;
use http::HeaderMap;
use serde::Deserialize;

use super::WebState;
use super::error::PageError;
use super::page::{Frame, PER_PAGE, query, respond};
use super::session::SignedIn;
use crate::clock::UnixMs;
use crate::store::views::operations::{TenantLine, tenants};

/// Where the page begins.
#[derive(Debug, Default, Deserialize)]
pub struct TenantsQuery {
    #[serde(default)]
    after: String,
}

struct Row {
    line: TenantLine,
    fleet: String,
    alerts: String,
}

struct View {
    now: UnixMs,
    open_alerts: i64,
    rows: Vec<Row>,
    first: bool,
    next: Option<String>,
}

impl View {
    fn first_page(&self) -> Option<String> {
        (!self.first).then(|| "/tenants".to_owned())
    }
}

#[derive(Template)]
#[template(path = "tenants.html")]
struct Page<'a> {
    frame: &'a Frame,
    v: &'a View,
}

#[derive(Template)]
#[template(path = "tenants.html", block = "live")]
struct Live<'a> {
    v: &'a View,
}

/// The page.
///
/// # Errors
/// [`PageError`].
pub async fn show(
    State(state): State<WebState>,
    signed_in: SignedIn,
    Query(asked): Query<TenantsQuery>,
    headers: HeaderMap,
) -> Result<Response, PageError> {
    let frame = Frame::new(&state, &signed_in, "tenants", "Tenants").await?;
    let mut found = tenants(state.store(), None, &asked.after, PER_PAGE as u32 + 1).await?;
    let has_more = found.len() > PER_PAGE;
    found.truncate(PER_PAGE);
    let last = found.last().map(|line| line.slug.clone()).unwrap_or_default();
    let rows = found.into_iter().map(|line| Row {
        fleet: format!("/{}", query(&[("tenant", &line.slug)])),
        alerts: format!("/alerts{}", query(&[("tenant", &line.slug)])),
        line,
    });
    let view = View {
        now: frame.now,
        open_alerts: frame.open_alerts,
        rows: rows.collect(),
        first: asked.after.is_empty(),
        next: has_more.then(|| format!("/tenants{}", query(&[("after", &last)]))),
    };
    respond(
        &headers,
        &Page {
            frame: &frame,
            v: &view,
        },
        &Live { v: &view },
    )
}
