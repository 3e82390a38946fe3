//! Someone who holds a certificate and its key, and tries doors with them.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// RFC 9113 §3.4: what a client of HTTP/2 says first, with an empty SETTINGS frame.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00";
const PATIENCE: Duration = Duration::from_secs(10);

/// What a door said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It spoke HTTP/2 to us.
    LetIn,
    /// It broke off; the text says how.
    Refused(String),
}

/// A certificate chain and its key, or nothing at all.
#[derive(Debug, Default)]
pub struct Intruder {
    credential: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
}

impl Intruder {
    /// With no certificate.
    #[must_use]
    pub fn anonymous() -> Self {
        Self::default()
    }

    /// With a chain and a key.
    #[must_use]
    pub fn with(chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> Self {
        Self {
            credential: Some((chain, key)),
        }
    }

    /// With what is found in an identity folder: an agent's, or a gateway's.
    pub fn from_identity_folder(folder: &Path) -> anyhow::Result<Self> {
        let read = |name: &str| {
            let path = folder.join(name);
            CertificateDer::from_pem_file(&path).with_context(|| path.display().to_string())
        };
        let key = folder.join("identity.key");
        let key = PrivateKeyDer::from_pem_file(&key).with_context(|| key.display().to_string())?;
        Ok(Self::with(vec![read("leaf.pem")?, read("issuer.pem")?], key))
    }

    /// With what was forged.
    #[must_use]
    pub fn from_forged(forged: crate::forgery::Forged) -> Self {
        Self::with(forged.chain, forged.key)
    }

    /// Tries one door: a TLS handshake that trusts anybody, then HTTP/2. In TLS 1.3 a client learns of its refusal only
    /// when it reads, so it reads.
    pub async fn try_door(&self, address: SocketAddr) -> anyhow::Result<Answer> {
        let tcp = TcpStream::connect(address)
            .await
            .with_context(|| format!("nobody listens on {address}"))?;
        let attempt = async {
            let connector = TlsConnector::from(Arc::new(self.tls()?));
            let mut stream = connector.connect(ServerName::from(address.ip()), tcp).await?;
            stream.write_all(PREFACE).await?;
            let mut first = [0; 9];
            stream.read_exact(&mut first).await?;
            anyhow::Ok(())
        };
        Ok(match tokio::time::timeout(PATIENCE, attempt).await {
            Ok(Ok(())) => Answer::LetIn,
            Ok(Err(error)) => Answer::Refused(format!("{error:#}")),
            Err(_) => Answer::Refused(format!("silence for {PATIENCE:?}")),
        })
    }

    /// How it speaks.
    pub fn tls(&self) -> anyhow::Result<ClientConfig> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(TrustsAnybody(Arc::clone(&provider))));
        let mut tls = match &self.credential {
            // Key and certificate needn't belong together: that is one of the things to try.
            Some((chain, key)) => {
                let key = provider.key_provider.load_private_key(key.clone_key())?;
                let certified = CertifiedKey::new(chain.clone(), key);
                builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(certified)))
            }
            None => builder.with_no_client_auth(),
        };
        tls.alpn_protocols = vec![b"h2".to_vec()];
        Ok(tls)
    }
}

/// An intruder doesn't care whom it talks to.
#[derive(Debug)]
struct TrustsAnybody(Arc<rustls::crypto::CryptoProvider>);

impl ServerCertVerifier for TrustsAnybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
