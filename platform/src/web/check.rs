//! One check: its state, its history, what it measured, what it cost, and what it found.

use std::collections::BTreeMap;

use askama::Template;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use http::HeaderMap;
use picket_proto::agent::v1::{Evidence, Metric, Usage};
use serde::Deserialize;

use super::WebState;
use super::error::PageError;
use super::page::{Frame, agent_path, check_path, query, respond, segment};
use super::series::{WINDOWS, Window};
use super::session::SignedIn;
use super::{threshold, words};
use crate::clock::UnixMs;
use crate::store::views::agent::{Agent, agent};
use crate::store::views::check::{Check, StatusEvent, check, events};
use crate::store::views::chunk::status_word;
use crate::store::views::freshness::State as Condition;
use crate::store::views::history::{self, Budget, Span};

/// Recent runs and changes that the page lists; the API has more.
const RECENT: usize = 12;

struct MetricRow {
    name: String,
    labels: String,
    value: String,
    warning: String,
    critical: String,
}

struct Gauge {
    name: &'static str,
    text: String,
    value: u64,
    limit: u64,
    /// From where on it is close to the limit.
    high: u64,
}

struct Run {
    started_at: UnixMs,
    state: Condition,
    summary: String,
    took: String,
    seq: u64,
}

struct Proof {
    kind: String,
    title: String,
    body: String,
}

struct View {
    now: UnixMs,
    open_alerts: i64,
    agent: Agent,
    check: Check,
    state: Condition,
    last_state: Condition,
    failure: &'static str,
    metrics: Vec<MetricRow>,
    gauges: Vec<Gauge>,
    traffic: Option<String>,
    labels: BTreeMap<String, String>,
    evidence: Vec<Proof>,
    events: Vec<StatusEvent>,
    runs: Vec<Run>,
    windows: Vec<(&'static str, String, bool)>,
    series: String,
    agent_path: String,
}

impl View {
    fn old_state(&self, event: &StatusEvent) -> Condition {
        Condition::of_status(event.old_status.as_deref().unwrap_or_default(), false)
    }

    fn new_state(&self, event: &StatusEvent) -> Condition {
        Condition::of_status(&event.new_status, false)
    }
}

#[derive(Template)]
#[template(path = "check.html")]
struct Page<'a> {
    frame: &'a Frame,
    v: &'a View,
    curl: String,
    command: String,
}

#[derive(Template)]
#[template(path = "check.html", block = "live")]
struct Live<'a> {
    v: &'a View,
}

/// Which history is shown.
#[derive(Debug, Default, Deserialize)]
pub struct CheckQuery {
    #[serde(default)]
    range: String,
}

/// The page.
///
/// # Errors
/// [`PageError`].
pub async fn show(
    State(state): State<WebState>,
    signed_in: SignedIn,
    Path((tenant, agent_name, name)): Path<(String, String, String)>,
    Query(asked): Query<CheckQuery>,
    headers: HeaderMap,
) -> Result<Response, PageError> {
    let store = state.store();
    let found = agent(store, &tenant, &agent_name)
        .await?
        .ok_or(PageError::NotFound("agent"))?;
    let check = check(store, &tenant, &agent_name, &name)
        .await?
        .ok_or(PageError::NotFound("check"))?;
    let mut frame = Frame::new(
        &state,
        &signed_in,
        "fleet",
        format!("{name} on {tenant}/{agent_name}"),
    )
    .await?;
    frame.live = format!("/live{}", query(&[("tenant", &tenant), ("agent", &agent_name)]));
    let now = frame.now;
    let events = events(store, (&tenant, &agent_name, &name), i64::MAX, RECENT as u32).await?;
    let span = Span {
        tenant: &tenant,
        agent: &agent_name,
        check: &name,
        from: 0,
        before: i64::MAX,
    };
    let recent = history::history(
        store,
        span,
        Budget {
            chunks: 256,
            ..Budget::list(RECENT)
        },
    )
    .await?;

    let path = check_path(&tenant, &agent_name, &name);
    let window = Window::named(&asked.range);
    let windows = WINDOWS
        .iter()
        .enumerate()
        .map(|(index, choice)| {
            let range = if index == 0 { "" } else { choice.name };
            (
                choice.name,
                format!("{path}{}", query(&[("range", range)])),
                *choice == window,
            )
        })
        .collect();
    let usage = check.result.usage.unwrap_or_default();
    let view = View {
        now,
        open_alerts: frame.open_alerts,
        state: check.line.state(&found, now),
        last_state: Condition::of_status(&check.line.status, false),
        failure: words::failure(&check.line.failure),
        metrics: check.result.metrics.iter().map(metric_row).collect(),
        gauges: gauges(&usage),
        traffic: traffic(&usage),
        labels: check.result.labels.clone().into_iter().collect(),
        evidence: check.result.evidence.iter().map(proof).collect(),
        events,
        runs: recent.results.iter().map(run).collect(),
        windows,
        series: format!("{path}/series{}", query(&[("range", window.name)])),
        agent_path: agent_path(&tenant, &agent_name),
        agent: found,
        check,
    };
    let curl = format!(
        "/api/v1/tenants/{}/agents/{}/checks/{}/results?limit=20",
        segment(&tenant),
        segment(&agent_name),
        segment(&name)
    );
    let command = format!("agent-host check run {name}");
    respond(
        &headers,
        &Page {
            frame: &frame,
            v: &view,
            curl,
            command,
        },
        &Live { v: &view },
    )
}

fn metric_row(metric: &Metric) -> MetricRow {
    let range = |text: &Option<String>| match text.as_deref() {
        None | Some("") => String::new(),
        Some(text) => {
            threshold::parse(text).map_or_else(|| text.to_owned(), |range| range.words(&metric.unit))
        }
    };
    let labels: BTreeMap<_, _> = metric.labels.iter().collect();
    MetricRow {
        name: metric.name.clone(),
        labels: labels
            .into_iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect::<Vec<_>>()
            .join(", "),
        value: words::quantity(metric.value, &metric.unit),
        warning: range(&metric.warning),
        critical: range(&metric.critical),
    }
}

fn gauges(usage: &Usage) -> Vec<Gauge> {
    let of = |name, value: u64, limit: u64, words: fn(u64) -> String| Gauge {
        name,
        text: if limit == 0 {
            words(value)
        } else {
            format!("{} of {}", words(value), words(limit))
        },
        value: if limit == 0 { 0 } else { value.min(limit) },
        limit,
        high: limit - limit / 5,
    };
    vec![
        of("CPU time", usage.cpu_us, usage.cpu_limit_us, words::micros),
        of(
            "Memory at its peak",
            usage.peak_memory_bytes,
            usage.memory_limit_bytes,
            words::bytes,
        ),
        of("Wall time", usage.wall_us, usage.wall_limit_us, words::micros),
    ]
}

fn traffic(usage: &Usage) -> Option<String> {
    let silent = usage.host_calls == 0 && usage.bytes_sent == 0 && usage.bytes_received == 0;
    (!silent).then(|| {
        format!(
            "{}, {} sent, {} received",
            words::count(usage.host_calls, "host call", "host calls"),
            words::bytes(usage.bytes_sent),
            words::bytes(usage.bytes_received)
        )
    })
}

fn proof(evidence: &Evidence) -> Proof {
    let pretty = serde_json::from_str::<serde_json::Value>(&evidence.body)
        .and_then(|value| serde_json::to_string_pretty(&value))
        .unwrap_or_else(|_| evidence.body.clone());
    let title = if evidence.title.is_empty() {
        &evidence.kind
    } else {
        &evidence.title
    };
    Proof {
        kind: evidence.kind.clone(),
        title: title.clone(),
        body: pretty,
    }
}

fn run(stored: &crate::store::views::chunk::Stored) -> Run {
    let result = &stored.result;
    Run {
        started_at: history::started_at(stored),
        state: Condition::of_status(status_word(result.status), false),
        summary: result.summary.clone(),
        took: words::micros(result.usage.unwrap_or_default().wall_us),
        seq: stored.seq,
    }
}
