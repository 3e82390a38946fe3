//! `picket.agent.v1.Renewal`: the next certificate, brought by a gateway. The only service of an agent whose certificate has
//! expired.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::Stream;
use picket_identity::Serial;
use picket_identity::bundle::Identity;
use picket_identity::credential::PrivateKey;
use picket_identity::serve::PeerIdentity;
use picket_proto::agent::v1::renew_request::Kind as Said;
use picket_proto::agent::v1::renew_response::Kind as Answer;
use picket_proto::agent::v1::renewal_server::Renewal;
use picket_proto::agent::v1::{Installed, IssuedCertificate, RenewProof, RenewRequest, RenewResponse};
use tokio::sync::{Mutex, OwnedMutexGuard};
use tonic::{Request, Response, Status, Streaming};

use super::authorise::Guard;
use crate::exchange::conversation;
use crate::exchange::failure::{Cause, Failure, Step};
use crate::exchange::{Answered, Applicant, Asked, Begin, Proof, issued};
use crate::identity::IdentityStore;

/// A renewal that is ending gives way to the next one; a second one beside it is sent away.
const TURN: Duration = Duration::from_secs(2);

/// Answers renewals, one at a time.
#[derive(Clone, Debug)]
pub struct RenewalService {
    guard: Guard,
    identity: Arc<IdentityStore>,
    turn: Arc<Mutex<()>>,
}

impl RenewalService {
    /// For the agent of that identity.
    #[must_use]
    pub fn new(guard: Guard, identity: Arc<IdentityStore>) -> Self {
        Self {
            guard,
            identity,
            turn: Arc::default(),
        }
    }
}

#[tonic::async_trait]
impl Renewal for RenewalService {
    type RenewStream = Pin<Box<dyn Stream<Item = Result<RenewResponse, Status>> + Send>>;

    async fn renew(
        &self,
        request: Request<Streaming<RenewRequest>>,
    ) -> Result<Response<Self::RenewStream>, Status> {
        let peer = self.guard.admit_even_expired(request.extensions())?;
        let turn = tokio::time::timeout(TURN, Arc::clone(&self.turn).lock_owned()).await;
        let renewing = Renewing {
            identity: Arc::clone(&self.identity),
            turn: turn.ok(),
        };
        let answers = conversation::answer(Arc::new(renewing), peer, request.into_inner());
        Ok(Response::new(Box::pin(answers)))
    }
}

/// One renewal.
#[derive(Debug)]
struct Renewing {
    identity: Arc<IdentityStore>,
    turn: Option<OwnedMutexGuard<()>>,
}

impl Applicant for Renewing {
    type Request = RenewRequest;
    type Response = RenewResponse;
    const EXCHANGE: &'static str = "renewal";

    fn read(request: RenewRequest) -> Option<Asked> {
        Some(match request.kind? {
            Said::Begin(begin) => Asked::Begin(Begin {
                correlation_id: begin.correlation_id,
                spiffe_id: None,
            }),
            Said::Issued(issued) => Asked::Issued(issued),
            Said::Failed(told) => Asked::Failed(told),
        })
    }

    fn write(answer: Answered) -> RenewResponse {
        let kind = match answer {
            Answered::Proof(proof) => Answer::Proof(RenewProof {
                csr: proof.csr.into(),
            }),
            Answered::Installed(serial) => Answer::Installed(Installed {
                serial: serial.to_string(),
            }),
            Answered::Failed(failed) => Answer::Failed(failed),
        };
        RenewResponse { kind: Some(kind) }
    }

    fn prove(&self, _peer: &PeerIdentity, _begin: &Begin) -> Result<(PrivateKey, Proof), Failure> {
        if self.turn.is_none() {
            let detail = "another renewal of this agent is under way";
            return Err(Failure::new(Step::Proof, Cause::Unavailable, detail));
        }
        // A key is never certified twice: whoever got hold of one has it until its certificate ends, and no longer.
        let key = PrivateKey::generate()?;
        let csr = key.csr(&self.identity.current().identity().id().common_name())?;
        let signature = Vec::new();
        Ok((key, Proof { csr, signature }))
    }

    fn install(&self, key: &PrivateKey, came: &IssuedCertificate) -> Result<Serial, Failure> {
        let make = |current: &Identity, now| issued::next(came, current, now);
        let renewed = self.identity.renew(key, make)?;
        Ok(renewed.identity().verified().serial().clone())
    }
}
