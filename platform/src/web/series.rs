//! A check's history as a plot needs it: points with gaps as gaps, stretches of one status, losses with their cause.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use picket_proto::agent::v1::{CheckResult, Metric};
use serde::{Deserialize, Serialize};

use super::WebState;
use super::error::PageError;
use super::session::SignedIn;
use super::threshold::{self, Range};
use super::words;
use crate::clock::UnixMs;
use crate::store::views::agent::{self, Loss};
use crate::store::views::chunk::{Stored, status_word};
use crate::store::views::history::{self, Budget, Span};

/// Points of a line. A plot is about as many pixels wide; more points would only cost.
const MAX_POINTS: usize = 700;

/// Lines of a check. More can't be told apart on a page; the table of metrics has all.
const MAX_SERIES: usize = 24;

/// How much time a plot shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Its name in URLs.
    pub name: &'static str,
    /// Its length.
    pub ms: i64,
}

/// The windows to choose from; the first is the default.
pub const WINDOWS: [Window; 3] = [
    Window {
        name: "1h",
        ms: 60 * 60 * 1000,
    },
    Window {
        name: "6h",
        ms: 6 * 60 * 60 * 1000,
    },
    Window {
        name: "24h",
        ms: 24 * 60 * 60 * 1000,
    },
];

impl Window {
    /// The window of a name, or the default.
    #[must_use]
    pub fn named(name: &str) -> Self {
        WINDOWS
            .into_iter()
            .find(|window| window.name == name)
            .unwrap_or(WINDOWS[0])
    }
}

/// A check's history.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Series {
    /// The window, by the platform's clock.
    pub from: UnixMs,
    /// Its end: now.
    pub to: UnixMs,
    /// Whether it reaches back less than asked for, because there is too much.
    pub truncated: bool,
    /// Results in it.
    pub results: usize,
    /// Stretches of one status; between them are gaps.
    pub states: Vec<Stretch>,
    /// What was lost and won't come.
    pub lost: Vec<Lost>,
    /// The lines.
    pub metrics: Vec<Line>,
}

/// A stretch of time in one status.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Stretch {
    /// Its first run.
    pub from: UnixMs,
    /// Where the next run would have been due.
    pub to: UnixMs,
    /// The status.
    pub status: &'static str,
}

/// A stretch whose results were lost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Lost {
    /// The last run that is there before it.
    pub from: UnixMs,
    /// The first after it.
    pub to: UnixMs,
    /// How many results of the agent.
    pub count: i64,
    /// Why.
    pub why: String,
}

/// One metric over time.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Line {
    /// Name and labels.
    pub name: String,
    /// Unit.
    pub unit: String,
    /// Unix seconds.
    pub t: Vec<f64>,
    /// Values; `None` breaks the line.
    pub v: Vec<Option<f64>>,
    /// The newest warning threshold.
    pub warning: Option<Range>,
    /// The newest critical threshold.
    pub critical: Option<Range>,
    /// The newest value, in words.
    pub last: String,
}

impl Line {
    fn named(name: String) -> Self {
        Self {
            name,
            unit: String::new(),
            t: Vec::new(),
            v: Vec::new(),
            warning: None,
            critical: None,
            last: String::new(),
        }
    }
}

/// Which window.
#[derive(Debug, Default, Deserialize)]
pub struct SeriesQuery {
    #[serde(default)]
    range: String,
}

/// The plot's data.
///
/// # Errors
/// [`PageError`].
pub async fn show(
    State(state): State<WebState>,
    signed_in: Result<SignedIn, PageError>,
    Path((tenant, agent, check)): Path<(String, String, String)>,
    Query(query): Query<SeriesQuery>,
) -> Result<Response, PageError> {
    signed_in.map_err(|_| PageError::Unauthenticated)?;
    let store = state.store();
    let found = agent::agent(store, &tenant, &agent)
        .await?
        .ok_or(PageError::NotFound("agent"))?;
    let now = store.now().await?;
    let skew = found.clock_skew_ms.unwrap_or(0);
    let window = Window::named(&query.range);
    let from = now - window.ms;
    let span = Span {
        tenant: &tenant,
        agent: &agent,
        check: &check,
        from: from.saturating_add(skew),
        // A run that started a moment ago by a clock that runs ahead is no future.
        before: now.saturating_add(skew).saturating_add(60_000),
    };
    let history = history::history(store, span, Budget::plot()).await?;
    let losses = agent::losses(store, &tenant, &agent).await?;
    let mut results = history.results;
    results.reverse();
    let series = tokio::task::spawn_blocking(move || {
        let mut series = build(&results, from, now, skew);
        series.truncated = history.truncated;
        series.lost = losses
            .iter()
            .filter_map(|loss| lost(loss, from, now, skew))
            .collect();
        series
    });
    let series = series.await.map_err(|_| PageError::NotFound("history"))?;
    Ok(Json(series).into_response())
}

fn lost(loss: &Loss, from: UnixMs, now: UnixMs, skew: i64) -> Option<Lost> {
    let start = loss
        .before_at
        .map_or(from, |at| at.saturating_sub(skew))
        .max(from);
    let end = loss
        .after_at
        .map_or(loss.noticed_at, |at| at.saturating_sub(skew))
        .min(now);
    (start < end).then(|| Lost {
        from: start,
        to: end,
        count: loss.count(),
        why: words::loss(&loss.cause),
    })
}

/// Builds the series out of results in the order of their runs. Times become the platform's by taking off `skew`.
#[must_use]
pub fn build(results: &[Stored], from: UnixMs, now: UnixMs, skew: i64) -> Series {
    let mut states: Vec<Stretch> = Vec::new();
    // In the order in which the checker reports them: the first is what it is about.
    let mut lines: Vec<Line> = Vec::new();
    let mut previous: Option<(UnixMs, &CheckResult)> = None;
    for stored in results {
        let result = &stored.result;
        let at = history::started_at(stored).saturating_sub(skew);
        let gap = previous.filter(|(before, result)| is_gap(*before, at, interval(result)));
        let status = status_word(result.status);
        match states.last_mut() {
            Some(last) if gap.is_none() => {
                last.to = at;
                if last.status != status {
                    states.push(Stretch {
                        from: at,
                        to: at,
                        status,
                    });
                }
            }
            last => {
                if let (Some(last), Some((before, result))) = (last, gap) {
                    last.to = before.saturating_add(interval(result)).min(at);
                }
                states.push(Stretch {
                    from: at,
                    to: at,
                    status,
                });
            }
        }
        for metric in &result.metrics {
            let name = name(metric);
            let index = match lines.iter().position(|line| line.name == name) {
                Some(index) => index,
                None if lines.len() >= MAX_SERIES => continue,
                None => {
                    lines.push(Line::named(name));
                    lines.len() - 1
                }
            };
            let line = &mut lines[index];
            line.unit.clone_from(&metric.unit);
            line.warning = metric.warning.as_deref().and_then(threshold::parse);
            line.critical = metric.critical.as_deref().and_then(threshold::parse);
            line.last = words::quantity(metric.value, &metric.unit);
            let break_at = gap.map(|(before, _)| seconds(before) + 0.001);
            push(line, seconds(at), metric.value, break_at);
        }
        previous = Some((at, result));
    }
    if let (Some(last), Some((at, result))) = (states.last_mut(), previous) {
        last.to = if is_gap(at, now, interval(result)) {
            at.saturating_add(interval(result)).min(now)
        } else {
            now
        };
    }
    let metrics = lines.into_iter().map(thin).collect();
    Series {
        from,
        to: now,
        truncated: false,
        results: results.len(),
        states,
        lost: Vec::new(),
        metrics,
    }
}

fn push(line: &mut Line, at: f64, value: f64, break_at: Option<f64>) {
    // A run without this metric (it failed, say) breaks the line too: `break_at` is only about missing runs.
    if let (Some(break_at), Some(last)) = (break_at, line.t.last())
        && break_at > *last
        && break_at < at
    {
        line.t.push(break_at);
        line.v.push(None);
    }
    if line.t.last().is_none_or(|last| *last < at) {
        line.t.push(at);
        line.v.push(value.is_finite().then_some(value));
    }
}

fn interval(result: &CheckResult) -> i64 {
    i64::try_from(result.interval_ms).unwrap_or(i64::MAX).max(1)
}

/// Whether a run is missing between two: one may be late by its jitter, not by a whole interval and a half.
fn is_gap(before: UnixMs, after: UnixMs, interval: i64) -> bool {
    after.saturating_sub(before).saturating_sub(5_000) / 5 > interval / 2
}

fn seconds(at: UnixMs) -> f64 {
    at as f64 / 1000.0
}

fn name(metric: &Metric) -> String {
    let labels: BTreeMap<_, _> = metric.labels.iter().collect();
    if labels.is_empty() {
        return metric.name.clone();
    }
    let labels: Vec<String> = labels
        .into_iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    format!("{} {{{}}}", metric.name, labels.join(", "))
}

/// Keeps the lowest and the highest point of each bucket, and all breaks: spikes stay visible.
fn thin(line: Line) -> Line {
    if line.t.len() <= MAX_POINTS {
        return line;
    }
    let per_bucket = line.t.len().div_ceil(MAX_POINTS / 2).max(2);
    let mut kept: Vec<usize> = Vec::with_capacity(MAX_POINTS);
    for start in (0..line.t.len()).step_by(per_bucket) {
        let bucket = start..(start + per_bucket).min(line.t.len());
        let by_value = |a: &usize, b: &usize| {
            line.v[*a]
                .partial_cmp(&line.v[*b])
                .unwrap_or(std::cmp::Ordering::Equal)
        };
        let values = || bucket.clone().filter(|index| line.v[*index].is_some());
        let mut keep: Vec<usize> = bucket.clone().filter(|index| line.v[*index].is_none()).collect();
        keep.extend(values().min_by(by_value));
        keep.extend(values().max_by(by_value));
        keep.sort_unstable();
        keep.dedup();
        kept.extend(keep);
    }
    let t = kept.iter().map(|index| line.t[*index]).collect();
    let v = kept.iter().map(|index| line.v[*index]).collect();
    Line { t, v, ..line }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: i64 = 60_000;

    fn result(at: i64, status: i32, value: f64) -> Stored {
        let metric = Metric {
            name: "time".into(),
            value,
            unit: "s".into(),
            ..Metric::default()
        };
        Stored {
            stream: "s1".into(),
            seq: 1,
            received_at: at,
            result: CheckResult {
                status,
                metrics: vec![metric],
                started_at_unix_ms: at.unsigned_abs(),
                interval_ms: MINUTE.unsigned_abs(),
                ..CheckResult::default()
            },
        }
    }

    #[test]
    fn a_missing_run_is_a_gap_in_states_and_lines() {
        let results = [
            result(MINUTE, 1, 1.0),
            result(2 * MINUTE, 1, 2.0),
            result(10 * MINUTE, 1, 3.0),
        ];
        let series = build(&results, 0, 10 * MINUTE + 1000, 0);
        assert_eq!(
            series.states,
            [
                Stretch {
                    from: MINUTE,
                    to: 3 * MINUTE,
                    status: "ok"
                },
                Stretch {
                    from: 10 * MINUTE,
                    to: 10 * MINUTE + 1000,
                    status: "ok"
                },
            ]
        );
        assert_eq!(series.metrics[0].v, [Some(1.0), Some(2.0), None, Some(3.0)]);
    }

    #[test]
    fn a_history_that_stopped_does_not_reach_until_now() {
        let series = build(&[result(MINUTE, 1, 1.0)], 0, 60 * MINUTE, 0);
        assert_eq!(
            series.states,
            [Stretch {
                from: MINUTE,
                to: 2 * MINUTE,
                status: "ok"
            }]
        );
    }

    #[test]
    fn a_change_of_status_begins_a_stretch() {
        let series = build(
            &[result(MINUTE, 1, 1.0), result(2 * MINUTE, 3, 1.0)],
            0,
            2 * MINUTE,
            0,
        );
        let words: Vec<_> = series
            .states
            .iter()
            .map(|stretch| (stretch.status, stretch.from, stretch.to))
            .collect();
        assert_eq!(
            words,
            [("ok", MINUTE, 2 * MINUTE), ("critical", 2 * MINUTE, 2 * MINUTE)]
        );
    }

    #[test]
    fn an_agents_clock_that_is_ahead_is_put_right() {
        let series = build(&[result(61 * MINUTE, 1, 1.0)], 0, MINUTE, 60 * MINUTE);
        assert_eq!(series.states[0].from, MINUTE);
    }

    #[test]
    fn thinning_keeps_spikes_and_breaks() {
        let mut results: Vec<Stored> = (1..=5000).map(|n| result(n * MINUTE, 1, 1.0)).collect();
        results[2500] = result(2501 * MINUTE, 1, 99.0);
        results.remove(4000);
        results.remove(4000);
        let series = build(&results, 0, 5001 * MINUTE, 0);
        let line = &series.metrics[0];
        assert!(line.t.len() <= MAX_POINTS + 2, "{}", line.t.len());
        assert!(line.v.contains(&Some(99.0)) && line.v.contains(&None));
    }

    #[test]
    fn hostile_numbers_panic_nowhere() {
        let mut one = result(0, 77, f64::NAN);
        one.result.started_at_unix_ms = u64::MAX;
        one.result.interval_ms = u64::MAX;
        let series = build(&[result(1, 1, f64::INFINITY), one], i64::MIN, i64::MAX, i64::MIN);
        assert_eq!(series.results, 2);
    }
}
