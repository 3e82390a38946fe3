//! One poll of one agent: pull what follows the platform's cursor, hand each batch on, acknowledge what is committed.
//!
//! One batch at a time: the next is already on its way (credit), but isn't handed on before the one before it has been
//! answered. A batch is acknowledged only after the platform has said that it is committed.

use std::sync::Arc;
use std::time::Duration;

use picket_identity::verify::Reason;
use picket_proto::agent::v1::pull_request::Kind as Request;
use picket_proto::agent::v1::pull_response::Kind as Response;
use picket_proto::agent::v1::{
    PullAcknowledge, PullCredit, PullIdle, PullRequest, PullResponse, PullStart, SealedBatch,
};
use picket_proto::platform::v1::{SubmitOutcome, SubmitRequest, SubmitResponse};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use super::connection::{Connection, Facts, Wire};
use super::failure;
use super::frame::{self, Frame};
use super::line::Line;
use crate::assignment::{Assigned, Cursor};
use crate::clock::{BootTime, unix_ms};
use crate::credentials::TenantCredential;
use crate::ingest::Ingest;
use crate::lease::Fence;
use crate::reachability::{Cause, Failure};
use crate::telemetry;
use crate::upkeep::issuer::Issuer;
use crate::upkeep::plan::Certificate;

/// The agent answers each step of a call within this time.
pub(crate) const CALL_DEADLINE: Duration = Duration::from_secs(10);

/// The largest payload asked for. The platform flushes its lanes at as much.
pub(crate) const MAX_PAYLOAD: usize = 256 * 1024;

/// One batch is being committed while the next is on its way.
const CREDIT: u32 = 2;

/// A long backlog gives its place to others after this time, and goes on a little later.
const ROUND_BUDGET: Duration = Duration::from_secs(30);

/// A cursor that moves under the poll (another gateway pulls too) is followed so often.
const MAX_RESTARTS: u32 = 3;

/// What became of a poll.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All that the agent had is committed; `more` where the round's time was up before that.
    Reached {
        /// Whether the agent has more.
        more: bool,
    },
    /// The agent can't be reached, or isn't the one that was expected, or breaks the protocol.
    AgentFailed(Failure),
    /// The agent answers, but the platform can't take its results now.
    PlatformBusy(String),
    /// The platform says that another gateway owns the agent.
    NotOurs,
    /// The lease has run out.
    Fenced,
    /// There is no client certificate for the tenant yet.
    NoCredential,
}

impl Outcome {
    /// A word for logs and metrics.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Reached { .. } => "ok",
            Self::AgentFailed(failure) => failure.cause.as_str(),
            Self::PlatformBusy(_) => "platform_busy",
            Self::NotOurs => "not_ours",
            Self::Fenced => "fenced",
            Self::NoCredential => "no_credential",
        }
    }
}

/// What all polls of a session share.
#[derive(Clone, Debug)]
pub struct Shared {
    /// The session's instance name.
    pub instance: Arc<str>,
    /// The way to the platform.
    pub ingest: Ingest,
    /// Whether the gateway may act.
    pub fence: Fence,
    /// Dials in flight.
    pub dials: Arc<Semaphore>,
    /// Who issues certificates.
    pub issuer: Issuer,
}

/// One poll to be done.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) assigned: Arc<Assigned>,
    pub(super) cursor: Cursor,
    pub(super) credential: Arc<TenantCredential>,
    pub(super) kept: Option<Connection>,
    pub(super) line: Arc<Line>,
    pub(super) shared: Shared,
}

/// A poll that has been done.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) outcome: Outcome,
    pub(super) cursor: Cursor,
    pub(super) connection: Option<Connection>,
    pub(super) facts: Option<Facts>,
    pub(super) seen: Option<Seen>,
}

/// The certificate by which the agent was verified, and the trust statement that it goes by.
pub(super) type Seen = (Certificate, u64);

pub(super) fn seen(wire: &Wire) -> Seen {
    let verified = wire.verified();
    let certificate = Certificate {
        serial: verified.serial().clone(),
        not_before_unix_s: verified.not_before().as_secs(),
        not_after_unix_s: verified.not_after().as_secs(),
    };
    (certificate, wire.trust_sequence())
}

/// Why a round ended early.
enum Stop {
    /// The connection may still be good.
    Outcome(Outcome),
    /// It isn't.
    Broken(Outcome),
    /// It broke before the agent said anything.
    Stale(Failure),
}

pub(super) async fn poll(mut job: Job) -> Report {
    let mut cursor = job.cursor.clone();
    // A kept connection may have died since the last poll without anybody noticing: that says nothing about the agent.
    if let Some(kept) = job
        .kept
        .take()
        .filter(|kept| kept.wire().is_current(&job.credential))
    {
        job.line.polls(kept.wire(), &job.assigned);
        let (kept, stop) = run(&job, kept, &mut cursor).await;
        match stop {
            Some(Stop::Stale(_)) => {}
            stop => return finish(kept, cursor, stop),
        }
    }
    job.line.dials();
    let connection = match dial(&job).await {
        Ok(connection) => connection,
        Err(failure) => {
            return Report {
                outcome: Outcome::AgentFailed(failure),
                cursor,
                connection: None,
                facts: None,
                seen: None,
            };
        }
    };
    let (connection, stop) = run(&job, connection, &mut cursor).await;
    finish(connection, cursor, stop)
}

async fn dial(job: &Job) -> Result<Connection, Failure> {
    let open = |expected: Arc<Assigned>| async move {
        let opened = Connection::open(&expected, &job.credential, &job.shared.dials).await;
        opened.inspect(|connection| job.line.polls(connection.wire(), &expected))
    };
    let expected = job.line.expected();
    let opened = open(Arc::clone(&expected)).await;
    let is_revoked = matches!(&opened, Err(failure) if failure.cause == Cause::Identity(Reason::Revoked));
    let newest = job.line.expected();
    // The agent may have been given its next certificate while it was being dialled.
    if is_revoked && newest.active_serials != expected.active_serials {
        return open(newest).await;
    }
    opened
}

fn finish(connection: Connection, cursor: Cursor, stop: Option<Stop>) -> Report {
    let facts = Some(connection.facts().clone());
    let seen = Some(seen(connection.wire()));
    let (outcome, keep) = match stop {
        None => (Outcome::Reached { more: false }, true),
        Some(Stop::Outcome(outcome)) => (outcome, true),
        Some(Stop::Broken(outcome)) => (outcome, false),
        Some(Stop::Stale(failure)) => (Outcome::AgentFailed(failure), false),
    };
    Report {
        outcome,
        cursor,
        connection: keep.then_some(connection),
        facts,
        seen,
    }
}

async fn run(job: &Job, mut connection: Connection, cursor: &mut Cursor) -> (Connection, Option<Stop>) {
    let ends_at = Instant::now() + ROUND_BUDGET;
    let mut asked = cursor.clone();
    for _ in 0..=MAX_RESTARTS {
        asked.clone_from(cursor);
        let mut pull = match Pull::open(&mut connection, cursor).await {
            Ok(pull) => pull,
            Err(stop) => return (connection, Some(stop)),
        };
        match pull.drain(job, &mut connection, cursor, ends_at).await {
            Ok(End::Drained) => {
                pull.close().await;
                return (connection, None);
            }
            Ok(End::OutOfTime) => {
                pull.close().await;
                return (connection, Some(Stop::Outcome(Outcome::Reached { more: true })));
            }
            Ok(End::Restart) => {}
            Err(stop) => return (connection, Some(stop)),
        }
    }
    if asked == *cursor {
        let detail = format!(
            "its batches don't follow the cursor that was asked for (stream `{}`, sequence number {})",
            cursor.stream, cursor.committed_seq
        );
        let failure = Failure::new(Cause::Protocol, detail);
        return (connection, Some(Stop::Broken(Outcome::AgentFailed(failure))));
    }
    // Whoever else moves the cursor is pulling this agent too, and the results arrive.
    (connection, Some(Stop::Outcome(Outcome::Reached { more: true })))
}

enum End {
    Drained,
    OutOfTime,
    Restart,
}

struct Pull {
    outbound: mpsc::Sender<PullRequest>,
    inbound: Streaming<PullResponse>,
}

impl Pull {
    async fn open(connection: &mut Connection, cursor: &Cursor) -> Result<Self, Stop> {
        let is_kept = connection.is_kept();
        // Start, then an acknowledgement and a credit for each batch: never more than a few at once.
        let (outbound, requests) = mpsc::channel(8);
        let pull = Self::start(outbound, requests, connection, cursor).await;
        pull.map_err(|failure| match is_kept {
            true => Stop::Stale(failure),
            false => Stop::Broken(Outcome::AgentFailed(failure)),
        })
    }

    async fn start(
        outbound: mpsc::Sender<PullRequest>,
        requests: mpsc::Receiver<PullRequest>,
        connection: &mut Connection,
        cursor: &Cursor,
    ) -> Result<Self, Failure> {
        let start = Request::Start(PullStart {
            stream: cursor.stream.clone(),
            committed_seq: cursor.committed_seq,
            follow: false,
            credit: CREDIT,
            max_batch_bytes: u32::try_from(MAX_PAYLOAD).unwrap_or(u32::MAX),
        });
        // The channel is empty: this doesn't wait.
        let _ = outbound.send(PullRequest { kind: Some(start) }).await;
        let call = connection.client().pull(ReceiverStream::new(requests));
        let inbound = timeout(CALL_DEADLINE, call)
            .await
            .map_err(|_| failure::no_answer("Pull", CALL_DEADLINE))?
            .map_err(|status| failure::of_call("Pull", &status))?
            .into_inner();
        Ok(Self { outbound, inbound })
    }

    async fn receive(&mut self) -> Result<Option<Response>, Stop> {
        let broken = |failure| Stop::Broken(Outcome::AgentFailed(failure));
        loop {
            let message = timeout(CALL_DEADLINE, self.inbound.message())
                .await
                .map_err(|_| broken(failure::no_answer("Pull", CALL_DEADLINE)))?
                .map_err(|status| broken(failure::of_call("Pull", &status)))?;
            match message {
                None => return Ok(None),
                Some(PullResponse { kind: Some(kind) }) => return Ok(Some(kind)),
                // A kind of message that is newer than this gateway.
                Some(PullResponse { kind: None }) => {}
            }
        }
    }

    async fn drain(
        &mut self,
        job: &Job,
        connection: &mut Connection,
        cursor: &mut Cursor,
        ends_at: Instant,
    ) -> Result<End, Stop> {
        loop {
            match self.receive().await? {
                None => return Ok(End::Drained),
                Some(Response::Idle(idle)) => {
                    note_idle(connection, &idle);
                    return Ok(End::Drained);
                }
                Some(Response::Batch(batch)) => {
                    if !self.hand_on(job, connection, batch, cursor).await? {
                        return Ok(End::Restart);
                    }
                }
            }
            if Instant::now() >= ends_at {
                return Ok(End::OutOfTime);
            }
            self.say(Request::Credit(PullCredit { batches: 1 })).await?;
        }
    }

    /// Hands one batch to the platform; false where the pull must start again from another cursor.
    async fn hand_on(
        &mut self,
        job: &Job,
        connection: &Connection,
        batch: SealedBatch,
        cursor: &mut Cursor,
    ) -> Result<bool, Stop> {
        let frame = frame::check(&batch, connection.verified().id(), MAX_PAYLOAD).map_err(|error| {
            telemetry::batch_refused(&job.assigned.key, &error);
            Stop::Broken(Outcome::AgentFailed(Failure::new(
                error.cause(),
                error.to_string(),
            )))
        })?;
        let answer = submit(job, batch).await?;
        self.settle(job, &frame, answer, cursor).await
    }

    async fn settle(
        &mut self,
        job: &Job,
        frame: &Frame,
        answer: SubmitResponse,
        cursor: &mut Cursor,
    ) -> Result<bool, Stop> {
        let outcome = answer.outcome();
        telemetry::submitted(word(outcome));
        let platform = Cursor {
            stream: answer.stream,
            committed_seq: answer.committed_seq,
        };
        match outcome {
            SubmitOutcome::Committed | SubmitOutcome::Duplicate => {
                if outcome == SubmitOutcome::Committed {
                    telemetry::batch_committed(frame.results, frame.bytes);
                }
                let is_same_stream = platform.stream == frame.stream;
                // Another gateway may have taken more of this stream meanwhile: what comes next would be a duplicate.
                let is_ahead = is_same_stream && platform.committed_seq > frame.last_seq;
                if is_same_stream {
                    // What the agent may let go of is what the platform says, as far as this pull has brought it.
                    let seq = platform.committed_seq.min(frame.last_seq);
                    let stream = frame.stream.clone();
                    self.say(Request::Acknowledge(PullAcknowledge { stream, seq }))
                        .await?;
                }
                *cursor = platform;
                Ok(!is_ahead)
            }
            SubmitOutcome::Gap => {
                *cursor = platform;
                Ok(false)
            }
            SubmitOutcome::Stale => Err(Stop::Outcome(Outcome::NotOurs)),
            SubmitOutcome::Refused => {
                telemetry::results_refused(&job.assigned.key, &answer.detail);
                let failure = Failure::new(Cause::ResultsRefused, answer.detail);
                Err(Stop::Broken(Outcome::AgentFailed(failure)))
            }
            SubmitOutcome::Unavailable | SubmitOutcome::Unspecified => {
                Err(Stop::Broken(Outcome::PlatformBusy(answer.detail)))
            }
        }
    }

    async fn say(&mut self, kind: Request) -> Result<(), Stop> {
        let said = self.outbound.send(PullRequest { kind: Some(kind) });
        match timeout(CALL_DEADLINE, said).await {
            // An agent that has closed its side needs no more of ours; what it still has to say is read next.
            Ok(_) => Ok(()),
            Err(_) => {
                let failure = failure::no_answer("Pull", CALL_DEADLINE);
                Err(Stop::Broken(Outcome::AgentFailed(failure)))
            }
        }
    }

    /// Ends our side, and waits until the agent has read it: the last acknowledgement would be lost in a reset.
    async fn close(self) {
        const GOODBYE: Duration = Duration::from_secs(2);
        let Self {
            outbound,
            mut inbound,
        } = self;
        drop(outbound);
        let ends_at = Instant::now() + GOODBYE;
        while let Ok(Ok(Some(_))) = timeout_at(ends_at, inbound.message()).await {}
    }
}

async fn submit(job: &Job, batch: SealedBatch) -> Result<SubmitResponse, Stop> {
    // The last look at the fence before anything leaves in this gateway's name.
    if !job.shared.fence.may_act(BootTime::now()) {
        return Err(Stop::Broken(Outcome::Fenced));
    }
    let request = SubmitRequest {
        id: 0,
        tenant: job.assigned.key.tenant.to_string(),
        agent: job.assigned.key.agent.to_string(),
        shard: job.assigned.shard,
        epoch: job.assigned.epoch,
        instance: job.shared.instance.to_string(),
        batch: Some(batch),
    };
    job.shared.ingest.submit(request).await.map_err(|error| {
        telemetry::submitted("unanswered");
        Stop::Broken(Outcome::PlatformBusy(error.to_string()))
    })
}

fn note_idle(connection: &mut Connection, idle: &PullIdle) {
    connection.note(idle.now_unix_ms, unix_ms(), idle.spool.clone());
}

const fn word(outcome: SubmitOutcome) -> &'static str {
    match outcome {
        SubmitOutcome::Unspecified => "unspecified",
        SubmitOutcome::Committed => "committed",
        SubmitOutcome::Duplicate => "duplicate",
        SubmitOutcome::Gap => "gap",
        SubmitOutcome::Stale => "stale",
        SubmitOutcome::Refused => "refused",
        SubmitOutcome::Unavailable => "unavailable",
    }
}
