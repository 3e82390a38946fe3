//! How a gateway dials an agent that has no certificate yet.
//!
//! There is nothing to verify the agent by: its certificate is a throw-away one. The handshake only proves that the peer
//! has the certificate's key, which makes the connection's exporter worth something. Who the agent is, is proved inside,
//! by its activation key over that exporter; until then the peer is a stranger, and gets nothing but the question.

use std::sync::Arc;

use rustls::ClientConfig;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls13_signature};
use rustls::{CertificateError, DigitallySignedStruct, Error, PeerIncompatible, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use super::{TlsError, client_config, provider};
use crate::credential::Credential;
use crate::profile::MAX_CERTIFICATE;

/// How a gateway makes connections to agents that await enrolment. Good for
/// [`connect_for_enrollment`](crate::connect::connect_for_enrollment) and nothing else.
#[derive(Clone, Debug)]
pub struct EnrollmentTls {
    pub(crate) config: Arc<ClientConfig>,
}

impl EnrollmentTls {
    /// With a gateway's credential for the agent's tenant.
    ///
    /// # Errors
    /// A credential whose key and chain don't belong together.
    pub fn new(credential: &Credential) -> Result<Self, TlsError> {
        let provider = provider();
        let verifier = Arc::new(Stranger::new(&provider));
        Ok(Self {
            config: client_config(credential, provider, verifier)?,
        })
    }
}

/// Accepts any certificate, if the peer has its key.
#[derive(Debug)]
struct Stranger(WebPkiSupportedAlgorithms);

impl Stranger {
    fn new(provider: &CryptoProvider) -> Self {
        Self(provider.signature_verification_algorithms)
    }
}

impl ServerCertVerifier for Stranger {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if end_entity.len() > MAX_CERTIFICATE {
            return Err(CertificateError::BadEncoding.into());
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(PeerIncompatible::Tls12NotOffered.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}
