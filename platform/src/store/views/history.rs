//! The results of one check over time, out of the sealed chunks of its agent: newest first, and never more than a budget
//! of chunks, bytes and results.

use std::cmp::Reverse;

use futures_util::TryStreamExt as _;
use sqlx::Row as _;

use super::chunk::{Opener, Sealed, Stored};
use crate::clock::UnixMs;
use crate::store::{Result, Store, from_db};

/// Chunks that are opened in one go, off the asynchronous threads. Small: a check that runs often is found in the first.
const STEP: usize = 64;

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Span<'a> {
    /// Whose.
    pub tenant: &'a str,
    /// Of which agent.
    pub agent: &'a str,
    /// Which check.
    pub check: &'a str,
    /// Runs that started at or after this, by the agent's clock.
    pub from: UnixMs,
    /// Runs that started before this.
    pub before: UnixMs,
}

/// How much is read for one answer at most.
#[derive(Debug, Clone, Copy)]
pub struct Budget {
    /// Results that are returned.
    pub results: usize,
    /// Chunks that are opened: 10,000 are more than a day of polls each ten seconds.
    pub chunks: usize,
    /// Bytes of opened chunks.
    pub bytes: usize,
}

impl Budget {
    /// For a list of `results`.
    #[must_use]
    pub const fn list(results: usize) -> Self {
        Self {
            results,
            chunks: 4_000,
            bytes: 64 << 20,
        }
    }

    /// For a plot.
    #[must_use]
    pub const fn plot() -> Self {
        Self {
            results: 20_000,
            chunks: 10_000,
            bytes: 128 << 20,
        }
    }
}

/// What was found.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct History {
    /// Newest first.
    pub results: Vec<Stored>,
    /// Whether the budget ended it, so that there may be older ones in the span.
    pub truncated: bool,
    /// Chunks that couldn't be opened.
    pub unreadable: usize,
}

/// Reads a check's results.
///
/// # Errors
/// [`crate::store::StoreError::Sql`].
pub async fn history(store: &Store, span: Span<'_>, budget: Budget) -> Result<History> {
    let mut read = store.read().await?;
    let mut rows = sqlx::query(
        "SELECT stream, first_seq, header, payload, received_at FROM sample_chunk \
         WHERE tenant = $1 AND agent = $2 AND t_max >= $3 AND t_min < $4 ORDER BY t_max DESC",
    )
    .bind(span.tenant)
    .bind(span.agent)
    .bind(span.from)
    .bind(span.before)
    .fetch(&mut *read);

    let mut found = History::default();
    let (mut chunks, mut bytes) = (0, 0);
    loop {
        let mut step = Vec::with_capacity(STEP);
        while step.len() < STEP {
            let Some(row) = rows.try_next().await? else { break };
            step.push(Sealed {
                stream: row.try_get("stream")?,
                first_seq: from_db(row.try_get("first_seq")?),
                header: row.try_get("header")?,
                payload: row.try_get("payload")?,
                received_at: row.try_get("received_at")?,
            });
        }
        if step.is_empty() {
            break;
        }
        let is_last = step.len() < STEP;
        chunks += step.len();
        let check = span.check.to_owned();
        let left = budget.bytes.saturating_sub(bytes);
        let opened = tokio::task::spawn_blocking(move || open(&step, &check, left))
            .await
            .unwrap_or_default();
        bytes += opened.bytes;
        found.unreadable += opened.unreadable;
        found.results.extend(opened.results.into_iter().filter(|stored| {
            let started = started_at(stored);
            started >= span.from && started < span.before
        }));
        let is_spent =
            opened.out_of_bytes || chunks >= budget.chunks || found.results.len() >= budget.results;
        if is_spent {
            found.truncated = opened.out_of_bytes || !is_last || found.results.len() > budget.results;
            break;
        }
        if is_last {
            break;
        }
    }
    found
        .results
        .sort_by_key(|stored| Reverse((started_at(stored), stored.seq)));
    found.results.truncate(budget.results);
    Ok(found)
}

/// When a result's run started, by the agent's clock.
#[must_use]
pub fn started_at(stored: &Stored) -> UnixMs {
    i64::try_from(stored.result.started_at_unix_ms).unwrap_or(i64::MAX)
}

#[derive(Default)]
struct Opened {
    results: Vec<Stored>,
    bytes: usize,
    unreadable: usize,
    out_of_bytes: bool,
}

fn open(chunks: &[Sealed], check: &str, budget: usize) -> Opened {
    let mut opened = Opened::default();
    let Ok(mut opener) = Opener::new() else {
        return Opened {
            unreadable: chunks.len(),
            ..Opened::default()
        };
    };
    for sealed in chunks {
        if opened.bytes >= budget {
            opened.out_of_bytes = true;
            break;
        }
        match opener.results_of(sealed, check) {
            Ok((results, bytes)) => {
                opened.results.extend(results);
                opened.bytes += bytes;
            }
            Err(_) => opened.unreadable += 1,
        }
    }
    opened
}
