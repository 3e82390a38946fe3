//! A step that failed, and why: the same words in the log of both sides.

use std::fmt;

use picket_identity::bundle::BundleError;
use picket_identity::credential::CredentialError;
use picket_identity::store::StoreError;
use picket_identity::trust_update::TrustUpdateError;
use picket_proto::agent::v1::StepFailed;

use crate::identity::IdentityError;

/// More of another program's words fills logs and explains nothing.
const LONGEST_DETAIL: usize = 500;

/// A step of the conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The agent says who it is, and for which key it wants a certificate.
    Proof,
    /// The platform issues it.
    Issue,
    /// The agent installs it.
    Install,
}

impl Step {
    /// As on the wire and in the log.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Proof => "proof",
            Self::Issue => "issue",
            Self::Install => "install",
        }
    }

    fn from_wire(text: &str) -> Self {
        match text {
            "proof" => Self::Proof,
            "install" => Self::Install,
            // Between the two others, the gateway's own steps.
            _ => Self::Issue,
        }
    }
}

macro_rules! causes {
    ($($(#[$doc:meta])* $name:ident = $word:literal, $advice:literal;)*) => {
        /// Why a step failed. Agents, gateways and the platform use the same words.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Cause {
            $($(#[$doc])* $name,)*
        }

        impl Cause {
            /// Every cause.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// As on the wire and in the log.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $word,)* }
            }

            /// What whoever looks after the agent can do about it.
            #[must_use]
            pub fn advice(self) -> &'static str {
                match self { $(Self::$name => $advice,)* }
            }
        }
    };
}

causes! {
    /// The request can't be read, or its own signature is wrong.
    BadCsr = "bad_csr", "update agent-host: the platform can't read its request";
    /// The proof isn't by the activation key, or not for this connection.
    BadSignature = "bad_signature",
        "use the newest .enroll file of this agent; where it is the newest, somebody may sit between agent and gateway";
    /// The activation key is too old.
    ActivationExpired = "activation_expired",
        "have the platform's operator make a new file: platform agent add --replace";
    /// The activation was used by another key.
    ActivationReuse = "activation_reuse",
        "somebody has enrolled with this file already: where that wasn't you, tell the platform's operator at once, who makes a new file with platform agent add --replace";
    /// The platform knows no such activation.
    ActivationUnknown = "activation_unknown",
        "use the newest .enroll file of this agent; platform agent add --replace makes a new one";
    /// Nobody waits for an enrolment, or not any more.
    NotAwaiting = "not_awaiting",
        "nothing to do where the agent is enrolled; else the platform's operator runs platform agent add --replace";
    /// Another agent is meant.
    WrongAgent = "wrong_agent",
        "check the agent's endpoint at the platform: the gateway looked for another agent here";
    /// The gateway doesn't own the agent.
    NotOwner = "not_owner", "nothing: the gateway that owns this agent will come";
    /// The tenant is suspended.
    TenantSuspended = "tenant_suspended", "ask the platform's operator, who has suspended this tenant";
    /// An operator has to approve it.
    NotApproved = "not_approved", "have the platform's operator run platform agent approve";
    /// The gateway couldn't verify the agent.
    NotVerified = "not_verified", "look at agent-host cert show, and ask the platform's operator";
    /// The certificate is for another key.
    KeyMismatch = "key_mismatch", "the gateway tries again; where that doesn't help, tell the platform's operator";
    /// The certificate isn't good.
    BadCertificate = "bad_certificate",
        "check this machine's clock; where it is right, tell the platform's operator";
    /// What the agent is to trust isn't the platform's word, or is older than what it knows.
    BadTrust = "bad_trust", "tell the platform's operator; agents trust only what their platform CA has signed";
    /// It can't be written.
    Disk = "disk", "look at identity_dir of agent.toml: its room, its owner, its mode (0700)";
    /// The other side took too long.
    Timeout = "timeout", "nothing: the gateway tries again";
    /// The other side went away, or isn't ready.
    Unavailable = "unavailable", "nothing: the gateway tries again";
    /// The other side broke the rules of the conversation.
    Protocol = "protocol", "agent host and gateway may be of versions that don't fit; update the older one";
}

impl Cause {
    /// A word that this version doesn't know comes from a newer one: the conversation broke down.
    fn from_wire(text: &str) -> Self {
        let known = Self::ALL.iter().find(|cause| cause.as_str() == text);
        known.copied().unwrap_or(Self::Protocol)
    }
}

/// Who found that a step failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// This agent.
    Agent,
    /// The gateway, for itself or for the platform.
    Gateway,
}

impl Origin {
    /// For the log.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Gateway => "gateway",
        }
    }
}

/// A step that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Which.
    pub step: Step,
    /// Why, in a word.
    pub cause: Cause,
    /// Why, for people. Holds no secret.
    pub detail: String,
}

impl Failure {
    /// A failure.
    #[must_use]
    pub fn new(step: Step, cause: Cause, detail: impl Into<String>) -> Self {
        Self {
            step,
            cause,
            detail: detail.into(),
        }
    }

    /// What the other side told. Its words are cut, and can't forge lines in a log.
    #[must_use]
    pub fn from_wire(told: &StepFailed) -> Self {
        let detail = told.detail.chars().take(LONGEST_DETAIL);
        Self {
            step: Step::from_wire(&told.step),
            cause: Cause::from_wire(&told.cause),
            detail: detail.flat_map(char::escape_debug).collect(),
        }
    }

    /// For the other side.
    #[must_use]
    pub fn to_wire(&self) -> StepFailed {
        StepFailed {
            step: self.step.as_str().to_owned(),
            cause: self.cause.as_str().to_owned(),
            detail: self.detail.clone(),
        }
    }

    /// Why a certificate wasn't installed.
    #[must_use]
    pub fn of_install(error: &BundleError) -> Self {
        let cause = match error {
            BundleError::Credential(CredentialError::KeyMismatch { .. }) => Cause::KeyMismatch,
            BundleError::OtherId { .. } | BundleError::Role { .. } => Cause::WrongAgent,
            BundleError::Trust(_) | BundleError::TrustUpdate(_) | BundleError::NotNewer { .. } => {
                Cause::BadTrust
            }
            BundleError::Store(_) | BundleError::Credential(CredentialError::Store(_)) => Cause::Disk,
            _ => Cause::BadCertificate,
        };
        Self::new(Step::Install, cause, error.to_string())
    }
}

impl From<IdentityError> for Failure {
    fn from(error: IdentityError) -> Self {
        match error {
            IdentityError::Bundle { source, .. } => Self::of_install(&source),
            other => Self::new(Step::Install, Cause::BadCertificate, other.to_string()),
        }
    }
}

impl From<TrustUpdateError> for Failure {
    fn from(error: TrustUpdateError) -> Self {
        Self::new(Step::Install, Cause::BadTrust, error.to_string())
    }
}

/// A key that can't be made or kept.
impl From<CredentialError> for Failure {
    fn from(error: CredentialError) -> Self {
        let cause = match &error {
            CredentialError::Store(StoreError::Io { .. } | StoreError::Open { .. }) => Cause::Disk,
            _ => Cause::Unavailable,
        };
        Self::new(Step::Proof, cause, error.to_string())
    }
}

/// What both sides call one attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CorrelationId(String);

impl CorrelationId {
    /// Takes what the gateway chose: it ends up in logs, so it is short and plain.
    ///
    /// # Errors
    /// It isn't.
    pub fn parse(text: &str) -> Result<Self, Failure> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        if (1..=64).contains(&text.len()) && text.bytes().all(is_plain) {
            return Ok(Self(text.to_owned()));
        }
        Err(Failure::new(
            Step::Proof,
            Cause::Protocol,
            "the correlation ID isn't 1 to 64 letters, digits and hyphens",
        ))
    }

    /// For attempts that got no name.
    #[must_use]
    pub fn none() -> Self {
        Self("none".to_owned())
    }
}

impl fmt::Display for CorrelationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gateways_words_are_cut_and_can_not_forge_lines() {
        let told = StepFailed {
            step: "install\n".to_owned(),
            cause: "activation_expired".to_owned(),
            detail: format!("a\nb{}", "c".repeat(2_000)),
        };
        let failure = Failure::from_wire(&told);
        assert_eq!(failure.cause, Cause::ActivationExpired);
        assert_eq!(failure.step, Step::Issue);
        assert!(failure.detail.starts_with("a\\nbc") && failure.detail.len() < 600);
        let unknown = StepFailed {
            cause: "new_word".to_owned(),
            ..told
        };
        assert_eq!(Failure::from_wire(&unknown).cause, Cause::Protocol);
    }

    #[test]
    fn a_correlation_id_is_short_and_plain() {
        for good in ["a", "018f7c1e-aaaa-7bbb-8ccc-0123456789ab"] {
            assert_eq!(CorrelationId::parse(good).unwrap().to_string(), good);
        }
        for bad in ["", "a b", "a\nb", "é", &"a".repeat(65)] {
            assert_eq!(
                CorrelationId::parse(bad).unwrap_err().cause,
                Cause::Protocol,
                "{bad:?}"
            );
        }
    }
}
