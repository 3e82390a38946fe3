//! The fleet: five tiles, and the agents behind them, worst first.

use std::collections::HashMap;

use askama::Template;
use axum::extract::{Query, State};
use axum::response::Response;
use http::HeaderMap;
use serde::Deserialize;

use super::WebState;
use super::error::PageError;
use super::page::{Frame, PER_PAGE, agent_path, query, respond};
use super::session::SignedIn;
use super::words;
use crate::clock::UnixMs;
use crate::store::views::fleet::{AgentLine, Filter, Problem, problems};
use crate::store::views::freshness::State as Condition;
use crate::store::views::operations::tenant_slugs;

/// The filter, as it is in the URL.
#[derive(Debug, Default, Deserialize)]
pub struct FleetQuery {
    #[serde(default)]
    tenant: String,
    #[serde(default)]
    state: String,
    #[serde(default)]
    q: String,
    #[serde(default)]
    page: String,
}

struct Tile {
    state: Condition,
    agents: u64,
    checks: u64,
    href: String,
    current: bool,
}

struct Row {
    line: AgentLine,
    path: String,
    reach_word: &'static str,
    reach_state: Condition,
    /// What is wrong, most important first.
    problem: String,
}

struct View {
    now: UnixMs,
    open_alerts: i64,
    title: String,
    tiles: Vec<Tile>,
    rows: Vec<Row>,
    previous: Option<String>,
    next: Option<String>,
    pager: String,
    is_filtered: bool,
    has_tenants: bool,
}

#[derive(Template)]
#[template(path = "fleet.html")]
struct Page<'a> {
    frame: &'a Frame,
    filter: &'a FleetQuery,
    tenants: &'a [String],
    curl: String,
    v: &'a View,
}

#[derive(Template)]
#[template(path = "fleet.html", block = "live")]
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
    Query(asked): Query<FleetQuery>,
    headers: HeaderMap,
) -> Result<Response, PageError> {
    let tenants = tenant_slugs(state.store()).await?;
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let filter = Filter {
        tenant: some(&asked.tenant),
        state: Condition::from_word(&asked.state),
        text: asked.q.clone(),
    };
    let fleet = state.fleet().await?;
    let page = fleet.page(&filter, asked.page.parse().unwrap_or(1), PER_PAGE);
    let found = problems(state.store(), &page.lines, fleet.at).await?;
    let mut worst: HashMap<(&str, &str), &Problem> = HashMap::new();
    for problem in found.iter().rev() {
        worst.insert((&problem.tenant, &problem.agent), problem);
    }

    let link = |state: &str, page: usize| {
        let page = if page > 1 { page.to_string() } else { String::new() };
        format!(
            "/{}",
            query(&[
                ("tenant", &asked.tenant),
                ("state", state),
                ("q", &asked.q),
                ("page", &page)
            ])
        )
    };
    let tiles = Condition::ALL.map(|condition| {
        let current = filter.state == Some(condition);
        Tile {
            state: condition,
            agents: page.agents.of(condition),
            checks: page.checks.of(condition),
            href: link(if current { "" } else { condition.as_str() }, 1),
            current,
        }
    });
    let rows = page
        .lines
        .iter()
        .map(|line| row(line, worst.get(&(&*line.tenant, &*line.name)).copied(), fleet.at));
    let critical = page.agents.critical + page.agents.stale;
    let mut frame = Frame::new(&state, &signed_in, "fleet", "Fleet").await?;
    frame.live = format!("/live{}", query(&[("tenant", &asked.tenant)]));
    let view = View {
        now: fleet.at,
        open_alerts: frame.open_alerts,
        title: if critical > 0 {
            format!("({critical}) Fleet")
        } else {
            "Fleet".to_owned()
        },
        tiles: tiles.into(),
        rows: rows.collect(),
        previous: (page.page > 1).then(|| link(&asked.state, page.page - 1)),
        next: (page.page < page.pages).then(|| link(&asked.state, page.page + 1)),
        pager: format!(
            "{}–{} of {}",
            (page.page - 1) * PER_PAGE + 1,
            (page.page - 1) * PER_PAGE + page.lines.len(),
            page.matching
        ),
        is_filtered: filter != Filter::default(),
        has_tenants: !tenants.is_empty(),
    };
    frame.title.clone_from(&view.title);
    let curl = format!("/api/v1/agents{}", query(&[("tenant", &asked.tenant)]));
    respond(
        &headers,
        &Page {
            frame: &frame,
            filter: &asked,
            tenants: &tenants,
            curl,
            v: &view,
        },
        &Live { v: &view },
    )
}

fn row(line: &AgentLine, worst: Option<&Problem>, now: UnixMs) -> Row {
    let since = line
        .since_at
        .map(|at| words::coarse(now.saturating_sub(at).max(0)));
    let (reach_state, reach_word) = reach(&line.reach);
    let problem = match (line.reach.as_str(), worst) {
        _ if !line.enabled => "Disabled: gateways leave it alone.".to_owned(),
        ("unreachable", _) => {
            let since = since.map(|since| format!(" for {since}")).unwrap_or_default();
            format!("Unreachable{since}: {}", words::cause(&line.cause))
        }
        (_, Some(problem)) if problem.state == Condition::Stale => {
            format!(
                "{}: no news of it; it last said: {}",
                problem.name, problem.summary
            )
        }
        (_, Some(problem)) => format!("{}: {}", problem.name, problem.summary),
        ("pending", None) => "No gateway has reached it yet.".to_owned(),
        (_, None) if line.checks.total() == 0 => "It has no checks yet.".to_owned(),
        (_, None) => String::new(),
    };
    Row {
        line: line.clone(),
        path: agent_path(&line.tenant, &line.name),
        reach_word,
        reach_state,
        problem,
    }
}

/// The shape and the word of a reachability.
pub(super) fn reach(word: &str) -> (Condition, &'static str) {
    match word {
        "reachable" => (Condition::Ok, "Reachable"),
        "suspect" => (Condition::Warning, "Suspect"),
        "unreachable" => (Condition::Critical, "Unreachable"),
        _ => (Condition::Unknown, "Pending"),
    }
}
