//! What the platform says to agents under the key of its platform CA, whoever carries it: what to trust, and whom to enrol.
//!
//! An agent pins no platform CA. It takes one that comes with the statement, if one of the roots that it trusts already
//! has signed it, and if it is a platform CA: a gateway CA or a tenant's CA says nothing.

use aws_lc_rs::signature::{ECDSA_P384_SHA384_ASN1, UnparsedPublicKey};
use rustls_pki_types::{CertificateDer, UnixTime};
use thiserror::Error;
use x509_parser::oid_registry::OID_SIG_ECDSA_WITH_SHA384;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::credential::verify_signature_by_key;
use crate::profile::{ProfileError, SigningCertificate};
use crate::spiffe::TrustDomain;

/// The common name of every platform CA.
pub const PLATFORM_CA: &str = "platform CA";

/// Why a statement isn't the platform's.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum StatementError {
    /// The signer isn't a signing certificate of ours.
    #[error("its signer: {0}")]
    Signer(#[from] ProfileError),
    /// A CA, but not the platform CA of this platform.
    #[error("its signer is `{got}`: expected `{PLATFORM_CA}` of {expected}")]
    Role {
        /// The platform's ID.
        expected: String,
        /// Common name and ID of the signer.
        got: String,
    },
    /// No root that is trusted here, and valid now, signed the signer's certificate.
    #[error("its signer isn't below any root that is trusted here")]
    Root,
    /// The signer's own certificate has expired, or isn't valid yet.
    #[error("its signer is valid from {not_before} to {not_after}, not now")]
    NotValid {
        /// Seconds since 1970.
        not_before: u64,
        /// Seconds since 1970.
        not_after: u64,
    },
    /// Changed on its way, or signed by another key.
    #[error("its signature isn't by its signer over exactly these bytes")]
    Signature,
}

/// Verifies that the platform CA of `platform`, below one of `roots`, signed `context` followed by `bytes`.
///
/// # Errors
/// Why it isn't so.
pub fn verify(
    platform: &TrustDomain,
    roots: &[CertificateDer<'_>],
    signer: &[u8],
    (context, bytes): (&[u8], &[u8]),
    signature: &[u8],
    now: UnixTime,
) -> Result<(), StatementError> {
    let ca = SigningCertificate::parse(signer)?;
    if ca.common_name != PLATFORM_CA || ca.trust_domain != *platform {
        let name: String = ca
            .common_name
            .chars()
            .take(80)
            .flat_map(char::escape_debug)
            .collect();
        return Err(StatementError::Role {
            expected: platform.id(),
            got: format!("{name} of {}", ca.trust_domain.id()),
        });
    }
    if !roots.iter().any(|root| is_signed_by(signer, root, now)) {
        return Err(StatementError::Root);
    }
    if now < ca.not_before || now > ca.not_after {
        return Err(StatementError::NotValid {
            not_before: ca.not_before.as_secs(),
            not_after: ca.not_after.as_secs(),
        });
    }
    verify_signature_by_key(&ca.spki, context, bytes, signature).map_err(|_| StatementError::Signature)
}

/// Whether a root that is valid now signed a CA's certificate. Path building refuses to look at a CA as the end of a path,
/// so the one signature is verified here.
fn is_signed_by(ca: &[u8], root: &CertificateDer<'_>, now: UnixTime) -> bool {
    let Ok(anchor) = SigningCertificate::parse(root) else {
        return false;
    };
    if now < anchor.not_before || now > anchor.not_after {
        return false;
    }
    let Ok((_, certificate)) = X509Certificate::from_der(ca) else {
        return false;
    };
    let is_ours = certificate.signature_algorithm.algorithm == OID_SIG_ECDSA_WITH_SHA384
        && certificate.signature_algorithm == certificate.tbs_certificate.signature
        && certificate.issuer().as_raw() == anchor.subject;
    is_ours
        && UnparsedPublicKey::new(&ECDSA_P384_SHA384_ASN1, &anchor.spki)
            .verify(
                certificate.tbs_certificate.as_ref(),
                &certificate.signature_value.data,
            )
            .is_ok()
}
