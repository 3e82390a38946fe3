//! Why a certificate isn't issued, in the words that agents, gateways and the platform share.

use std::fmt;

use picket_proto::agent::v1::StepFailed;

/// The step that is the platform's.
const STEP: &str = "issue";

/// The longest name of an attempt that is kept.
const MAX_CORRELATION_ID: usize = 64;

/// A word for logs, metrics, and the other side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cause {
    /// The request can't be used.
    BadCsr,
    /// The proof isn't by an activation key of the agent's.
    BadSignature,
    /// The activation's time ran out.
    ActivationExpired,
    /// The activation was used with another key.
    ActivationReuse,
    /// No such activation, or none any more.
    ActivationUnknown,
    /// The agent awaits nothing like this.
    NotAwaiting,
    /// The gateway doesn't own the agent now.
    NotOwner,
    /// The tenant isn't active.
    TenantSuspended,
    /// No operator approved it.
    NotApproved,
    /// The certificate that the agent was verified by counts no more.
    NotVerified,
    /// What came can't be understood.
    Protocol,
}

impl Cause {
    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BadCsr => "bad_csr",
            Self::BadSignature => "bad_signature",
            Self::ActivationExpired => "activation_expired",
            Self::ActivationReuse => "activation_reuse",
            Self::ActivationUnknown => "activation_unknown",
            Self::NotAwaiting => "not_awaiting",
            Self::NotOwner => "not_owner",
            Self::TenantSuspended => "tenant_suspended",
            Self::NotApproved => "not_approved",
            Self::NotVerified => "not_verified",
            Self::Protocol => "protocol",
        }
    }
}

/// Why no certificate was issued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// A word.
    pub cause: Cause,
    /// For people: what was expected, what was found, what to do.
    pub detail: String,
}

impl Refused {
    /// A refusal.
    #[must_use]
    pub fn new(cause: Cause, detail: impl Into<String>) -> Self {
        Self {
            cause,
            detail: detail.into(),
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.cause.as_str(), self.detail)
    }
}

impl From<Refused> for StepFailed {
    fn from(refused: Refused) -> Self {
        Self {
            step: STEP.to_owned(),
            cause: refused.cause.as_str().to_owned(),
            detail: refused.detail,
        }
    }
}

/// The name of an attempt, as it is logged and kept: what else a peer puts into it is left out.
#[must_use]
pub fn correlation_id(text: &str) -> String {
    text.chars()
        .filter(|letter| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_' | '.'))
        .take(MAX_CORRELATION_ID)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_correlation_id_breaks_no_log_line() {
        assert_eq!(correlation_id("a1-\n\u{1b}[31mb.c_d"), "a1-31mb.c_d");
        assert_eq!(correlation_id(&"x".repeat(1000)).len(), MAX_CORRELATION_ID);
    }
}
