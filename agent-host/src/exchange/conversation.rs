//! The conversation of one attempt.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{Stream, StreamExt};
use picket_identity::serve::PeerIdentity;
use picket_proto::agent::v1::StepFailed;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::failure::{Cause, CorrelationId, Failure, Origin, Step};
use super::{Answered, Applicant, Asked, Begin};
use crate::internal_events as events;

/// A gateway calls in order to begin.
const BEGIN: Duration = Duration::from_secs(10);
/// A gateway takes what it is answered.
const HEAR: Duration = Duration::from_secs(10);
/// The gateway asks the platform, which may have to be found again first.
const ISSUE: Duration = Duration::from_secs(120);

/// Answers one gateway's messages until the certificate is installed, or a step fails.
pub fn answer<A: Applicant, S>(
    applicant: Arc<A>,
    peer: PeerIdentity,
    requests: S,
) -> impl Stream<Item = Result<A::Response, Status>> + Send + use<A, S>
where
    S: Stream<Item = Result<A::Request, Status>> + Send + Unpin + 'static,
{
    let (answers, receiver) = mpsc::channel(1);
    tokio::spawn(async move {
        let mut conversation = Conversation {
            applicant,
            peer,
            requests,
            answers,
            id: CorrelationId::none(),
        };
        match conversation.converse().await {
            Ok(()) => {}
            Err(Ended::Agent(failure)) => {
                conversation.tell(&failure, Origin::Agent);
                conversation.say(Answered::Failed(failure.to_wire())).await;
            }
            Err(Ended::Gateway(failure)) => conversation.tell(&failure, Origin::Gateway),
        }
    });
    ReceiverStream::new(receiver)
}

struct Conversation<A: Applicant, S> {
    applicant: Arc<A>,
    peer: PeerIdentity,
    requests: S,
    answers: mpsc::Sender<Result<A::Response, Status>>,
    id: CorrelationId,
}

/// Who ended it, and why.
enum Ended {
    Agent(Failure),
    Gateway(Failure),
}

impl From<Failure> for Ended {
    fn from(failure: Failure) -> Self {
        Self::Agent(failure)
    }
}

impl<A: Applicant, S> Conversation<A, S>
where
    S: Stream<Item = Result<A::Request, Status>> + Send + Unpin + 'static,
{
    async fn converse(&mut self) -> Result<(), Ended> {
        let begin = match self.hear(Step::Proof, BEGIN).await? {
            Asked::Begin(begin) => begin,
            Asked::Failed(told) => return Err(gave_up(&told)),
            Asked::Issued(_) => return Err(out_of_turn(Step::Proof, "`begin`", "`issued`").into()),
        };
        self.id = CorrelationId::parse(&begin.correlation_id)?;
        let (key, proof) = self.prove(&begin)?;
        self.say(Answered::Proof(proof)).await;
        let issued = match self.hear(Step::Issue, ISSUE).await? {
            Asked::Issued(issued) => issued,
            Asked::Failed(told) => return Err(gave_up(&told)),
            Asked::Begin(_) => {
                return Err(out_of_turn(Step::Issue, "`issued`", "`begin`, once more").into());
            }
        };
        let applicant = Arc::clone(&self.applicant);
        let installing = tokio::task::spawn_blocking(move || applicant.install(&key, &issued));
        let serial = installing.await.map_err(|crashed| {
            Failure::new(
                Step::Install,
                Cause::Disk,
                format!("installing crashed: {crashed}"),
            )
        })??;
        events::certificate_installed(A::EXCHANGE, &self.id, &self.gateway(), &serial);
        self.say(Answered::Installed(serial)).await;
        Ok(())
    }

    fn prove(
        &self,
        begin: &Begin,
    ) -> Result<(picket_identity::credential::PrivateKey, super::Proof), Failure> {
        events::certificate_asked_for(A::EXCHANGE, &self.id, &self.gateway());
        self.applicant.prove(&self.peer, begin)
    }

    /// The next message of a kind that is known.
    async fn hear(&mut self, step: Step, within: Duration) -> Result<Asked, Failure> {
        let deadline = tokio::time::Instant::now() + within;
        loop {
            let heard = tokio::time::timeout_at(deadline, self.requests.next()).await;
            let went = |words: String| Failure::new(step, Cause::Unavailable, words);
            let request = match heard {
                Err(_) => {
                    let detail = format!("the gateway said nothing for {} s", within.as_secs());
                    return Err(Failure::new(step, Cause::Timeout, detail));
                }
                Ok(None) => return Err(went("the gateway ended the call too early".to_owned())),
                Ok(Some(Err(status))) => {
                    return Err(went(format!("the call broke off: {}", status.code())));
                }
                Ok(Some(Ok(request))) => request,
            };
            if let Some(asked) = A::read(request) {
                return Ok(asked);
            }
        }
    }

    /// A gateway that has gone away, or doesn't listen, hears nothing more; what it doesn't know then, it asks for again.
    async fn say(&mut self, answer: Answered) {
        let said = self.answers.send(Ok(A::write(answer)));
        let _ = tokio::time::timeout(HEAR, said).await;
    }

    fn tell(&self, failure: &Failure, origin: Origin) {
        events::step_failed(A::EXCHANGE, &self.id, &self.gateway(), failure, origin);
        self.applicant.failed(&self.peer, &self.id, failure, origin);
    }

    fn gateway(&self) -> String {
        self.peer.id().to_string()
    }
}

fn gave_up(told: &StepFailed) -> Ended {
    Ended::Gateway(Failure::from_wire(told))
}

fn out_of_turn(step: Step, expected: &str, got: &str) -> Failure {
    let detail = format!("the gateway sent {got}: expected {expected}");
    Failure::new(step, Cause::Protocol, detail)
}
