//! Begin, proof, issued, installed: the same four words for an enrolment and for a renewal, in two languages.

use std::future::Future;
use std::time::Duration;

use picket_identity::Serial;
use picket_identity::profile::Leaf;
use picket_proto::agent::v1::enroll_request::Kind as EnrollAsk;
use picket_proto::agent::v1::enroll_response::Kind as EnrollSaid;
use picket_proto::agent::v1::renew_request::Kind as RenewAsk;
use picket_proto::agent::v1::renew_response::Kind as RenewSaid;
use picket_proto::agent::v1::{
    EnrollRequest, EnrollResponse, IssuedCertificate, RenewRequest, RenewResponse, StepFailed,
};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout, timeout_at};
use tonic::{Code, Status, Streaming};

use super::{Cause, OnIssued, Step, Trouble};
use crate::poll::failure;

/// The agent makes a key, or writes and syncs a few files, within this time.
const ANSWER_DEADLINE: Duration = Duration::from_secs(15);

/// A request is below 1 KiB; what comes from somebody who isn't verified yet is no larger than this.
pub(super) const MAX_MESSAGE: usize = 64 * 1024;

/// Details are for people.
const MAX_DETAIL: usize = 400;

/// A request for a certificate, and the proof that it is the agent's; empty where the connection proves that.
pub(super) struct Proof {
    pub(super) csr: bytes::Bytes,
    pub(super) signature: bytes::Bytes,
}

/// What an agent says.
pub(super) enum Said {
    Proof(Proof),
    Installed(String),
    Failed(StepFailed),
}

/// The messages of one of the two calls.
pub(super) trait Language {
    type Request: Send + 'static;
    type Response: Send + 'static;

    fn issued(issued: IssuedCertificate) -> Self::Request;
    fn failed(failed: StepFailed) -> Self::Request;
    /// `None` for a kind of message that is newer than this gateway.
    fn said(response: Self::Response) -> Option<Said>;
}

/// Enrolment's.
pub(super) struct Enrolling;

impl Language for Enrolling {
    type Request = EnrollRequest;
    type Response = EnrollResponse;

    fn issued(issued: IssuedCertificate) -> EnrollRequest {
        EnrollRequest {
            kind: Some(EnrollAsk::Issued(issued)),
        }
    }

    fn failed(failed: StepFailed) -> EnrollRequest {
        EnrollRequest {
            kind: Some(EnrollAsk::Failed(failed)),
        }
    }

    fn said(response: EnrollResponse) -> Option<Said> {
        Some(match response.kind? {
            EnrollSaid::Proof(proof) => Said::Proof(Proof {
                csr: proof.csr,
                signature: proof.signature,
            }),
            EnrollSaid::Installed(installed) => Said::Installed(installed.serial),
            EnrollSaid::Failed(failed) => Said::Failed(failed),
        })
    }
}

/// Renewal's.
pub(super) struct Renewing;

impl Language for Renewing {
    type Request = RenewRequest;
    type Response = RenewResponse;

    fn issued(issued: IssuedCertificate) -> RenewRequest {
        RenewRequest {
            kind: Some(RenewAsk::Issued(issued)),
        }
    }

    fn failed(failed: StepFailed) -> RenewRequest {
        RenewRequest {
            kind: Some(RenewAsk::Failed(failed)),
        }
    }

    fn said(response: RenewResponse) -> Option<Said> {
        Some(match response.kind? {
            RenewSaid::Proof(proof) => Said::Proof(Proof {
                csr: proof.csr,
                signature: bytes::Bytes::new(),
            }),
            RenewSaid::Installed(installed) => Said::Installed(installed.serial),
            RenewSaid::Failed(failed) => Said::Failed(failed),
        })
    }
}

/// A call that has been begun.
pub(super) struct Exchange<L: Language> {
    outbound: mpsc::Sender<L::Request>,
    inbound: Streaming<L::Response>,
}

impl<L: Language> Exchange<L> {
    pub(super) fn new(outbound: mpsc::Sender<L::Request>, inbound: Streaming<L::Response>) -> Self {
        Self { outbound, inbound }
    }

    /// Goes through the rest of it: takes the agent's proof, has a certificate issued for it by `issue`, hands it over, and
    /// hears that it is installed. `on_issued` learns the serial number before the agent does.
    ///
    /// A refusal by the platform is handed to the agent: whoever stands beside it reads there why.
    pub(super) async fn conclude<F>(
        mut self,
        issue: impl FnOnce(Proof) -> F,
        on_issued: OnIssued<'_>,
    ) -> Result<Serial, Trouble>
    where
        F: Future<Output = Result<IssuedCertificate, Trouble>>,
    {
        let proof = match self.hear(Step::Proof).await? {
            Said::Proof(proof) => proof,
            Said::Failed(failed) => return Err(said_by_agent(Step::Proof, &failed)),
            Said::Installed(_) => return Err(out_of_turn(Step::Proof, "it has installed a certificate")),
        };
        let outcome = issue(proof).await.and_then(|issued| {
            let serial = serial_of(&issued)?;
            Ok((issued, serial))
        });
        let (issued, serial) = match outcome {
            Ok(issued) => issued,
            Err(trouble) => {
                self.tell(&trouble).await;
                return Err(trouble);
            }
        };
        on_issued(&serial);
        self.say(L::issued(issued)).await;
        let installed = match self.hear(Step::Install).await? {
            Said::Installed(installed) => installed,
            Said::Failed(failed) => return Err(said_by_agent(Step::Install, &failed)),
            Said::Proof(_) => return Err(out_of_turn(Step::Install, "it sends another request")),
        };
        self.close().await;
        if installed != serial.to_string() {
            let detail = format!(
                "it says that it has installed certificate `{}`, expected {serial}",
                shown(&installed)
            );
            return Err(Trouble::new(Step::Install, Cause::Protocol, detail));
        }
        Ok(serial)
    }

    async fn hear(&mut self, step: Step) -> Result<Said, Trouble> {
        loop {
            let message = timeout(ANSWER_DEADLINE, self.inbound.message())
                .await
                .map_err(|_| silent(step))?
                .map_err(|status| of_call(step, &status))?;
            let Some(response) = message else {
                let detail = "it ended the call without another word";
                return Err(Trouble::new(step, Cause::Protocol, detail));
            };
            if let Some(said) = L::said(response) {
                return Ok(said);
            }
        }
    }

    async fn say(&mut self, request: L::Request) {
        // An agent that has closed its side says why, or says nothing: that is heard next.
        let _ = timeout(ANSWER_DEADLINE, self.outbound.send(request)).await;
    }

    async fn tell(mut self, trouble: &Trouble) {
        let failed = StepFailed {
            step: trouble.step.as_str().to_owned(),
            cause: trouble.failure.cause.to_string(),
            detail: trouble.failure.detail.clone(),
        };
        self.say(L::failed(failed)).await;
        self.close().await;
    }

    /// Ends our side, and waits until the agent has read it: the last word would be lost in a reset.
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

fn serial_of(issued: &IssuedCertificate) -> Result<Serial, Trouble> {
    let leaf = Leaf::parse(&issued.leaf).map_err(|error| {
        let detail = format!("the platform sent something that is no certificate of ours: {error}");
        Trouble::new(Step::Issue, Cause::BadCertificate, detail)
    })?;
    Ok(leaf.serial)
}

/// What the agent, or the platform, says of a step that failed: its words, bounded and escaped.
pub(super) fn said(step: Step, who: &str, failed: &StepFailed) -> Trouble {
    let detail = format!("{who}: {}", shown(&failed.detail));
    Trouble::new(step, Cause::from_word(&failed.cause), detail)
}

fn said_by_agent(step: Step, failed: &StepFailed) -> Trouble {
    said(step, "the agent", failed)
}

fn out_of_turn(step: Step, what: &str) -> Trouble {
    Trouble::new(step, Cause::Protocol, format!("out of turn: {what}"))
}

fn silent(step: Step) -> Trouble {
    let detail = format!("the agent gave no answer within {} s", ANSWER_DEADLINE.as_secs());
    Trouble::new(step, Cause::Timeout, detail)
}

/// What a failed call to the agent says.
pub(super) fn of_call(step: Step, status: &Status) -> Trouble {
    let mut trouble = match failure::of_error(status) {
        Some(failure) => Trouble::of(step, failure),
        None => {
            let detail = format!("the agent: {:?}: {}", status.code(), shown(status.message()));
            let cause = match status.code() {
                // It is no agent that awaits this, or an older one.
                Code::Unimplemented | Code::FailedPrecondition => Cause::NotAwaiting,
                Code::DeadlineExceeded => Cause::Timeout,
                Code::Unavailable | Code::Cancelled => Cause::Unavailable,
                _ => Cause::Protocol,
            };
            Trouble::new(step, cause, detail)
        }
    };
    trouble.is_silence = matches!(step, Step::Proof | Step::Update)
        && matches!(status.code(), Code::Unavailable | Code::Cancelled | Code::Unknown);
    trouble
}

/// A peer's words, for people.
pub(super) fn shown(text: &str) -> String {
    text.chars()
        .take(MAX_DETAIL)
        .flat_map(|letter| {
            let is_harmless = !letter.is_control();
            let plain = is_harmless.then_some(letter);
            let escaped = (!is_harmless).then(|| letter.escape_default());
            plain.into_iter().chain(escaped.into_iter().flatten())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peers_words_are_bounded_and_break_no_line() {
        assert_eq!(
            shown("größer\nforged=1\u{1b}[31m"),
            "größer\\nforged=1\\u{1b}[31m"
        );
        assert_eq!(shown(&"x".repeat(10_000)).len(), MAX_DETAIL);
    }

    #[test]
    fn a_call_that_the_agent_does_not_serve_means_that_it_awaits_nothing() {
        for code in [Code::Unimplemented, Code::FailedPrecondition] {
            let trouble = of_call(Step::Proof, &Status::new(code, "no"));
            assert_eq!(trouble.failure.cause.as_str(), "not_awaiting");
            assert!(!trouble.is_silence);
        }
    }
}
