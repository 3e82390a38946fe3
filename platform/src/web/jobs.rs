//! The jobs: what the platform does by itself, and what became of it.

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
use crate::store::views::freshness::State as Condition;
use crate::store::views::operations::{JobLine, jobs};

/// The states that a job may be in.
pub const STATES: [&str; 5] = ["available", "running", "completed", "discarded", "cancelled"];

/// The filter, as it is in the URL.
#[derive(Debug, Default, Deserialize)]
pub struct JobsQuery {
    #[serde(default)]
    state: String,
    #[serde(default)]
    page: String,
}

struct Row {
    job: JobLine,
    condition: Condition,
    word: &'static str,
}

struct View {
    now: UnixMs,
    open_alerts: i64,
    rows: Vec<Row>,
    pager: String,
    previous: Option<String>,
    next: Option<String>,
    is_filtered: bool,
}

#[derive(Template)]
#[template(path = "jobs.html")]
struct Page<'a> {
    frame: &'a Frame,
    states: [&'static str; 5],
    state: String,
    v: &'a View,
}

#[derive(Template)]
#[template(path = "jobs.html", block = "live")]
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
    Query(asked): Query<JobsQuery>,
    headers: HeaderMap,
) -> Result<Response, PageError> {
    let only = STATES.into_iter().find(|word| *word == asked.state);
    let page = asked.page.parse::<u32>().unwrap_or(1).clamp(1, 10_000);
    let size = PER_PAGE as u32;
    let mut found = jobs(state.store(), only, (page - 1) * size, size + 1).await?;
    let has_more = found.len() > PER_PAGE;
    found.truncate(PER_PAGE);
    let frame = Frame::new(&state, &signed_in, "jobs", "Jobs").await?;
    let link = |page: u32| {
        let page = if page > 1 { page.to_string() } else { String::new() };
        format!(
            "/jobs{}",
            query(&[("state", only.unwrap_or_default()), ("page", &page)])
        )
    };
    let view = View {
        now: frame.now,
        open_alerts: frame.open_alerts,
        rows: found.into_iter().map(row).collect(),
        pager: if page > 1 || has_more {
            format!("Page {page}")
        } else {
            String::new()
        },
        previous: (page > 1).then(|| link(page - 1)),
        next: has_more.then(|| link(page + 1)),
        is_filtered: only.is_some(),
    };
    let whole = Page {
        frame: &frame,
        states: STATES,
        state: only.unwrap_or_default().to_owned(),
        v: &view,
    };
    respond(&headers, &whole, &Live { v: &view })
}

fn row(job: JobLine) -> Row {
    let (condition, word) = match job.state.as_str() {
        "completed" => (Condition::Ok, "Completed"),
        "running" => (Condition::Unknown, "Running"),
        "available" if job.attempt > 0 => (Condition::Warning, "Will retry"),
        "available" => (Condition::Unknown, "Waiting"),
        "discarded" => (Condition::Critical, "Discarded"),
        _ => (Condition::Stale, "Cancelled"),
    };
    Row { job, condition, word }
}
