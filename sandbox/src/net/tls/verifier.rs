//! Judges a server's certificate and remembers the verdict.

use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

/// Lets a handshake with an untrusted peer go on unless it is strict. Signatures are always verified: a peer without
/// the certificate's key isn't the one that the certificate names, whatever one thinks of the certificate.
#[derive(Debug)]
pub(super) struct Judge {
    provider: Arc<CryptoProvider>,
    /// `Err` where there is nothing to trust.
    web_pki: Result<Arc<WebPkiServerVerifier>, String>,
    strict: bool,
    verdict: Mutex<Option<Result<(), String>>>,
}

impl Judge {
    pub(super) fn new(provider: Arc<CryptoProvider>, roots: Arc<RootCertStore>, strict: bool) -> Self {
        let web_pki = if roots.is_empty() {
            Err(
                "there are no roots to trust: install the system's CA certificates, or name the roots"
                    .to_owned(),
            )
        } else {
            WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(&provider))
                .build()
                .map_err(|error| error.to_string())
        };
        Self {
            provider,
            web_pki,
            strict,
            verdict: Mutex::new(None),
        }
    }

    pub(super) fn verdict(&self) -> Option<Result<(), String>> {
        self.verdict
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl ServerCertVerifier for Judge {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let judged = match &self.web_pki {
            Ok(verifier) => verifier
                .verify_server_cert(leaf, intermediates, name, ocsp, now)
                .map(|_| ()),
            Err(reason) => Err(Error::General(reason.clone())),
        };
        let verdict = judged.clone().map_err(|error| match error {
            Error::InvalidCertificate(reason) => super::words::of(&reason),
            Error::General(reason) => reason,
            other => other.to_string(),
        });
        *self.verdict.lock().unwrap_or_else(PoisonError::into_inner) = Some(verdict);
        match judged {
            Err(error) if self.strict => Err(error),
            _ => Ok(ServerCertVerified::assertion()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(
            message,
            cert,
            dss,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(
            message,
            cert,
            dss,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
