//! The gateways: which live, what each dials.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use http::HeaderMap;

use super::WebState;
use super::error::PageError;
use super::page::{Frame, respond};
use super::session::SignedIn;
use crate::clock::UnixMs;
use crate::store::views::freshness::State as Condition;
use crate::store::views::operations::{GatewayLine, gateways};

struct Row {
    line: GatewayLine,
    condition: Condition,
    word: &'static str,
}

struct View {
    now: UnixMs,
    open_alerts: i64,
    rows: Vec<Row>,
    live: usize,
}

#[derive(Template)]
#[template(path = "gateways.html")]
struct Page<'a> {
    frame: &'a Frame,
    v: &'a View,
}

#[derive(Template)]
#[template(path = "gateways.html", block = "live")]
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
    headers: HeaderMap,
) -> Result<Response, PageError> {
    let frame = Frame::new(&state, &signed_in, "gateways", "Gateways").await?;
    let rows: Vec<Row> = gateways(state.store(), None)
        .await?
        .into_iter()
        .map(row)
        .collect();
    let live = rows.iter().filter(|row| row.line.state == "live").count();
    let view = View {
        now: frame.now,
        open_alerts: frame.open_alerts,
        rows,
        live,
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

fn row(line: GatewayLine) -> Row {
    let (condition, word) = match line.state.as_str() {
        "live" => (Condition::Ok, "Live"),
        "draining" => (Condition::Warning, "Draining"),
        "dead" => (Condition::Critical, "Dead"),
        "revoked" => (Condition::Stale, "Revoked"),
        _ => (Condition::Stale, "Never connected"),
    };
    Row {
        line,
        condition,
        word,
    }
}
