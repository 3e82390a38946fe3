//! One batch, inside a transaction: ownership, cursor, chunk, states, events and alerts, or nothing.

use std::collections::BTreeMap;

use picket_proto::agent::v1::{BatchHeader, CheckResult, LossCause};
use picket_proto::platform::v1::SubmitOutcome;
use prost::Message as _;

use super::cursor::{self, Decision, Lost, Offer};
use super::state::{self, Seen};
use super::{Answer, Submission, certificate_problem};
use crate::alerts::{self, Kind, decision};
use crate::authority::first_use;
use crate::events::Event;
use crate::store::alerts::{Content, Open};
use crate::store::checks::{NewEvent, NewState};
use crate::store::chunks::Chunk;
use crate::store::cursors::Cursor;
use crate::store::{self, StoreError, Write, from_db, to_db};

/// The cause of the end of a stream that another one took the place of: how much of it was never delivered, nobody knows.
pub const STREAM_REPLACED: &str = "stream_replaced";

/// The longest summary that pages and alerts show.
const MAX_SUMMARY: usize = 1_000;

/// The most checks of one agent that have a state. A broken-into agent may invent names; what is beyond is kept in its
/// batches and shown nowhere.
const MAX_CHECKS: i64 = 2_000;

/// What was written for a batch.
#[derive(Debug)]
pub struct Committed {
    /// The answer, to be given after the commit.
    pub answer: Answer,
    /// Hints, to be published after the commit.
    pub events: Vec<Event>,
    /// Results that were stored.
    pub results: u64,
    /// Results that were recorded as lost.
    pub lost: u64,
}

impl Committed {
    fn nothing(answer: Answer) -> Self {
        Self {
            answer,
            events: Vec::new(),
            results: 0,
            lost: 0,
        }
    }
}

/// Writes a batch.
///
/// # Errors
/// [`StoreError`]: the transaction has to be rolled back.
pub async fn commit(write: &mut Write, submission: &Submission) -> Result<Committed, StoreError> {
    if let Some(answer) = ownership(write, submission).await? {
        return Ok(Committed::nothing(answer));
    }
    let Submission {
        tenant,
        agent,
        opened,
        ..
    } = submission;
    let header = &opened.header;
    let cursor = store::cursors::find(write, tenant, agent).await?;
    let position = match &cursor {
        Some(cursor) if cursor.stream == header.stream => Some(cursor.committed_seq),
        _ => store::cursors::position(write, tenant, agent, &header.stream).await?,
    };
    let lost = match cursor::decide(position.map(from_db), &offer(header)) {
        Decision::Commit { lost } => lost,
        Decision::Duplicate => {
            let answer = at(SubmitOutcome::Duplicate, &header.stream, position);
            return Ok(Committed::nothing(answer));
        }
        Decision::Gap => {
            let answer = at(SubmitOutcome::Gap, &header.stream, position);
            return Ok(Committed::nothing(answer));
        }
    };
    let now = write.now();
    let lost_count = lost.iter().map(Lost::count).sum();
    let next = Cursor {
        stream: header.stream.clone(),
        committed_seq: to_db(header.last_seq),
        lost_total: cursor
            .as_ref()
            .map_or(0, |cursor| cursor.lost_total)
            .saturating_add(to_db(lost_count)),
    };
    if !store::cursors::advance(write, tenant, agent, cursor.as_ref(), &next, now).await? {
        // Can't be while the writer is one at a time; with several writers, the other one was first.
        return Ok(Committed::nothing(at(
            SubmitOutcome::Gap,
            &header.stream,
            position,
        )));
    }
    record_losses(write, submission, cursor.as_ref(), position.is_none(), &lost).await?;
    insert_chunk(write, submission).await?;
    let mut events = vec![Event::agent(tenant, agent, now)];
    events.extend(states(write, submission, position.is_none()).await?);
    Ok(Committed {
        answer: at(SubmitOutcome::Committed, &header.stream, Some(next.committed_seq)),
        events,
        results: opened.results.len() as u64,
        lost: lost_count,
    })
}

fn at(outcome: SubmitOutcome, stream: &str, committed: Option<i64>) -> Answer {
    Answer {
        outcome,
        stream: stream.to_owned(),
        committed_seq: committed.map_or(0, from_db),
        detail: String::new(),
    }
}

/// What is to be answered where the gateway may not hand in this batch; `None` where it may.
async fn ownership(write: &mut Write, submission: &Submission) -> Result<Option<Answer>, StoreError> {
    let Submission {
        gateway,
        instance,
        tenant,
        agent,
        shard,
        epoch,
        opened,
        ..
    } = submission;
    let now = write.now();
    let Some(registered) = store::agents::find(write, tenant, agent).await? else {
        return Ok(Some(Answer::refused("there is no such agent")));
    };
    if !store::tenants::is_active(write, tenant).await? {
        return Ok(Some(Answer::refused("the tenant is suspended")));
    }
    let pool = store::gateways::find(write, gateway)
        .await?
        .filter(|gateway| gateway.revoked_at.is_none())
        .map(|gateway| gateway.pool);
    if pool.as_deref() != Some(registered.pool.as_str()) {
        return Ok(Some(Answer::refused(
            "the agent is of a pool that this gateway doesn't work for",
        )));
    }
    let serial = &opened.header.certificate_serial;
    let certificate = store::certificates::find_of_agent(write, tenant, agent, serial).await?;
    let Some(certificate) = certificate else {
        return Ok(Some(Answer::refused("the certificate that signed it is gone")));
    };
    if let Some(problem) = certificate_problem(&certificate, now) {
        return Ok(Some(Answer::refused(problem)));
    }
    let owned = registered.enabled == 1
        && registered.shard == *shard
        && store::shards::is_owned(write, &registered.pool, *shard, gateway, instance, *epoch).await?;
    if !owned {
        let detail = "the gateway doesn't own the agent any more";
        return Ok(Some(Answer::without_cursor(SubmitOutcome::Stale, detail)));
    }
    // It signed with it, so it has it.
    first_use::of_agent(write, &registered.pool, tenant, agent, &certificate).await?;
    Ok(None)
}

fn offer(header: &BatchHeader) -> Offer {
    let lost = header.lost.iter().map(|range| Lost {
        first: range.first_seq,
        last: range.last_seq.min(header.last_seq),
        cause: match range.cause() {
            LossCause::Quota => "quota",
            LossCause::Corruption => "corruption",
            LossCause::DiskFull => "disk_full",
            LossCause::Unspecified => "unspecified",
        },
    });
    Offer {
        first: header.first_seq,
        last: header.last_seq,
        lost: lost.collect(),
    }
}

async fn record_losses(
    write: &mut Write,
    submission: &Submission,
    cursor: Option<&Cursor>,
    stream_is_new: bool,
    lost: &[Lost],
) -> Result<(), StoreError> {
    let Submission {
        tenant,
        agent,
        opened,
        ..
    } = submission;
    let now = write.now();
    if let Some(old) = cursor.filter(|cursor| stream_is_new && cursor.stream != opened.header.stream) {
        // An empty range right after what is known: it marks the place, and claims no number.
        let (first, last) = (old.committed_seq + 1, old.committed_seq);
        store::cursors::insert_gap(
            write,
            tenant,
            agent,
            &old.stream,
            first,
            last,
            STREAM_REPLACED,
            now,
        )
        .await?;
    }
    for range in lost {
        let (first, last) = (to_db(range.first), to_db(range.last));
        store::cursors::insert_gap(
            write,
            tenant,
            agent,
            &opened.header.stream,
            first,
            last,
            range.cause,
            now,
        )
        .await?;
    }
    Ok(())
}

async fn insert_chunk(write: &mut Write, submission: &Submission) -> Result<(), StoreError> {
    let Submission {
        tenant,
        agent,
        batch,
        opened,
        ..
    } = submission;
    let starts = || {
        opened
            .results
            .iter()
            .map(|result| to_db(result.started_at_unix_ms))
    };
    let now = write.now();
    let chunk = Chunk {
        tenant,
        agent,
        stream: &opened.header.stream,
        first_seq: to_db(opened.header.first_seq),
        last_seq: to_db(opened.header.last_seq),
        t_min: starts().min().unwrap_or(0),
        t_max: starts().max().unwrap_or(0),
        header: &batch.header,
        payload: &batch.payload,
        signature: &batch.signature,
    };
    store::chunks::insert(write, &chunk, now).await
}

/// Writes what the results change of their checks, one check at a time.
async fn states(
    write: &mut Write,
    submission: &Submission,
    stream_is_new: bool,
) -> Result<Vec<Event>, StoreError> {
    let opened = &submission.opened;
    let mut checks: BTreeMap<&str, Vec<Seen>> = BTreeMap::new();
    for (seq, result) in (opened.header.first_seq..).zip(&opened.results) {
        checks
            .entry(&result.check)
            .or_default()
            .push(Seen::of(seq, result));
    }
    // All in one go: a statement costs more than the rows that it finds.
    let names: Vec<&str> = checks.keys().copied().collect();
    let Submission { tenant, agent, .. } = submission;
    let before = store::checks::find_all(write, tenant, agent, &names).await?;
    let failing = Kind::CheckFailing.as_str();
    let alerts = store::alerts::find_open_of(write, tenant, failing, agent, &names).await?;
    let mut room = match checks.len() - before.len() {
        0 => 0,
        _ => MAX_CHECKS - store::checks::count_of_agent(write, tenant, agent).await?,
    };
    let mut events = Vec::new();
    for (name, seen) in checks {
        let before = before.get(name);
        if before.is_none() {
            if room <= 0 {
                continue;
            }
            room -= 1;
        }
        let stream = &opened.header.stream;
        let Some(transition) = state::transition(before, stream, stream_is_new, &seen) else {
            continue;
        };
        events.extend(check(write, submission, name, &transition, alerts.get(name)).await?);
    }
    Ok(events)
}

async fn check(
    write: &mut Write,
    submission: &Submission,
    name: &str,
    transition: &state::Transition,
    open: Option<&Open>,
) -> Result<Vec<Event>, StoreError> {
    let Submission {
        tenant,
        agent,
        opened,
        ..
    } = submission;
    let now = write.now();
    let stream = opened.header.stream.as_str();
    for change in &transition.changes {
        let Some(result) = result(submission, change.by.seq) else {
            continue;
        };
        let event = NewEvent {
            tenant,
            agent,
            name,
            stream,
            seq: to_db(change.by.seq),
            old_status: change.from.as_deref(),
            new_status: change.by.status,
            summary: shortened(&result.summary),
            at: change.by.started_at,
        };
        store::checks::insert_event(write, &event, now).await?;
    }
    let Some(newest) = result(submission, transition.newest.seq) else {
        return Ok(Vec::new());
    };
    let row = NewState {
        tenant,
        agent,
        name,
        checker: &newest.checker,
        checker_version: &newest.checker_version,
        status: transition.newest.status,
        since_at: transition.since_at,
        summary: shortened(&newest.summary),
        failure: state::failure_word(newest.failure()),
        interval_ms: to_db(newest.interval_ms),
        stream,
        seq: to_db(transition.newest.seq),
        started_at: transition.newest.started_at,
        result: &newest.encode_to_vec(),
    };
    store::checks::upsert(write, &row, now).await?;
    let mut events = vec![Event::check(tenant, agent, name, now)];
    let wanted = wanted_alert(name, transition.newest.status, newest);
    let subject = Kind::CheckFailing.subject(tenant, agent, name);
    events.extend(alerts::apply_to(write, &subject, open, wanted, now).await?);
    Ok(events)
}

fn result(submission: &Submission, seq: u64) -> Option<&CheckResult> {
    let index = usize::try_from(seq.checked_sub(submission.opened.header.first_seq)?).ok()?;
    submission.opened.results.get(index)
}

/// The beginning of a summary: hosts keep them short, and a host that was broken into may not.
fn shortened(summary: &str) -> &str {
    match summary.char_indices().nth(MAX_SUMMARY) {
        Some((end, _)) => &summary[..end],
        None => summary,
    }
}

/// What the alert about a check should say; `None` where there should be none.
fn wanted_alert(name: &str, status: &str, newest: &CheckResult) -> Option<Content> {
    let severity = decision::severity_of_status(status)?;
    let failure = state::failure_word(newest.failure());
    Some(Content {
        severity: severity.as_str(),
        summary: format!("{name} is {status}: {}", shortened(&newest.summary)),
        cause: if failure.is_empty() { status } else { failure }.to_owned(),
    })
}
