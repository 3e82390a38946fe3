//! How this agent gets a certificate, the first one or the next: a gateway begins, the agent proves, the gateway hands
//! over what the platform issued, the agent installs it. Enrolment and renewal are the same conversation and differ only
//! in who applies.
//!
//! - [`failure`]: a step that failed, as both sides name it.
//! - [`conversation`]: the conversation.
//! - [`issued`]: what came, made into something that can be verified as a whole.

pub mod conversation;
pub mod failure;
pub mod issued;

use picket_identity::Serial;
use picket_identity::credential::PrivateKey;
use picket_identity::serve::PeerIdentity;
use picket_proto::agent::v1::{IssuedCertificate, StepFailed};

use failure::{CorrelationId, Failure, Origin};

/// What a gateway says.
#[derive(Debug)]
pub enum Asked {
    /// The first message.
    Begin(Begin),
    /// What the platform issued.
    Issued(IssuedCertificate),
    /// The other side gave up.
    Failed(StepFailed),
}

/// How a gateway begins.
#[derive(Debug)]
pub struct Begin {
    /// What both sides call this attempt.
    pub correlation_id: String,
    /// Whom the gateway means, where it has to say so.
    pub spiffe_id: Option<String>,
}

/// What the agent says.
#[derive(Debug)]
pub enum Answered {
    /// The request for a certificate.
    Proof(Proof),
    /// It is installed.
    Installed(Serial),
    /// A step failed.
    Failed(StepFailed),
}

/// A request for a certificate.
#[derive(Debug)]
pub struct Proof {
    /// PKCS #10, DER.
    pub csr: Vec<u8>,
    /// By the activation key; empty where the agent is known already.
    pub signature: Vec<u8>,
}

/// Who applies for a certificate.
pub trait Applicant: Send + Sync + 'static {
    /// What comes in on the wire.
    type Request: Send + 'static;
    /// What goes out.
    type Response: Send + 'static;
    /// For log and metrics.
    const EXCHANGE: &'static str;

    /// Reads a message. `None` is a kind from a newer gateway.
    fn read(request: Self::Request) -> Option<Asked>;

    /// Writes one.
    fn write(answer: Answered) -> Self::Response;

    /// Whether the conversation may begin now, and the key and the proof that it begins with.
    ///
    /// # Errors
    /// Why not.
    fn prove(&self, peer: &PeerIdentity, begin: &Begin) -> Result<(PrivateKey, Proof), Failure>;

    /// Verifies what came and installs it; may block.
    ///
    /// # Errors
    /// What is wrong with it; nothing was changed then.
    fn install(&self, key: &PrivateKey, issued: &IssuedCertificate) -> Result<Serial, Failure>;

    /// A step failed: for people who look on. It is logged in any case.
    fn failed(&self, _peer: &PeerIdentity, _id: &CorrelationId, _failure: &Failure, _origin: Origin) {}
}
