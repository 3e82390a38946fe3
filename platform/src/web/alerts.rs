//! Alerts: those that are open, those that are over, and saying "I am on it".

use askama::Template;
use axum::Form;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Redirect, Response};
use http::HeaderMap;
use serde::Deserialize;

use super::WebState;
use super::error::PageError;
use super::page::{Frame, PER_PAGE, agent_path, check_path, query, respond};
use super::session::{CsrfForm, SignedIn};
use super::words;
use crate::clock::UnixMs;
use crate::events::Event;
use crate::store::views::alerts::{self, Alert, Which};
use crate::store::views::freshness::State as Condition;
use crate::store::views::operations::tenant_slugs;

/// The filter, as it is in the URL.
#[derive(Debug, Default, Deserialize)]
pub struct AlertsQuery {
    #[serde(default)]
    state: String,
    #[serde(default)]
    tenant: String,
    #[serde(default)]
    page: String,
}

struct Row {
    alert: Alert,
    path: String,
    subject: String,
    kind: &'static str,
    lasted: String,
}

struct View {
    now: UnixMs,
    open_alerts: i64,
    csrf: String,
    is_open: bool,
    rows: Vec<Row>,
    pager: String,
    previous: Option<String>,
    next: Option<String>,
}

#[derive(Template)]
#[template(path = "alerts.html")]
struct Page<'a> {
    frame: &'a Frame,
    tenants: &'a [String],
    tenant: String,
    open_href: String,
    resolved_href: String,
    curl: String,
    v: &'a View,
}

#[derive(Template)]
#[template(path = "alerts.html", block = "live")]
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
    Query(asked): Query<AlertsQuery>,
    headers: HeaderMap,
) -> Result<Response, PageError> {
    let is_open = asked.state != "resolved";
    let which = if is_open { Which::Open } else { Which::Resolved };
    let tenant = (!asked.tenant.is_empty()).then_some(asked.tenant.as_str());
    let page = asked.page.parse::<u32>().unwrap_or(1).clamp(1, 10_000);
    let size = PER_PAGE as u32;
    let mut found = alerts::alerts(state.store(), which, tenant, (page - 1) * size, size + 1).await?;
    let has_more = found.len() > PER_PAGE;
    found.truncate(PER_PAGE);

    let mut frame = Frame::new(&state, &signed_in, "alerts", "Alerts").await?;
    frame.live = format!("/live{}", query(&[("tenant", &asked.tenant)]));
    let word = if is_open { "" } else { "resolved" };
    let link = |state: &str, page: u32| {
        let page = if page > 1 { page.to_string() } else { String::new() };
        format!(
            "/alerts{}",
            query(&[("state", state), ("tenant", &asked.tenant), ("page", &page)])
        )
    };
    let view = View {
        now: frame.now,
        open_alerts: frame.open_alerts,
        csrf: signed_in.csrf().to_owned(),
        is_open,
        rows: found.into_iter().map(row).collect(),
        pager: if page > 1 || has_more {
            format!("Page {page}")
        } else {
            String::new()
        },
        previous: (page > 1).then(|| link(word, page - 1)),
        next: has_more.then(|| link(word, page + 1)),
    };
    let tenants = tenant_slugs(state.store()).await?;
    let api_state = if is_open { "open" } else { "resolved" };
    let whole = Page {
        frame: &frame,
        tenants: &tenants,
        tenant: asked.tenant.clone(),
        open_href: link("", 1),
        resolved_href: link("resolved", 1),
        curl: format!(
            "/api/v1/alerts{}",
            query(&[("state", api_state), ("tenant", &asked.tenant)])
        ),
        v: &view,
    };
    respond(&headers, &whole, &Live { v: &view })
}

fn row(alert: Alert) -> Row {
    let about_agent = alert.name.is_empty();
    let agent = format!("{}/{}", alert.tenant, alert.agent);
    Row {
        path: if about_agent {
            agent_path(&alert.tenant, &alert.agent)
        } else {
            check_path(&alert.tenant, &alert.agent, &alert.name)
        },
        subject: if about_agent {
            agent
        } else {
            format!("{agent} · {}", alert.name)
        },
        kind: kind(&alert.kind),
        lasted: words::duration(
            alert
                .resolved_at
                .unwrap_or(alert.changed_at)
                .saturating_sub(alert.raised_at)
                .max(0),
        ),
        alert,
    }
}

/// What kind of alert it is.
pub(super) fn kind(word: &str) -> &'static str {
    match word {
        "agent_unreachable" => "Agent unreachable",
        "agent_refused" => "Agent refused",
        "check_failing" => "Check failing",
        "certificate_expiring" => "Certificate expiring",
        "activation_reuse" => "Enrolment file copied",
        _ => "Alert",
    }
}

/// Notes that somebody is on it.
///
/// # Errors
/// [`PageError`].
pub async fn acknowledge(
    State(state): State<WebState>,
    signed_in: SignedIn,
    Path(id): Path<String>,
    Form(form): Form<CsrfForm>,
) -> Result<Response, PageError> {
    signed_in.require_csrf(&form.csrf)?;
    let alert = alerts::acknowledge(state.store(), &id, None, "web")
        .await?
        .ok_or(PageError::NotFound("such alert"))?;
    state.services().events.publish(Event::alert(
        &alert.tenant,
        &alert.agent,
        &alert.id,
        alert.changed_at,
    ));
    Ok(Redirect::to("/alerts").into_response())
}
