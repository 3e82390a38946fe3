//! One agent: who it is, whether it can be reached, what it holds, and its checks.

use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;
use http::HeaderMap;

use super::WebState;
use super::error::PageError;
use super::page::{Frame, check_path, query, respond, segment};
use super::session::SignedIn;
use super::{fleet, words};
use crate::clock::UnixMs;
use crate::store::views::agent::{Agent, CheckLine, Loss, agent, checks, losses, spool_bytes_per_second};
use crate::store::views::alerts::{Alert, open_of_agent};
use crate::store::views::fleet::Counts;
use crate::store::views::freshness::State as Condition;
use crate::store::views::identity::IdentityState;

/// A certificate with less than this is worth a warning: it should have been renewed long before.
const SHORT_CERTIFICATE_MS: i64 = 2 * 24 * 60 * 60 * 1000;

/// A clock that is further off than this makes times on the pages hard to compare.
const LARGE_SKEW_MS: i64 = 5_000;

struct Row {
    line: CheckLine,
    state: Condition,
    path: String,
}

struct Spool {
    bytes: u64,
    quota: u64,
    used: String,
    outlook: String,
}

struct View {
    now: UnixMs,
    open_alerts: i64,
    agent: Agent,
    reach_state: Condition,
    reach_word: &'static str,
    cause: String,
    verification: String,
    certificate: String,
    certificate_class: &'static str,
    identity: &'static str,
    identity_class: &'static str,
    skew: String,
    skew_class: &'static str,
    spool: Option<Spool>,
    counts: Counts,
    rows: Vec<Row>,
    alerts: Vec<Alert>,
    losses: Vec<Loss>,
}

#[derive(Template)]
#[template(path = "agent.html")]
struct Page<'a> {
    frame: &'a Frame,
    v: &'a View,
    curl: String,
    probe: String,
}

#[derive(Template)]
#[template(path = "agent.html", block = "live")]
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
    Path((tenant, name)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, PageError> {
    let store = state.store();
    let found = agent(store, &tenant, &name)
        .await?
        .ok_or(PageError::NotFound("agent"))?;
    let mut frame = Frame::new(&state, &signed_in, "fleet", format!("{tenant}/{name}")).await?;
    frame.live = format!("/live{}", query(&[("tenant", &tenant), ("agent", &name)]));
    let now = frame.now;
    let lines = checks(store, &tenant, &name).await?;
    let rate = spool_bytes_per_second(store, &tenant, &name, &lines).await?;
    let alerts = open_of_agent(store, &tenant, &name).await?;
    let losses = losses(store, &tenant, &name).await?;

    let mut counts = Counts::default();
    let mut rows: Vec<Row> = lines
        .into_iter()
        .map(|line| {
            let state = line.state(&found, now);
            counts.add(state, 1);
            Row {
                state,
                path: check_path(&tenant, &name, &line.name),
                line,
            }
        })
        .collect();
    rows.sort_by_key(|row| row.state);
    let (reach_state, reach_word) = fleet::reach(found.reach_word());
    let (certificate, certificate_class) = certificate(&found, now);
    let identity = found.identity_state(now);
    let (skew, skew_class) = skew(found.clock_skew_ms);
    let view = View {
        now,
        open_alerts: frame.open_alerts,
        reach_state,
        reach_word,
        cause: words::cause(found.cause.as_deref().unwrap_or_default()),
        verification: verification(&found),
        certificate,
        certificate_class,
        identity: identity.sentence(),
        identity_class: identity_class(identity),
        skew,
        skew_class,
        spool: spool(&found, rate, now),
        counts,
        rows,
        alerts,
        losses,
        agent: found,
    };
    let curl = format!("/api/v1/tenants/{}/agents/{}", segment(&tenant), segment(&name));
    let probe = format!("gateway probe {tenant}/{name}");
    respond(
        &headers,
        &Page {
            frame: &frame,
            v: &view,
            curl,
            probe,
        },
        &Live { v: &view },
    )
}

/// What the last handshake proved, or why there was none.
fn verification(agent: &Agent) -> String {
    let gateway = agent.gateway.as_deref().unwrap_or_default();
    let cause = agent.cause.as_deref().unwrap_or_default();
    let is_network = matches!(cause, "" | "refused" | "timeout" | "name_resolution");
    match agent.reach_word() {
        "reachable" => format!(
            "Gateway {gateway} checked its certificate's chain, role, tenant and name, and it is {}/{}.",
            agent.tenant, agent.name
        ),
        "pending" => "Not verified yet: no gateway has reached it.".to_owned(),
        _ if is_network => {
            format!(
                "Gateway {gateway} could not verify it: {} before any certificate was shown.",
                words::cause(cause)
            )
        }
        _ => format!("Gateway {gateway} refused it: {}.", words::cause(cause)),
    }
}

const fn identity_class(state: IdentityState) -> &'static str {
    match state {
        IdentityState::Enrolled | IdentityState::Issued | IdentityState::Replacing => "",
        IdentityState::AwaitingEnrolment | IdentityState::Recovering => "is-warning",
        IdentityState::FileExpired | IdentityState::Expired | IdentityState::Revoked => "is-critical",
    }
}

fn certificate(agent: &Agent, now: UnixMs) -> (String, &'static str) {
    match agent.certificate_not_after_at {
        None => ("none on record".to_owned(), "is-warning"),
        Some(end) if end <= now => (format!("expired {}", words::ago(end, now)), "is-critical"),
        Some(end) => {
            let left = end - now;
            let class = if left < SHORT_CERTIFICATE_MS {
                "is-warning"
            } else {
                ""
            };
            (format!("{} left", words::duration(left)), class)
        }
    }
}

fn skew(skew: Option<i64>) -> (String, &'static str) {
    match skew {
        None => ("not measured yet".to_owned(), ""),
        Some(0) => ("none".to_owned(), ""),
        Some(ms) => {
            let direction = if ms > 0 { "ahead" } else { "behind" };
            let class = if ms.saturating_abs() > LARGE_SKEW_MS {
                "is-warning"
            } else {
                ""
            };
            (format!("{} {direction}", words::duration(ms)), class)
        }
    }
}

/// How full the spool is, and for how long it still has room if nobody pulls. While the agent can't be reached, what it
/// has written since is estimated.
fn spool(agent: &Agent, rate: Option<f64>, now: UnixMs) -> Option<Spool> {
    let positive = |value: Option<i64>| value.and_then(|value| u64::try_from(value).ok());
    let quota = positive(agent.spool_quota).filter(|quota| *quota > 0)?;
    let reported = positive(agent.spool_bytes)?;
    let away_ms = match (agent.is_unreachable(), agent.since_at) {
        (true, Some(since)) => now.saturating_sub(since).max(0),
        _ => 0,
    };
    let grown = rate.map_or(0.0, |rate| rate * away_ms as f64 / 1000.0);
    let bytes = (reported as f64 + grown).min(quota as f64) as u64;
    let left_ms = rate.map(|rate| (quota.saturating_sub(bytes) as f64 / rate * 1000.0).min(1e15) as i64);
    let outlook = match left_ms {
        None => "How fast it fills is not known yet.".to_owned(),
        Some(0) if away_ms > 0 => "Full by our estimate: the oldest results are being dropped.".to_owned(),
        Some(0) => "Full: the oldest results are being dropped.".to_owned(),
        Some(left) if away_ms > 0 => format!(
            "Nobody pulls it: fills in {} by our estimate.",
            words::duration(left)
        ),
        Some(left) => format!("Cut off, it would fill in {}.", words::duration(left)),
    };
    let about = if grown >= 1.0 { "about " } else { "" };
    Some(Spool {
        bytes,
        quota,
        used: format!("{about}{} of {}", words::bytes(bytes), words::bytes(quota)),
        outlook,
    })
}
