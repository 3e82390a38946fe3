//! What we trust: the platform's root, and the CA certificates below it that we pinned.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use aws_lc_rs::digest;
use rustls_pki_types::{CertificateDer, TrustAnchor, UnixTime};
use thiserror::Error;

use crate::profile::{ProfileError, SigningCertificate};
use crate::spiffe::TrustDomain;

/// A CA by its key: SHA-256 of its `SubjectPublicKeyInfo`. As text: lower-case hexadecimal. A CA certificate that is
/// made anew for the same key is the same issuer.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
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

/// The platform's root and the pinned CA certificates. Checked when made; cheap to clone.
#[derive(Clone)]
pub struct Trust(Arc<Inner>);

struct Inner {
    root: CertificateDer<'static>,
    root_not_before: UnixTime,
    root_not_after: UnixTime,
    anchors: [TrustAnchor<'static>; 1],
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
        let root_certificate = SigningCertificate::parse(&root).map_err(TrustError::Root)?;
        let anchor = webpki::anchor_from_trusted_cert(&root)
            .map_err(|error| TrustError::Anchor(error.to_string()))?
            .to_owned();
        let mut pinned = Vec::new();
        for (index, der) in cas.into_iter().enumerate() {
            let certificate =
                SigningCertificate::parse(&der).map_err(|error| TrustError::Ca { index, error })?;
            if certificate.spki == root_certificate.spki {
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
            root_not_before: root_certificate.not_before,
            root_not_after: root_certificate.not_after,
            anchors: [anchor],
            root,
            cas: pinned,
            offered,
        })))
    }

    /// The root certificate.
    #[must_use]
    pub fn root(&self) -> &CertificateDer<'static> {
        &self.0.root
    }

    /// The pinned CAs.
    #[must_use]
    pub fn cas(&self) -> &[PinnedCa] {
        &self.0.cas
    }

    pub(super) fn anchors(&self) -> &[TrustAnchor<'static>] {
        &self.0.anchors
    }

    pub(super) fn offered(&self) -> &[CertificateDer<'static>] {
        &self.0.offered
    }

    pub(super) fn root_validity(&self) -> (UnixTime, UnixTime) {
        (self.0.root_not_before, self.0.root_not_after)
    }
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cas: Vec<_> = self.0.cas.iter().map(|ca| (ca.trust_domain(), ca.id)).collect();
        f.debug_struct("Trust").field("cas", &cas).finish_non_exhaustive()
    }
}
