//! A public key, out of a certificate signing request (PKCS #10, RFC 2986).

use picket_identity::credential::verify_signature_by_key;
use rcgen::{PKCS_ECDSA_P256_SHA256, PublicKeyData, SignatureAlgorithm};
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::oid_registry::OID_SIG_ECDSA_WITH_SHA256;
use x509_parser::prelude::FromDer;

use crate::IssueError;

/// Ours have about 250 bytes.
const MAX_REQUEST: usize = 8 * 1024;
/// The `SubjectPublicKeyInfo` of a P-256 key up to its point (RFC 5480 §2).
const SPKI_PREFIX: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
    0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// A P-256 public key whose owner has proved to hold the private one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    point: Vec<u8>,
    spki: Vec<u8>,
}

impl PublicKey {
    /// Takes the public key out of a request (DER), and nothing else: not its subject, not its attributes, not the
    /// extensions it asks for. The request's signature by that key is verified.
    ///
    /// # Errors
    /// Not a request, not a P-256 key, or a signature by another key.
    pub fn from_request(der: &[u8]) -> Result<Self, IssueError> {
        let refuse = |problem: &str| IssueError::Request(problem.to_owned());
        if der.len() > MAX_REQUEST {
            return Err(refuse("larger than 8 KiB"));
        }
        let (rest, request) =
            X509CertificationRequest::from_der(der).map_err(|_| refuse("not PKCS #10 in DER"))?;
        if !rest.is_empty() {
            return Err(refuse("bytes after its end"));
        }
        let information = &request.certification_request_info;
        let spki = information.subject_pki.raw;
        let point = match spki.strip_prefix(&SPKI_PREFIX) {
            Some(point) if point.len() == 65 && point.first() == Some(&0x04) => point.to_vec(),
            _ => return Err(refuse("expected a P-256 key with an uncompressed point")),
        };
        if request.signature_algorithm.algorithm != OID_SIG_ECDSA_WITH_SHA256 {
            return Err(refuse("expected a signature by ecdsa-with-SHA256"));
        }
        verify_signature_by_key(spki, b"", information.raw, &request.signature_value.data)
            .map_err(|_| refuse("its signature isn't by the key that it asks a certificate for"))?;
        Ok(Self {
            point,
            spki: spki.to_vec(),
        })
    }

    /// The key as `SubjectPublicKeyInfo`, DER.
    #[must_use]
    pub fn spki(&self) -> &[u8] {
        &self.spki
    }
}

impl PublicKeyData for PublicKey {
    fn der_bytes(&self) -> &[u8] {
        &self.point
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ECDSA_P256_SHA256
    }
}
