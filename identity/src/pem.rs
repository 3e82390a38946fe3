//! PEM, as far as it is needed: certificates, keys and requests.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, CertificateSigningRequestDer, PrivatePkcs8KeyDer};
use thiserror::Error;
use zeroize::Zeroizing;

/// A text isn't the PEM that was wanted.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{what}: {problem}")]
pub struct PemError {
    what: &'static str,
    problem: String,
}

/// Certificates as PEM, one after the other.
#[must_use]
pub fn certificates<'a, 'd: 'a>(certificates: impl IntoIterator<Item = &'a CertificateDer<'d>>) -> String {
    certificates
        .into_iter()
        .map(|der| encode("CERTIFICATE", der))
        .collect()
}

/// A certificate signing request as PEM.
#[must_use]
pub fn request(der: &[u8]) -> String {
    encode("CERTIFICATE REQUEST", der)
}

/// A private key (PKCS #8, DER) as PEM, to be written by [`store::write_secret`](crate::store::write_secret).
#[must_use]
pub fn private_key(pkcs8: &[u8]) -> Zeroizing<String> {
    Zeroizing::new(encode("PRIVATE KEY", pkcs8))
}

/// Reads a private key in PKCS #8 from PEM. What kind of key it is, is for the caller to see.
///
/// # Errors
/// Broken PEM, or something else in it.
pub fn parse_private_key(text: &[u8]) -> Result<Zeroizing<Vec<u8>>, PemError> {
    // The library's words could repeat what is in the file.
    let key = PrivatePkcs8KeyDer::from_pem_slice(text).map_err(|_| PemError {
        what: "private key in PKCS #8 PEM",
        problem: "expected `-----BEGIN PRIVATE KEY-----`, found something else".to_owned(),
    })?;
    Ok(Zeroizing::new(key.secret_pkcs8_der().to_vec()))
}

/// A block of PEM with lines of 64 characters (RFC 7468 §2).
pub(crate) fn encode(label: &str, der: &[u8]) -> String {
    let mut text = format!("-----BEGIN {label}-----\n");
    let body = STANDARD.encode(der);
    let mut rest = body.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(64));
        text.push_str(line);
        text.push('\n');
        rest = after;
    }
    text.push_str("-----END ");
    text.push_str(label);
    text.push_str("-----\n");
    text
}

/// Reads all certificates of a text.
///
/// # Errors
/// Broken PEM, or no certificate at all.
pub fn parse_certificates(text: &str) -> Result<Vec<CertificateDer<'static>>, PemError> {
    let what = "certificates in PEM";
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text.as_bytes()).collect();
    let found = found.map_err(|error| PemError {
        what,
        problem: error.to_string(),
    })?;
    if found.is_empty() {
        return Err(PemError {
            what,
            problem: "expected at least one, found none".to_owned(),
        });
    }
    Ok(found)
}

/// Reads exactly one certificate.
///
/// # Errors
/// Broken PEM, no certificate, or several.
pub fn parse_certificate(text: &str) -> Result<CertificateDer<'static>, PemError> {
    let mut found = parse_certificates(text)?;
    match (found.pop(), found.len()) {
        (Some(only), 0) => Ok(only),
        (_, more) => Err(PemError {
            what: "certificate in PEM",
            problem: format!("expected exactly one, found {}", more + 1),
        }),
    }
}

/// Reads a certificate signing request, from PEM or DER.
///
/// # Errors
/// Neither.
pub fn parse_request(bytes: &[u8]) -> Result<Vec<u8>, PemError> {
    if bytes.first() == Some(&0x30) {
        return Ok(bytes.to_vec());
    }
    CertificateSigningRequestDer::from_pem_slice(bytes)
        .map(|der| der.as_ref().to_vec())
        .map_err(|error| PemError {
            what: "certificate signing request",
            problem: error.to_string(),
        })
}
