//! Why a certificate wasn't issued, handed over or installed: words that agent, gateway and platform share.

use std::fmt;

macro_rules! causes {
    ($($(#[$doc:meta])* $name:ident = $word:literal),+ $(,)?) => {
        /// Why.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Cause {
            $($(#[$doc])* $name),+
        }

        impl Cause {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// The word for logs, metrics and messages.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $word),+
                }
            }
        }
    };
}

causes! {
    /// The request for a certificate can't be used.
    BadCsr = "bad_csr",
    /// The proof isn't by the activation key, over this connection.
    BadSignature = "bad_signature",
    /// The enrolment file is too old.
    ActivationExpired = "activation_expired",
    /// The enrolment file was used already, with another key.
    ActivationReuse = "activation_reuse",
    /// The platform knows of no such enrolment file.
    ActivationUnknown = "activation_unknown",
    /// The agent, or its registration, awaits nothing of the kind.
    NotAwaiting = "not_awaiting",
    /// Another agent.
    WrongAgent = "wrong_agent",
    /// The gateway doesn't own the agent now.
    NotOwner = "not_owner",
    /// The tenant is suspended.
    TenantSuspended = "tenant_suspended",
    /// No operator has approved the recovery.
    NotApproved = "not_approved",
    /// The certificate that the agent was verified by isn't good.
    NotVerified = "not_verified",
    /// The certificate isn't for the agent's key.
    KeyMismatch = "key_mismatch",
    /// The certificate isn't what the agent expects.
    BadCertificate = "bad_certificate",
    /// What the agent is to trust can't be trusted.
    BadTrust = "bad_trust",
    /// The agent can't write its files.
    Disk = "disk",
    /// One side took too long.
    Timeout = "timeout",
    /// One side can't be asked now.
    Unavailable = "unavailable",
    /// One side said something that doesn't belong there.
    Protocol = "protocol",
}

impl Cause {
    /// What a peer's word means. It says what it likes: what isn't one of the words is never repeated in a metric.
    pub fn from_word(word: &str) -> Self {
        let known = Self::ALL.iter().find(|cause| cause.as_str() == word);
        known.copied().unwrap_or(Self::Protocol)
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_that_nobody_agreed_on_is_a_matter_of_protocol() {
        for cause in Cause::ALL {
            assert_eq!(Cause::from_word(cause.as_str()), *cause);
        }
        assert_eq!(Cause::from_word("\"} 1\nforged_metric 1"), Cause::Protocol);
    }
}
