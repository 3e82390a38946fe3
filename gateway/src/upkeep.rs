//! What an agent's identity needs for its whole life, beside the polls: its first certificate, the next one, one after it
//! has expired, and the newest word on what to trust.
//!
//! The agent never dials anybody, so all of it is brought by the gateway. Nothing here decides who gets a certificate:
//! the platform does, and the agent verifies what it is given. Nothing here ever fails, delays or ends a poll.
//!
//! - [`plan`]: what is needed, and when. Pure.
//! - [`exchange`]: begin, proof, issued, installed.
//! - [`enrollment`], [`renewal`]: the exchanges with an agent that awaits enrolment, and with one that has a certificate.
//! - [`courier`]: what agents are to trust.
//! - [`issuer`]: the platform, asked for certificates.
//! - [`cause`]: the words for what goes wrong.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use picket_identity::Serial;
use uuid::Uuid;

use crate::reachability::{self, Failure};

pub mod cause;
pub(crate) mod courier;
pub(crate) mod enrollment;
pub(crate) mod exchange;
pub mod issuer;
pub mod plan;
pub(crate) mod renewal;

pub use cause::Cause;
pub use plan::Need;

/// At which step something went wrong: the words of the exchange, and what comes before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The connection to the agent.
    Dial,
    /// The agent's request for a certificate.
    Proof,
    /// The platform's answer.
    Issue,
    /// The agent's installation.
    Install,
    /// The agent's answer to an update of what to trust.
    Update,
}

impl Step {
    /// The word for logs and for the other side.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Dial => "dial",
            Self::Proof => "proof",
            Self::Issue => "issue",
            Self::Install => "install",
            Self::Update => "update",
        }
    }
}

/// What went wrong, and at which step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Trouble {
    pub(crate) step: Step,
    pub(crate) failure: Failure,
    /// The connection broke before the agent said anything on it: a kept one may just have been dead.
    pub(crate) is_silence: bool,
}

impl Trouble {
    pub(crate) fn new(step: Step, cause: Cause, detail: impl Into<String>) -> Self {
        Self::of(step, Failure::new(reachability::Cause::Upkeep(cause), detail))
    }

    pub(crate) fn of(step: Step, failure: Failure) -> Self {
        Self {
            step,
            failure,
            is_silence: false,
        }
    }
}

/// One try, by the name that both sides log it under.
#[derive(Clone, Debug)]
pub(crate) struct Attempt {
    pub(crate) correlation_id: Arc<str>,
    /// From the moment at which the platform is asked: what was issued ought to be handed over.
    issuing: Arc<AtomicBool>,
}

impl Attempt {
    pub(crate) fn new() -> Self {
        Self {
            correlation_id: Uuid::new_v4().to_string().into(),
            issuing: Arc::default(),
        }
    }

    pub(crate) fn begins_to_issue(&self) {
        self.issuing.store(true, Ordering::Relaxed);
    }

    /// Whether ending it now could lose a certificate that was issued already.
    pub(crate) fn is_issuing(&self) -> bool {
        self.issuing.load(Ordering::Relaxed)
    }
}

/// Takes note of a serial number between its issue and its handing over: from then on the agent may show it.
pub(crate) type OnIssued<'a> = &'a (dyn Fn(&Serial) + Send + Sync);
