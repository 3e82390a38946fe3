//! Peers whose certificates come from a Workload API rather than from our own CAs: between gateway and platform alone, and
//! only on a side that is configured so. Agents know nothing of it, and what opens an agent is still issued by us.
//!
//! There is no CA to pin: a chain is a leaf, at most [`MAX_INTERMEDIATES`] certificates that the peer sends, and an authority
//! of the trust bundle. There is no common name of ours and no serial number in a registry. What is left is what SPIFFE
//! has: the exact ID, below authorities of exactly one trust domain.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use rustls_pki_types::{CertificateDer, TrustAnchor, UnixTime};
use thiserror::Error;
use webpki::{EndEntityCert, KeyUsage, VerifiedPath};

use crate::credential::Credential;
use crate::name::GatewayName;
use crate::profile::{BundleAuthority, Leaf, ProfileError};
use crate::spiffe::{SpiffeId, TrustDomain};

use super::chain::SIGNATURES;
use super::verified::{Facts, Vouching};
use super::{Expectation, IssuerId, Reason, Refusal, Verified};

/// The most certificates between a leaf and an authority of the bundle: SPIRE's own, and two more where SPIRE servers are
/// nested or have an authority above them.
pub const MAX_INTERMEDIATES: usize = 3;

/// Each is tried in path building. SPIRE has two while one takes the other's place, for each of its servers.
const MAX_AUTHORITIES: usize = 32;

/// Why a trust bundle can't be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BundleTrustError {
    /// Nobody could ever be accepted.
    #[error("the trust bundle of {0} has no authority")]
    Empty(TrustDomain),
    /// More than any trust domain needs.
    #[error("the trust bundle of {0} has more than {MAX_AUTHORITIES} authorities")]
    TooMany(TrustDomain),
    /// An authority can't be one.
    #[error("authority {index} in the trust bundle of {trust_domain}: {error}")]
    Authority {
        /// Whose bundle.
        trust_domain: TrustDomain,
        /// Which of them, from 0.
        index: usize,
        /// What is wrong.
        error: ProfileError,
    },
    /// An authority can't be used as an anchor.
    #[error("authority {index} in the trust bundle of {trust_domain} can't be an anchor: {error}")]
    Anchor {
        /// Whose bundle.
        trust_domain: TrustDomain,
        /// Which of them, from 0.
        index: usize,
        /// What is wrong.
        error: String,
    },
    /// An authority of somebody else.
    #[error("authority {index} in the trust bundle of {trust_domain} is {found}'s")]
    Foreign {
        /// Whose bundle.
        trust_domain: TrustDomain,
        /// Which of them, from 0.
        index: usize,
        /// Whose it says that it is.
        found: TrustDomain,
    },
}

/// The authorities of one trust domain, as a Workload API has them. Checked when made; cheap to clone.
#[derive(Clone)]
pub struct TrustBundle(Arc<Inner>);

struct Inner {
    trust_domain: TrustDomain,
    authorities: Vec<Authority>,
}

struct Authority {
    anchor: TrustAnchor<'static>,
    certificate: BundleAuthority,
}

impl TrustBundle {
    /// Takes the authorities of a trust domain.
    ///
    /// # Errors
    /// None, too many, or one that can't be an authority of this trust domain.
    pub fn new(
        trust_domain: TrustDomain,
        authorities: impl IntoIterator<Item = CertificateDer<'static>>,
    ) -> Result<Self, BundleTrustError> {
        let mut found = Vec::new();
        for (index, der) in authorities.into_iter().enumerate() {
            if index == MAX_AUTHORITIES {
                return Err(BundleTrustError::TooMany(trust_domain));
            }
            let certificate = BundleAuthority::parse(&der).map_err(|error| BundleTrustError::Authority {
                trust_domain: trust_domain.clone(),
                index,
                error,
            })?;
            if let Some(other) = certificate
                .trust_domain
                .as_ref()
                .filter(|other| **other != trust_domain)
            {
                let found = other.clone();
                return Err(BundleTrustError::Foreign {
                    trust_domain,
                    index,
                    found,
                });
            }
            let anchor = webpki::anchor_from_trusted_cert(&der)
                .map_err(|error| BundleTrustError::Anchor {
                    trust_domain: trust_domain.clone(),
                    index,
                    error: error.to_string(),
                })?
                .to_owned();
            found.push(Authority { anchor, certificate });
        }
        if found.is_empty() {
            return Err(BundleTrustError::Empty(trust_domain));
        }
        Ok(Self(Arc::new(Inner {
            trust_domain,
            authorities: found,
        })))
    }

    /// Whose authorities these are.
    #[must_use]
    pub fn trust_domain(&self) -> &TrustDomain {
        &self.0.trust_domain
    }

    /// How many authorities there are.
    #[must_use]
    pub fn authorities(&self) -> usize {
        self.0.authorities.len()
    }

    /// The anchors that are valid now: path building looks at no anchor's dates.
    fn anchors(&self, now: UnixTime) -> Vec<TrustAnchor<'static>> {
        let valid = self
            .0
            .authorities
            .iter()
            .filter(|authority| authority.certificate.is_valid(now));
        valid.map(|authority| authority.anchor.clone()).collect()
    }

    /// The authority that a path ends at. Where one was made anew for the same key, the strictest of those that are valid
    /// now counts.
    fn of_anchor(&self, anchor: &TrustAnchor<'_>, now: UnixTime) -> Option<&BundleAuthority> {
        let found = self.0.authorities.iter().filter(|authority| {
            let known = &authority.anchor;
            known.subject_public_key_info == anchor.subject_public_key_info && known.subject == anchor.subject
        });
        found
            .map(|authority| &authority.certificate)
            .filter(|certificate| certificate.is_valid(now))
            .min_by_key(|certificate| (certificate.path_len.unwrap_or(u32::MAX), certificate.not_after))
    }
}

impl fmt::Debug for TrustBundle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TrustBundle")
            .field("trust_domain", self.trust_domain())
            .field("authorities", &self.authorities())
            .finish()
    }
}

/// What a gateway expects of the platform: any of its nodes, with an SVID below the bundle.
#[derive(Clone, Debug)]
pub struct BundlePlatformExpectation {
    /// The authorities of the platform's trust domain.
    pub bundle: TrustBundle,
}

/// What the platform expects of a gateway: an SVID below the bundle, for its ID for the platform.
#[derive(Clone, Debug)]
pub struct BundleGatewayExpectation {
    /// The authorities of the platform's trust domain.
    pub bundle: TrustBundle,
    /// Gateways that were turned away: there are no serial numbers of theirs to deny.
    pub revoked: BTreeSet<GatewayName>,
}

/// Verifies a platform node by a trust bundle, for a gateway.
///
/// # Errors
/// Why it isn't a node of the platform.
pub fn verify_platform_by_bundle(
    certificates: &[CertificateDer<'_>],
    expected: &BundlePlatformExpectation,
    now: UnixTime,
) -> Result<Verified, Refusal> {
    let face = Face::new(&expected.bundle, "platform", now);
    face.verify(certificates, |got| match got {
        SpiffeId::Platform { .. } => Ok(()),
        _ => Err(Reason::WrongAgent),
    })
}

/// Verifies a gateway by a trust bundle, for the platform.
///
/// # Errors
/// Why it isn't a gateway of this platform.
pub fn verify_gateway_by_bundle(
    certificates: &[CertificateDer<'_>],
    expected: &BundleGatewayExpectation,
    now: UnixTime,
) -> Result<Verified, Refusal> {
    let face = Face::new(&expected.bundle, "gateway", now);
    face.verify(certificates, |got| match got {
        SpiffeId::Gateway { gateway, .. } if expected.revoked.contains(gateway) => Err(Reason::Revoked),
        SpiffeId::Gateway { .. } => Ok(()),
        _ => Err(Reason::WrongAgent),
    })
}

/// Verifies our own SVID as those that we meet will.
///
/// # Errors
/// Why they wouldn't accept it.
pub fn verify_own_by_bundle(
    credential: &Credential,
    bundle: &TrustBundle,
    now: UnixTime,
) -> Result<Verified, Refusal> {
    let bundle = bundle.clone();
    match credential.id() {
        SpiffeId::Platform { .. } => {
            verify_platform_by_bundle(credential.chain(), &BundlePlatformExpectation { bundle }, now)
        }
        _ => {
            let expected = BundleGatewayExpectation {
                bundle,
                revoked: BTreeSet::new(),
            };
            verify_gateway_by_bundle(credential.chain(), &expected, now)
        }
    }
}

impl Expectation for BundlePlatformExpectation {
    fn verify(&self, certificates: &[CertificateDer<'_>], now: UnixTime) -> Result<Verified, Refusal> {
        verify_platform_by_bundle(certificates, self, now)
    }
}

impl Expectation for BundleGatewayExpectation {
    fn verify(&self, certificates: &[CertificateDer<'_>], now: UnixTime) -> Result<Verified, Refusal> {
        verify_gateway_by_bundle(certificates, self, now)
    }
}

/// What the two faces share.
struct Face<'a> {
    bundle: &'a TrustBundle,
    /// A pattern of the expected ID, for people.
    expected: String,
    now: UnixTime,
}

/// The path that was found, as far as it counts later.
struct Found {
    issuer: IssuerId,
    not_after: UnixTime,
}

impl<'a> Face<'a> {
    fn new(bundle: &'a TrustBundle, role: &str, now: UnixTime) -> Self {
        let expected = format!(
            "spiffe://{}/{role}/* by an authority in the trust bundle",
            bundle.trust_domain()
        );
        Self {
            bundle,
            expected,
            now,
        }
    }

    fn verify(
        &self,
        certificates: &[CertificateDer<'_>],
        role: impl Fn(&SpiffeId) -> Result<(), Reason>,
    ) -> Result<Verified, Refusal> {
        let Some((leaf_der, beside)) = certificates.split_first() else {
            return Err(self.refuse(Reason::NoCert, "no certificate"));
        };
        let leaf = Leaf::parse_svid(leaf_der)
            .map_err(|error| self.refuse(Reason::BadProfile, &error.to_string()))?;
        let intermediates = self.intermediates(beside)?;
        let found = self.path(leaf_der, &leaf, beside, &intermediates)?;
        let id = self.identity(&leaf, role)?;
        Ok(Verified(Arc::new(Facts {
            id,
            serial: leaf.serial,
            issuer: found.issuer,
            not_before: leaf.not_before,
            not_after: leaf.not_after,
            chain_not_after: leaf.not_after.min(found.not_after),
            verified_at: self.now,
            leaf: leaf_der.clone().into_owned(),
            vouching: Vouching::Bundle,
        })))
    }

    fn refuse(&self, reason: Reason, got: &str) -> Refusal {
        Refusal::new(reason, self.expected.clone(), got, self.now)
    }

    /// What the peer sent beside its leaf. All of it has to be sound, whether the path needs it or not.
    fn intermediates(&self, beside: &[CertificateDer<'_>]) -> Result<Vec<BundleAuthority>, Refusal> {
        if beside.len() > MAX_INTERMEDIATES {
            let got = format!("more than {MAX_INTERMEDIATES} certificates beside the leaf");
            return Err(self.refuse(Reason::BadProfile, &got));
        }
        let mut parsed = Vec::new();
        for der in beside {
            let authority = BundleAuthority::parse(der).map_err(|error| {
                self.refuse(
                    Reason::BadProfile,
                    &format!("an intermediate that can't be one: {error}"),
                )
            })?;
            if let Some(other) = &authority.trust_domain
                && other != self.bundle.trust_domain()
            {
                let got = format!("an intermediate of {}", other.id());
                return Err(self.refuse(Reason::WrongIssuer, &got));
            }
            parsed.push(authority);
        }
        Ok(parsed)
    }

    fn path(
        &self,
        leaf_der: &CertificateDer<'_>,
        leaf: &Leaf,
        beside: &[CertificateDer<'_>],
        intermediates: &[BundleAuthority],
    ) -> Result<Found, Refusal> {
        let anchors = self.bundle.anchors(self.now);
        if anchors.is_empty() {
            return Err(self.refuse(
                Reason::Expired,
                "a trust bundle without an authority that is valid now",
            ));
        }
        let end_entity = EndEntityCert::try_from(leaf_der)
            .map_err(|error| self.refuse(Reason::BadProfile, &error.to_string()))?;
        let is_short_enough = |path: &VerifiedPath<'_>| {
            let between = path.intermediate_certificates().count();
            let authority = self.bundle.of_anchor(path.anchor(), self.now);
            // An anchor's own path length is looked at nowhere else.
            let allowed = authority.map_or(0, |authority| authority.path_len.unwrap_or(u32::MAX));
            match u32::try_from(between) {
                Ok(between) if between <= allowed => Ok(()),
                _ => Err(webpki::Error::PathLenConstraintViolated),
            }
        };
        let path = end_entity
            .verify_for_usage(
                SIGNATURES,
                &anchors,
                beside,
                self.now,
                KeyUsage::client_auth(),
                None,
                Some(&is_short_enough),
            )
            .map_err(|error| self.explain(&error, leaf))?;
        let parsed_of = |der: &CertificateDer<'_>| {
            let at = beside.iter().position(|known| known == der);
            at.and_then(|at| intermediates.get(at))
        };
        let mut chain: Vec<&BundleAuthority> = path
            .intermediate_certificates()
            .filter_map(|certificate| parsed_of(&certificate.der()))
            .collect();
        chain.extend(self.bundle.of_anchor(path.anchor(), self.now));
        let issuer = chain.first().map(|issuer| IssuerId::of_spki(&issuer.spki));
        let not_after = chain.iter().map(|authority| authority.not_after).min();
        issuer
            .zip(not_after)
            .map(|(issuer, not_after)| Found { issuer, not_after })
            .ok_or_else(|| self.refuse(Reason::UnknownCa, "a path without an issuer"))
    }

    /// Exactly an ID of this trust domain, and of the role.
    fn identity(
        &self,
        leaf: &Leaf,
        role: impl Fn(&SpiffeId) -> Result<(), Reason>,
    ) -> Result<SpiffeId, Refusal> {
        let domain = self.bundle.trust_domain().id();
        let path = leaf.uri.strip_prefix(domain.as_str());
        if !path.is_some_and(|path| path.starts_with('/')) {
            return Err(self.refuse(Reason::WrongIssuer, &leaf.uri));
        }
        // Another workload of the same trust domain, as far as we know.
        let id: SpiffeId = leaf
            .uri
            .parse()
            .map_err(|_| self.refuse(Reason::WrongAgent, &leaf.uri))?;
        role(&id).map_err(|reason| self.refuse(reason, &leaf.uri))?;
        Ok(id)
    }

    /// Says why there is no path. Only words depend on it: whoever comes here is refused.
    fn explain(&self, error: &webpki::Error, leaf: &Leaf) -> Refusal {
        if self.now > leaf.not_after {
            let got = format!("{}, expired at {}", leaf.uri, leaf.not_after.as_secs());
            return self.refuse(Reason::Expired, &got);
        }
        if self.now < leaf.not_before {
            let got = format!("{}, not valid before {}", leaf.uri, leaf.not_before.as_secs());
            return self.refuse(Reason::NotYetValid, &got);
        }
        match error {
            webpki::Error::CertExpired { .. } => {
                self.refuse(Reason::Expired, "an issuing authority that has expired")
            }
            webpki::Error::CertNotValidYet { .. } => {
                self.refuse(Reason::NotYetValid, "an issuing authority that isn't valid yet")
            }
            webpki::Error::UnsupportedSignatureAlgorithmContext(_)
            | webpki::Error::UnsupportedSignatureAlgorithmForPublicKeyContext(_) => {
                let got = format!(
                    "{}, signed by another algorithm than ECDSA P-256 or P-384",
                    leaf.uri
                );
                self.refuse(Reason::BadProfile, &got)
            }
            webpki::Error::PathLenConstraintViolated => {
                let got = format!("{}, further below its authority than that allows", leaf.uri);
                self.refuse(Reason::BadProfile, &got)
            }
            webpki::Error::UnknownIssuer | webpki::Error::InvalidSignatureForPublicKey => {
                let got = format!(
                    "{}, issued by an authority that isn't in the trust bundle",
                    leaf.uri
                );
                self.refuse(Reason::UnknownCa, &got)
            }
            other => self.refuse(Reason::BadProfile, &other.to_string()),
        }
    }
}
