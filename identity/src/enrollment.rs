//! How an agent begins: the file that the platform writes for it, and the proof that it holds the file's activation key.

use rustls_pki_types::UnixTime;

use crate::spiffe::SpiffeId;
use crate::verify::{GatewayExpectation, Serials, Trust};

mod activation;
mod file;

pub use activation::{ActivationError, ActivationKey, CONTEXT as ACTIVATION_CONTEXT, verify_activation};
pub use file::{CONTEXT as FILE_CONTEXT, EnrollFile, EnrollFileError, NewEnrollFile, fingerprint};

/// An enrolment file that was verified: whom it is for, what to trust, and the key that proves it.
#[derive(Debug)]
pub struct Enrollment {
    id: SpiffeId,
    trust: Trust,
    trust_sequence: u64,
    key: ActivationKey,
    not_before: UnixTime,
    not_after: UnixTime,
}

impl Enrollment {
    /// Who the agent is to be.
    #[must_use]
    pub fn id(&self) -> &SpiffeId {
        &self.id
    }

    /// The roots and the gateway CAs.
    #[must_use]
    pub fn trust(&self) -> &Trust {
        &self.trust
    }

    /// The sequence of what is trusted: only what rises above it counts later.
    #[must_use]
    pub fn trust_sequence(&self) -> u64 {
        self.trust_sequence
    }

    /// The one-time key.
    #[must_use]
    pub fn activation_key(&self) -> &ActivationKey {
        &self.key
    }

    /// Until when the platform takes the key.
    #[must_use]
    pub fn not_after(&self) -> UnixTime {
        self.not_after
    }

    /// What the agent expects of whoever connects: as much as after the enrolment.
    #[must_use]
    pub fn gateway_expectation(&self) -> Option<GatewayExpectation> {
        let SpiffeId::Agent { platform, tenant, .. } = &self.id else {
            return None;
        };
        Some(GatewayExpectation {
            platform: platform.clone(),
            tenant: tenant.clone(),
            trust: self.trust.clone(),
            serials: Serials::default(),
            not_before: self.not_before,
        })
    }
}
