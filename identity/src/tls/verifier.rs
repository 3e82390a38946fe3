//! The verifiers that rustls calls in the handshake. They only wrap an expectation.

use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
#[cfg(feature = "connect")]
use rustls::client::danger::{ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls13_signature};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, PeerIncompatible,
    SignatureScheme,
};
#[cfg(feature = "connect")]
use rustls_pki_types::ServerName;
use rustls_pki_types::{CertificateDer, UnixTime};

use crate::verify::bundle_face::MAX_INTERMEDIATES;
use crate::verify::{Expectation, Refusal};

/// Leaves have P-256 keys and nothing else.
const SCHEMES: [SignatureScheme; 1] = [SignatureScheme::ECDSA_NISTP256_SHA256];

#[derive(Debug)]
struct Inner {
    expectation: Arc<dyn Expectation>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Inner {
    fn new(expectation: Arc<dyn Expectation>, provider: &CryptoProvider) -> Self {
        Self {
            expectation,
            algorithms: provider.signature_verification_algorithms,
        }
    }

    fn verify(
        &self,
        end_entity: &CertificateDer<'_>,
        beside: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Error> {
        // No chain is longer, and one more shows one that is too long. Where a CA is pinned, only the first certificate
        // beside the leaf is ever looked at, and only to word a refusal.
        let certificates: Vec<CertificateDer<'_>> = std::iter::once(end_entity)
            .chain(beside.iter().take(MAX_INTERMEDIATES + 1))
            .cloned()
            .collect();
        self.expectation
            .verify(&certificates, now)
            .map(drop)
            .map_err(into_rustls)
    }

    fn signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        if !SCHEMES.contains(&signed.scheme) {
            return Err(PeerIncompatible::NoSignatureSchemesInCommon.into());
        }
        verify_tls13_signature(message, cert, signed, &self.algorithms)
    }
}

fn into_rustls(refusal: Refusal) -> Error {
    Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(refusal))))
}

/// TLS 1.2 isn't offered, so nobody gets here.
fn no_tls12() -> Result<HandshakeSignatureValid, Error> {
    Err(PeerIncompatible::Tls12NotOffered.into())
}

#[cfg(feature = "connect")]
/// Verifies servers, for a client.
#[derive(Debug)]
pub(super) struct ServerVerifier(Inner);

#[cfg(feature = "connect")]
impl ServerVerifier {
    pub(super) fn new(expectation: Arc<dyn Expectation>, provider: &CryptoProvider) -> Self {
        Self(Inner::new(expectation, provider))
    }
}

#[cfg(feature = "connect")]
impl ServerCertVerifier for ServerVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.0.verify(end_entity, intermediates, now)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        no_tls12()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        SCHEMES.to_vec()
    }
}

/// Verifies clients, for a server. A client certificate is always required.
#[derive(Debug)]
pub(super) struct ClientVerifier(Inner);

impl ClientVerifier {
    pub(super) fn new(expectation: Arc<dyn Expectation>, provider: &CryptoProvider) -> Self {
        Self(Inner::new(expectation, provider))
    }
}

impl ClientCertVerifier for ClientVerifier {
    fn offer_client_auth(&self) -> bool {
        true
    }

    fn client_auth_mandatory(&self) -> bool {
        true
    }

    /// None: a list of our CAs would tell strangers whose port this is.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.0.verify(end_entity, intermediates, now)?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        no_tls12()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        SCHEMES.to_vec()
    }
}
