//! Who is at the other end. One engine, four faces; pure functions of what the peer sent, what we expect, and the time.
//!
//! The order of the steps: the profile of the leaf, the chain (leaf, one of *our own* pinned CA certificates, the
//! platform root), the identity, the serial number. Whatever else the peer sends is never part of the chain.
//! [`bundle_face`] has the two faces that go by a Workload API's trust bundle instead.
//! [`Verified`] has no public constructor: whoever holds one holds the outcome of a verification.

use std::collections::BTreeSet;

pub use rustls_pki_types::{CertificateDer, UnixTime};

use crate::name::{AgentName, TenantSlug};
use crate::profile::MAX_TENANT_LEAF_VALIDITY;
use crate::serial::Serial;
use crate::spiffe::{SpiffeId, TrustDomain};

pub mod bundle_face;
mod chain;
mod recovery;
mod refusal;
mod trust;
mod verified;

#[doc(hidden)]
pub use chain::path_alone;
pub use recovery::{RECOVERY_WINDOW, RecoveryExpectation, verify_agent_for_recovery};
pub use refusal::{Reason, Refusal, now, peer_alert, unix_millis};
pub use trust::{IssuerId, PinnedCa, Trust, TrustError};
pub use verified::{Verified, Vouching};

/// A certificate that must not be accepted any more, by issuer and serial number: an ECDSA signature has a twin with
/// other bytes, so the hash of a certificate denies nothing.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Denied {
    /// The CA that issued it.
    pub issuer: IssuerId,
    /// Its serial number.
    pub serial: Serial,
}

/// Which serial numbers are good, where the chain and the identity are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Serials {
    /// Only these: the registry's active ones.
    Active(BTreeSet<Serial>),
    /// All but these.
    AllBut(BTreeSet<Denied>),
}

impl Default for Serials {
    fn default() -> Self {
        Self::AllBut(BTreeSet::new())
    }
}

/// What a gateway expects at an agent's address: this agent of this tenant and nobody else.
#[derive(Clone, Debug)]
pub struct AgentExpectation {
    /// The platform's trust domain.
    pub platform: TrustDomain,
    /// The tenant.
    pub tenant: TenantSlug,
    /// The agent.
    pub agent: AgentName,
    /// The platform's root, and the CA certificates of *this tenant*.
    pub trust: Trust,
    /// The registry's active serial numbers of this agent.
    pub serials: Serials,
}

/// What an agent expects of whoever connects: any gateway, with an ID for the agent's own tenant.
#[derive(Clone, Debug)]
pub struct GatewayExpectation {
    /// The platform's trust domain.
    pub platform: TrustDomain,
    /// The agent's own tenant.
    pub tenant: TenantSlug,
    /// The platform's root, and the gateway CA certificates.
    pub trust: Trust,
    /// Denied certificates.
    pub serials: Serials,
    /// A time that has certainly passed, such as the beginning of the agent's own certificate. A clock that was turned
    /// back before it is taken to show this time, so that turning it back can't revive what expired before.
    pub not_before: UnixTime,
}

/// What a gateway expects of the platform: any of its nodes.
#[derive(Clone, Debug)]
pub struct PlatformExpectation {
    /// The platform's trust domain.
    pub platform: TrustDomain,
    /// The platform's root, and the platform CA certificates.
    pub trust: Trust,
    /// Denied certificates.
    pub serials: Serials,
}

/// What the platform expects of whoever connects to its gRPC port: a gateway, with its ID for the platform.
#[derive(Clone, Debug)]
pub struct GatewayClientExpectation {
    /// The platform's trust domain.
    pub platform: TrustDomain,
    /// The platform's root, and the gateway CA certificates.
    pub trust: Trust,
    /// Active or denied certificates.
    pub serials: Serials,
}

/// Something that a peer is verified against.
///
/// `certificates` is what the peer sent, its leaf first.
pub trait Expectation: std::fmt::Debug + Send + Sync {
    /// Verifies a peer.
    ///
    /// # Errors
    /// Why the peer isn't accepted.
    fn verify(&self, certificates: &[CertificateDer<'_>], now: UnixTime) -> Result<Verified, Refusal>;
}

/// Verifies an agent, for a gateway.
///
/// # Errors
/// Why it isn't the expected agent.
pub fn verify_agent(
    certificates: &[CertificateDer<'_>],
    expected: &AgentExpectation,
    now: UnixTime,
) -> Result<Verified, Refusal> {
    let AgentExpectation {
        platform,
        tenant,
        agent,
        ..
    } = expected;
    let id = SpiffeId::Agent {
        platform: platform.clone(),
        tenant: tenant.clone(),
        agent: agent.clone(),
    };
    let policy = Policy {
        trust: &expected.trust,
        serials: &expected.serials,
        expects_agent: true,
        issuer_domain: platform.of_tenant(tenant),
        expected: id.to_string(),
        now,
    };
    policy.verify(certificates, |got, _| match got {
        got if *got == id => Ok(()),
        SpiffeId::Agent { tenant: other, .. } if other == tenant => Err(Reason::WrongAgent),
        _ => Err(Reason::WrongTenant),
    })
}

/// Verifies a gateway, for an agent.
///
/// # Errors
/// Why it isn't a gateway for this agent's tenant.
pub fn verify_gateway(
    certificates: &[CertificateDer<'_>],
    expected: &GatewayExpectation,
    now: UnixTime,
) -> Result<Verified, Refusal> {
    let GatewayExpectation { platform, tenant, .. } = expected;
    let policy = Policy {
        trust: &expected.trust,
        serials: &expected.serials,
        expects_agent: false,
        issuer_domain: platform.clone(),
        expected: format!("spiffe://{platform}/gateway/*/tenant/{tenant}"),
        now: now.max(expected.not_before),
    };
    policy.verify(certificates, |got, leaf| match got {
        SpiffeId::GatewayForTenant {
            platform: of,
            tenant: to,
            ..
        } if of == platform && to == tenant => {
            let is_short_lived = leaf.validity() <= MAX_TENANT_LEAF_VALIDITY;
            if is_short_lived {
                Ok(())
            } else {
                Err(Reason::BadProfile)
            }
        }
        // A gateway that was given another tenant, or none at all, or no gateway.
        _ => Err(Reason::WrongTenant),
    })
}

/// Verifies a platform node, for a gateway.
///
/// # Errors
/// Why it isn't a node of the platform.
pub fn verify_platform(
    certificates: &[CertificateDer<'_>],
    expected: &PlatformExpectation,
    now: UnixTime,
) -> Result<Verified, Refusal> {
    let platform = &expected.platform;
    let policy = Policy {
        trust: &expected.trust,
        serials: &expected.serials,
        expects_agent: false,
        issuer_domain: platform.clone(),
        expected: format!("spiffe://{platform}/platform/*"),
        now,
    };
    policy.verify(certificates, |got, _| match got {
        SpiffeId::Platform { platform: of, .. } if of == platform => Ok(()),
        _ => Err(Reason::WrongAgent),
    })
}

/// Verifies a gateway as a client of the platform.
///
/// # Errors
/// Why it isn't a gateway of this platform.
pub fn verify_gateway_client(
    certificates: &[CertificateDer<'_>],
    expected: &GatewayClientExpectation,
    now: UnixTime,
) -> Result<Verified, Refusal> {
    let platform = &expected.platform;
    let policy = Policy {
        trust: &expected.trust,
        serials: &expected.serials,
        expects_agent: false,
        issuer_domain: platform.clone(),
        expected: format!("spiffe://{platform}/gateway/*"),
        now,
    };
    policy.verify(certificates, |got, _| match got {
        SpiffeId::Gateway { platform: of, .. } if of == platform => Ok(()),
        _ => Err(Reason::WrongAgent),
    })
}

macro_rules! expectation {
    ($($name:ident => $verify:ident),*) => {$(
        impl Expectation for $name {
            fn verify(&self, certificates: &[CertificateDer<'_>], now: UnixTime) -> Result<Verified, Refusal> {
                $verify(certificates, self, now)
            }
        }
    )*};
}
expectation!(
    AgentExpectation => verify_agent,
    GatewayExpectation => verify_gateway,
    PlatformExpectation => verify_platform,
    GatewayClientExpectation => verify_gateway_client
);

/// What the four faces share.
struct Policy<'a> {
    trust: &'a Trust,
    serials: &'a Serials,
    /// The trust domain that must be the issuing CA's own ID.
    issuer_domain: TrustDomain,
    /// Whether an agent is expected, rather than one of the platform's own parts.
    expects_agent: bool,
    /// The expected ID, or a pattern of it, for people.
    expected: String,
    now: UnixTime,
}
