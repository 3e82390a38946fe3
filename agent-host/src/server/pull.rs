//! One pull.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{Stream, StreamExt};
use picket_proto::agent::v1::pull_request::Kind as Asked;
use picket_proto::agent::v1::pull_response::Kind as Answered;
use picket_proto::agent::v1::{PullIdle, PullRequest, PullResponse, PullStart};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use uuid::Uuid;

use super::agent::spool_status;
use super::authorise::refuse_where_expired;
use super::seal;
use crate::identity::IdentityStore;
use crate::internal_events as events;
use crate::schedule::unix_ms;
use crate::spool::{Run, Spool};

/// The most that one batch holds, opened, whatever the gateway would take.
const MAX_BATCH: usize = 4 << 20;
/// The least that a gateway must take: below it not even one result of usual size would fit.
const MIN_BATCH: usize = 4 << 10;
/// More credit than this is no more: it bounds what a mistaken gateway can ask for at once.
const MAX_CREDIT: u32 = 1_024;

/// How long a gateway may still acknowledge after a poll's last answer: a commit takes far less.
const LAST_WORDS: Duration = Duration::from_secs(30);

/// What a pull needs.
#[derive(Clone, Debug)]
pub struct Pull {
    /// Where the results are.
    pub spool: Spool,
    /// Who seals them.
    pub identity: Arc<IdentityStore>,
    /// Who asks.
    pub gateway: String,
    /// Ends a pull that follows.
    pub shutdown: CancellationToken,
}

/// Where a pull stands.
struct Progress {
    stream: Uuid,
    cursor: u64,
    credit: u32,
    follow: bool,
    max_bytes: usize,
    /// The gateway has said all that it will.
    asked_all: bool,
}

/// How a pull ended.
enum Ended {
    /// Nobody listens any more.
    Gone,
    /// All was said.
    Done(Progress),
}

impl Pull {
    /// Answers a gateway's messages until it has everything, or for as long as it follows.
    pub fn answer<S>(self, requests: S) -> impl Stream<Item = Result<PullResponse, Status>> + Send + use<S>
    where
        S: Stream<Item = Result<PullRequest, Status>> + Send + Unpin + 'static,
    {
        // One answer is on its way while the next is made; more would only hold memory.
        let (answers, receiver) = mpsc::channel(1);
        tokio::spawn(async move {
            let mut requests = requests;
            match self.serve(&mut requests, &answers).await {
                Ok(Ended::Gone) => {}
                Ok(Ended::Done(progress)) => {
                    // The gateway hears that this was all; what it acknowledges from now on is still heard.
                    drop(answers);
                    self.hear_the_rest(requests, progress).await;
                }
                Err(status) => {
                    // A gateway that has gone away hears nothing more.
                    let _ = answers.send(Err(status)).await;
                }
            }
        });
        ReceiverStream::new(receiver)
    }

    async fn serve<S>(
        &self,
        requests: &mut S,
        answers: &mpsc::Sender<Result<PullResponse, Status>>,
    ) -> Result<Ended, Status>
    where
        S: Stream<Item = Result<PullRequest, Status>> + Send + Unpin,
    {
        let Some(first) = requests.next().await else {
            return Err(Status::invalid_argument("a pull begins with `start`"));
        };
        let Some(Asked::Start(start)) = first?.kind else {
            return Err(Status::invalid_argument("a pull begins with `start`"));
        };
        let mut progress = self.begin(&start).await?;
        let mut durable = self.spool.durable();
        let mut told_idle = false;
        loop {
            durable.borrow_and_update();
            if self.spool.view().stream() != progress.stream {
                return Err(Status::aborted("the spool began a new stream; pull again"));
            }
            let run = if progress.credit > 0 {
                self.read(&progress).await?
            } else {
                None
            };
            if let Some(run) = run {
                if !self.send(&run, &mut progress, answers).await? {
                    return Ok(Ended::Gone);
                }
                told_idle = false;
                // What the gateway said in the meantime is heard before the next batch.
                while !progress.asked_all
                    && let Some(request) = futures_util::FutureExt::now_or_never(requests.next())
                {
                    self.hear(request, &mut progress).await?;
                }
                continue;
            }
            let has_all = progress.credit > 0 || progress.cursor >= self.spool.view().last_seq();
            if has_all && !told_idle {
                let idle = PullIdle {
                    spool: Some(spool_status(&self.spool.view())),
                    now_unix_ms: unix_ms(),
                };
                if answers.send(Ok(response(Answered::Idle(idle)))).await.is_err() {
                    return Ok(Ended::Gone);
                }
                told_idle = true;
            }
            // Without credit and without anybody who could give more there is nothing left to do either.
            if progress.asked_all || (has_all && !progress.follow) {
                return Ok(Ended::Done(progress));
            }
            tokio::select! {
                () = self.shutdown.cancelled() => return Err(Status::unavailable("this agent is shutting down")),
                () = answers.closed() => return Ok(Ended::Gone),
                request = requests.next() => self.hear(request, &mut progress).await?,
                changed = durable.changed(), if progress.credit > 0 => {
                    changed.map_err(|_| Status::unavailable("the spool is closed"))?;
                }
            }
        }
    }

    /// Sends one batch; `false` where nobody listens any more.
    async fn send(
        &self,
        run: &Run,
        progress: &mut Progress,
        answers: &mpsc::Sender<Result<PullResponse, Status>>,
    ) -> Result<bool, Status> {
        // One snapshot: the header names the certificate whose key signs, whatever is installed meanwhile.
        let own = self.identity.current();
        refuse_where_expired(own.identity())?;
        let batch = seal::seal(run, progress.stream, own.identity(), unix_ms())
            .map_err(|error| Status::internal(error.to_string()))?;
        events::batch_sealed(run.payloads.len(), batch.payload.len());
        progress.cursor = run.last_seq();
        progress.credit -= 1;
        Ok(answers.send(Ok(response(Answered::Batch(batch)))).await.is_ok())
    }

    async fn begin(&self, start: &PullStart) -> Result<Progress, Status> {
        if start.credit == 0 {
            return Err(Status::invalid_argument("`credit` is 0; expected at least 1"));
        }
        let max_bytes = start.max_batch_bytes as usize;
        if max_bytes < MIN_BATCH {
            return Err(Status::invalid_argument(format!(
                "`max_batch_bytes` is {max_bytes}; expected at least {MIN_BATCH}"
            )));
        }
        // A poll gives everything that was made before it.
        self.spool.flush().await;
        let asked = if start.stream.is_empty() {
            None
        } else {
            let stream = start.stream.parse::<Uuid>();
            Some(stream.map_err(|_| Status::invalid_argument("`stream` is no UUID"))?)
        };
        if let Some(stream) = asked {
            self.spool.reconcile(stream, start.committed_seq).await;
        }
        let stream = self.spool.view().stream();
        let cursor = if asked == Some(stream) {
            start.committed_seq
        } else {
            0
        };
        self.spool.acknowledge(stream, cursor).await;
        events::pull_started(&self.gateway, stream, cursor, start.follow);
        Ok(Progress {
            stream,
            cursor,
            credit: start.credit.min(MAX_CREDIT),
            follow: start.follow,
            max_bytes: max_bytes.min(MAX_BATCH),
            asked_all: false,
        })
    }

    /// Takes in one message; `None` is the end of them.
    async fn hear(
        &self,
        request: Option<Result<PullRequest, Status>>,
        progress: &mut Progress,
    ) -> Result<(), Status> {
        let Some(request) = request else {
            progress.asked_all = true;
            return Ok(());
        };
        match request?.kind {
            Some(Asked::Acknowledge(acknowledge)) => {
                let stream = acknowledge.stream.parse::<Uuid>();
                let stream = stream.map_err(|_| Status::invalid_argument("`stream` is no UUID"))?;
                if acknowledge.seq > progress.cursor {
                    return Err(Status::invalid_argument(format!(
                        "{} is acknowledged, but only results up to {} were sent",
                        acknowledge.seq, progress.cursor
                    )));
                }
                self.spool.acknowledge(stream, acknowledge.seq).await;
            }
            Some(Asked::Credit(credit)) => {
                progress.credit = progress.credit.saturating_add(credit.batches).min(MAX_CREDIT);
            }
            Some(Asked::Start(_)) => return Err(Status::invalid_argument("a pull has only one `start`")),
            // A kind of message from a newer gateway: what it doesn't know, a reader ignores.
            None => {}
        }
        Ok(())
    }

    /// After the last answer of a poll, the gateway may still acknowledge, until it closes its side.
    async fn hear_the_rest<S>(&self, mut requests: S, mut progress: Progress)
    where
        S: Stream<Item = Result<PullRequest, Status>> + Send + Unpin,
    {
        let deadline = tokio::time::Instant::now() + LAST_WORDS;
        while !progress.asked_all {
            tokio::select! {
                () = self.shutdown.cancelled() => return,
                () = tokio::time::sleep_until(deadline) => return,
                request = requests.next() => if self.hear(request, &mut progress).await.is_err() {
                    return;
                },
            }
        }
    }

    async fn read(&self, progress: &Progress) -> Result<Option<Run>, Status> {
        // A segment may be dropped between the snapshot and its reading; the next snapshot doesn't have it any more.
        const TRIES: usize = 3;
        let (cursor, max_bytes) = (progress.cursor, progress.max_bytes);
        for _ in 0..TRIES {
            let view = self.spool.view();
            if cursor >= view.last_seq() {
                return Ok(None);
            }
            let read = tokio::task::spawn_blocking(move || view.read(cursor, max_bytes));
            match read.await.map_err(|error| Status::internal(error.to_string()))? {
                Ok(run) => return Ok(run),
                Err(error) if error.kind() == io::ErrorKind::NotFound => tokio::task::yield_now().await,
                Err(error) => {
                    events::spool_unreadable(&error);
                    return Err(Status::unavailable(format!("the spool can't be read: {error}")));
                }
            }
        }
        Err(Status::unavailable("the spool is changing; pull again"))
    }
}

fn response(kind: Answered) -> PullResponse {
    PullResponse { kind: Some(kind) }
}
