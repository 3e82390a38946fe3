//! What we trust: the platform's root, and the CA certificates below it that we pinned.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use aws_lc_rs::digest;
use rustls_pki_types::{CertificateDer, TrustAnchor, UnixTime};
use thiserror::Error;

use crate::profile::{ProfileError, SigningCertificate};
use crate::spiffe::TrustDomain;

/// One, and the one that takes its place; and one more, so that an interrupted change can be begun anew.
const MAX_ROOTS: usize = 4;
/// Each is tried in path building.
const MAX_CAS: usize = 16;

/// A CA by its key: SHA-256 of its `SubjectPublicKeyInfo`. As text: lower-case hexadecimal. A CA certificate that is
/// made anew for the same key is the same issuer.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct IssuerId([u8; 32]);

impl IssuerId {
    pub(crate) fn of_spki(spki: &[u8]) -> Self {
        let mut id = [0; 32];
        id.copy_from_slice(digest::digest(&digest::SHA256, spki).as_ref());
        Self(id)
    }

    /// The 32 bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// A text isn't an issuer's ID.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{0}` isn't an issuer: expected 64 lower-case hexadecimal digits")]
pub struct IssuerIdError(String);

impl FromStr for IssuerId {
    type Err = IssuerIdError;

    fn from_str(text: &str) -> Result<Self, IssuerIdError> {
        let refused = || IssuerIdError(text.chars().take(80).flat_map(char::escape_default).collect());
        if text.len() != 64 || !text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(refused());
        }
        let mut id = [0; 32];
        for (at, byte) in id.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).map_err(|_| refused())?;
        }
        Ok(Self(id))
    }
}

impl TryFrom<String> for IssuerId {
    type Error = IssuerIdError;

    fn try_from(text: String) -> Result<Self, IssuerIdError> {
        text.parse()
    }
}

impl From<IssuerId> for String {
    fn from(id: IssuerId) -> Self {
        id.to_string()
    }
}

impl fmt::Display for IssuerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for IssuerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why certificates can't be trusted as root and pinned CAs.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TrustError {
    /// The root isn't a signing certificate of ours.
    #[error("root certificate: {0}")]
    Root(ProfileError),
    /// The root can't be used as an anchor.
    #[error("root certificate can't be an anchor: {0}")]
    Anchor(String),
    /// A pinned CA certificate isn't a signing certificate of ours.
    #[error("pinned CA certificate {index}: {error}")]
    Ca {
        /// Which of them, from 0.
        index: usize,
        /// What is wrong.
        error: ProfileError,
    },
    /// Without a root nobody could ever be accepted.
    #[error("no root certificate: expected at least one")]
    NoRoot,
    /// More than the platform ever has at a time.
    #[error("more than {1} {0}")]
    TooMany(&'static str, usize),
    /// Without a pinned CA nobody could ever be accepted.
    #[error("no pinned CA certificate: expected at least one")]
    NoCa,
    /// The root was given as a pinned CA: it would then vouch for leaves directly.
    #[error("pinned CA certificate {index} is the root itself: expected a CA below it")]
    RootPinned {
        /// Which of them, from 0.
        index: usize,
    },
}

/// A CA certificate of ours that may issue leaves.
#[derive(Clone, Debug)]
pub struct PinnedCa {
    pub(super) der: CertificateDer<'static>,
    pub(super) certificate: SigningCertificate,
    pub(super) id: IssuerId,
}

impl PinnedCa {
    /// The certificate.
    #[must_use]
    pub fn der(&self) -> &CertificateDer<'static> {
        &self.der
    }

    /// The trust domain that it issues for.
    #[must_use]
    pub fn trust_domain(&self) -> &TrustDomain {
        &self.certificate.trust_domain
    }

    /// The CA, by its key.
    #[must_use]
    pub fn id(&self) -> IssuerId {
        self.id
    }
}

/// A root certificate of the platform's.
pub(super) struct Root {
    der: CertificateDer<'static>,
    anchor: TrustAnchor<'static>,
    pub(super) not_before: UnixTime,
    pub(super) not_after: UnixTime,
}

/// The platform's roots and the pinned CA certificates below them. Checked when made; cheap to clone.
///
/// There are two roots while one takes the other's place, and one otherwise.
#[derive(Clone)]
pub struct Trust(Arc<Inner>);

struct Inner {
    roots: Vec<Root>,
    cas: Vec<PinnedCa>,
    /// The same certificates in the form that path building wants.
    offered: Vec<CertificateDer<'static>>,
}

impl Trust {
    /// Takes a root and the CA certificates below it that may issue.
    ///
    /// # Errors
    /// A certificate that isn't a signing certificate of ours.
    pub fn new(
        root: CertificateDer<'static>,
        cas: impl IntoIterator<Item = CertificateDer<'static>>,
    ) -> Result<Self, TrustError> {
        Self::with_roots([root], cas)
    }

    /// Takes roots and the CA certificates below any of them that may issue.
    ///
    /// # Errors
    /// A certificate that isn't a signing certificate of ours, or too few or too many of them.
    pub fn with_roots(
        roots: impl IntoIterator<Item = CertificateDer<'static>>,
        cas: impl IntoIterator<Item = CertificateDer<'static>>,
    ) -> Result<Self, TrustError> {
        let mut anchors = Vec::new();
        let mut root_keys = Vec::new();
        for der in roots {
            if anchors.len() == MAX_ROOTS {
                return Err(TrustError::TooMany("roots", MAX_ROOTS));
            }
            let certificate = SigningCertificate::parse(&der).map_err(TrustError::Root)?;
            let anchor = webpki::anchor_from_trusted_cert(&der)
                .map_err(|error| TrustError::Anchor(error.to_string()))?
                .to_owned();
            root_keys.push(certificate.spki);
            anchors.push(Root {
                anchor,
                der,
                not_before: certificate.not_before,
                not_after: certificate.not_after,
            });
        }
        if anchors.is_empty() {
            return Err(TrustError::NoRoot);
        }
        let mut pinned = Vec::new();
        for (index, der) in cas.into_iter().enumerate() {
            if index == MAX_CAS {
                return Err(TrustError::TooMany("pinned CA certificates", MAX_CAS));
            }
            let certificate =
                SigningCertificate::parse(&der).map_err(|error| TrustError::Ca { index, error })?;
            if root_keys.contains(&certificate.spki) {
                return Err(TrustError::RootPinned { index });
            }
            let id = IssuerId::of_spki(&certificate.spki);
            pinned.push(PinnedCa { der, certificate, id });
        }
        if pinned.is_empty() {
            return Err(TrustError::NoCa);
        }
        let offered = pinned.iter().map(|ca| ca.der.clone()).collect();
        Ok(Self(Arc::new(Inner {
            roots: anchors,
            cas: pinned,
            offered,
        })))
    }

    /// The root certificates.
    #[must_use]
    pub fn roots(&self) -> Vec<CertificateDer<'static>> {
        self.0.roots.iter().map(|root| root.der.clone()).collect()
    }

    /// The pinned CAs.
    #[must_use]
    pub fn cas(&self) -> &[PinnedCa] {
        &self.0.cas
    }

    /// The roots' anchors at a time at which they are valid: path building looks at no anchor's dates.
    pub(super) fn anchors(&self, now: UnixTime) -> Vec<TrustAnchor<'_>> {
        let valid = self
            .0
            .roots
            .iter()
            .filter(|root| root.not_before <= now && now <= root.not_after);
        valid.map(|root| borrowed(&root.anchor)).collect()
    }

    pub(super) fn offered(&self) -> &[CertificateDer<'static>] {
        &self.0.offered
    }

    pub(super) fn root_list(&self) -> &[Root] {
        &self.0.roots
    }

    /// The last second of the root that an accepted path ends at.
    pub(super) fn root_not_after(&self, anchor: &TrustAnchor<'_>) -> Option<UnixTime> {
        let root = self.0.roots.iter().find(|root| {
            root.anchor.subject_public_key_info == anchor.subject_public_key_info
                && root.anchor.subject == anchor.subject
        });
        root.map(|root| root.not_after)
    }
}

/// Without copying what it points at.
fn borrowed<'a>(anchor: &'a TrustAnchor<'static>) -> TrustAnchor<'a> {
    TrustAnchor {
        subject: anchor.subject.as_ref().into(),
        subject_public_key_info: anchor.subject_public_key_info.as_ref().into(),
        name_constraints: anchor.name_constraints.as_ref().map(|der| der.as_ref().into()),
    }
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cas: Vec<_> = self.0.cas.iter().map(|ca| (ca.trust_domain(), ca.id)).collect();
        f.debug_struct("Trust")
            .field("roots", &self.0.roots.len())
            .field("cas", &cas)
            .finish_non_exhaustive()
    }
}
