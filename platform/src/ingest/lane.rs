//! Several batches in one commit. A commit costs one flush of the disk however much is in it; answers are given only
//! after it.

use std::time::Duration;

use picket_proto::platform::v1::SubmitOutcome;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

use super::commit::{Committed, commit};
use super::{Answer, Submission};
use crate::app::Services;
use crate::metrics::ingest as report;
use crate::store::StoreError;

/// How long the first batch waits for others: below what a person notices, and longer than a flush of most disks.
const FLUSH_AFTER: Duration = Duration::from_millis(20);

/// How much waits at most: larger commits gain nothing, and hold the writer.
const FLUSH_BYTES: usize = 256 * 1024;

/// How many batches one commit has at most.
const FLUSH_BATCHES: usize = 500;

/// Batches that wait in all; a gateway that submits more waits itself. With batches of 64 KiB this is 32 MiB.
const QUEUE: usize = 512;

type Waiting = (Submission, oneshot::Sender<Answer>);

/// The way in. Cheap to clone; the lane ends when the last clone is dropped and what was handed in is answered.
#[derive(Debug, Clone)]
pub struct Lane(mpsc::Sender<Waiting>);

impl Lane {
    /// Starts a lane.
    #[must_use]
    pub fn start(services: Services) -> Self {
        let (sender, receiver) = mpsc::channel(QUEUE);
        tokio::spawn(run(services, receiver));
        Self(sender)
    }

    /// Hands a batch in. It is in line once this returns; the answer comes after its commit.
    pub async fn submit(&self, submission: Submission) -> oneshot::Receiver<Answer> {
        let (answer, answered) = oneshot::channel();
        // Where the lane is gone, the answer's sender is dropped, which the receiver sees.
        let _gone = self.0.send((submission, answer)).await;
        answered
    }
}

/// The answer where there will be none: the platform stops.
#[must_use]
pub fn unavailable() -> Answer {
    Answer::without_cursor(SubmitOutcome::Unavailable, "the platform can't commit now")
}

async fn run(services: Services, mut queue: mpsc::Receiver<Waiting>) {
    while let Some(first) = queue.recv().await {
        let batches = gather(&mut queue, first).await;
        flush(&services, batches).await;
    }
}

async fn gather(queue: &mut mpsc::Receiver<Waiting>, first: Waiting) -> Vec<Waiting> {
    let deadline = Instant::now() + FLUSH_AFTER;
    let mut bytes = first.0.weight();
    let mut batches = vec![first];
    while bytes < FLUSH_BYTES && batches.len() < FLUSH_BATCHES {
        match timeout_at(deadline, queue.recv()).await {
            Ok(Some(next)) => {
                bytes += next.0.weight();
                batches.push(next);
            }
            Ok(None) | Err(_) => break,
        }
    }
    batches
}

async fn flush(services: &Services, batches: Vec<Waiting>) {
    let started = Instant::now();
    let (submissions, answers): (Vec<_>, Vec<_>) = batches.into_iter().unzip();
    let count = submissions.len();
    let done = match write(services, &submissions).await {
        Ok(done) => done,
        Err(error) if error.is_transient() || count == 1 => {
            report::flush_failed(&error);
            return;
        }
        // One of them may be what the database refuses: alone, it holds up nobody else.
        Err(_) => one_by_one(services, &submissions).await,
    };
    report::flushed(count, started.elapsed());
    for (committed, answer) in done.into_iter().zip(answers) {
        let answered = committed.map_or_else(unavailable, |committed| {
            report::committed(committed.results, committed.lost);
            committed
                .events
                .into_iter()
                .for_each(|event| services.events.publish(event));
            committed.answer
        });
        // Whoever handed it in may be gone: it asks again, and is told that it is a duplicate.
        let _gone = answer.send(answered);
    }
}

async fn write(
    services: &Services,
    submissions: &[Submission],
) -> Result<Vec<Option<Committed>>, StoreError> {
    let mut write = services.store.write().await?;
    let mut done = Vec::with_capacity(submissions.len());
    for submission in submissions {
        done.push(Some(commit(&mut write, submission).await?));
    }
    write.commit().await?;
    Ok(done)
}

async fn one_by_one(services: &Services, submissions: &[Submission]) -> Vec<Option<Committed>> {
    let mut done = Vec::with_capacity(submissions.len());
    for submission in submissions {
        match write(services, std::slice::from_ref(submission)).await {
            Ok(committed) => done.extend(committed),
            Err(error) => {
                report::flush_failed(&error);
                done.push(None);
            }
        }
    }
    done
}
