//! The outcome of a verification.

use std::sync::Arc;

use rustls_pki_types::{CertificateDer, UnixTime};

use crate::name::TenantSlug;
use crate::serial::Serial;
use crate::spiffe::SpiffeId;

use super::IssuerId;

/// Who is at the other end. Only the verifier makes one; cheap to clone.
#[derive(Clone, Debug)]
pub struct Verified(pub(super) Arc<Facts>);

/// By what the peer's certificate was found to be good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vouching {
    /// A CA of ours, which the registry knows.
    OwnCa,
    /// An authority in the trust bundle of a Workload API.
    Bundle,
}

#[derive(Debug)]
pub(super) struct Facts {
    pub(super) id: SpiffeId,
    pub(super) serial: Serial,
    pub(super) issuer: IssuerId,
    pub(super) not_before: UnixTime,
    pub(super) not_after: UnixTime,
    pub(super) chain_not_after: UnixTime,
    pub(super) verified_at: UnixTime,
    pub(super) leaf: CertificateDer<'static>,
    pub(super) vouching: Vouching,
}

impl Verified {
    /// The peer's identity.
    #[must_use]
    pub fn id(&self) -> &SpiffeId {
        &self.0.id
    }

    /// The tenant of the identity: an agent's own, or the one that a gateway's ID is for.
    #[must_use]
    pub fn tenant(&self) -> Option<&TenantSlug> {
        self.0.id.tenant()
    }

    /// The serial number of the peer's certificate.
    #[must_use]
    pub fn serial(&self) -> &Serial {
        &self.0.serial
    }

    /// The CA that issued it.
    #[must_use]
    pub fn issuer(&self) -> &IssuerId {
        &self.0.issuer
    }

    /// By what the peer's certificate was found to be good.
    #[must_use]
    pub fn vouching(&self) -> Vouching {
        self.0.vouching
    }

    /// The first second in which the peer's certificate is valid.
    #[must_use]
    pub fn not_before(&self) -> UnixTime {
        self.0.not_before
    }

    /// The last second in which the peer's certificate is valid.
    #[must_use]
    pub fn not_after(&self) -> UnixTime {
        self.0.not_after
    }

    /// The last second in which the whole chain is valid: a connection must not outlive it.
    #[must_use]
    pub fn chain_not_after(&self) -> UnixTime {
        self.0.chain_not_after
    }

    /// When it was verified, by our clock.
    #[must_use]
    pub fn verified_at(&self) -> UnixTime {
        self.0.verified_at
    }

    /// The peer's certificate.
    #[must_use]
    pub fn leaf(&self) -> &CertificateDer<'static> {
        &self.0.leaf
    }
}
