//! TLS as a client, with the verdict on the peer kept apart from the handshake: a checker of certificates wants to see
//! the ones that are wrong.

mod verifier;
mod words;

use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::OnceCell;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::certificate::Certificate;
use crate::host::secret::Secret;
use verifier::Judge;

/// What to trust.
#[derive(Debug, Clone)]
pub(crate) enum Trust {
    Platform,
    /// DER or PEM.
    Roots(Vec<Vec<u8>>),
}

/// What the client shows.
#[derive(Debug)]
pub(crate) struct Identity {
    /// PEM, leaf first.
    pub(crate) chain: Vec<u8>,
    /// PEM.
    pub(crate) key: Secret,
}

#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) server_name: String,
    pub(crate) trust: Trust,
    pub(crate) require_trusted: bool,
    pub(crate) alpn: Vec<String>,
    pub(crate) identity: Option<Identity>,
}

/// What was agreed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Session {
    pub(crate) version: String,
    pub(crate) cipher_suite: String,
    pub(crate) alpn: Option<String>,
    pub(crate) peer_certificates: Vec<Certificate>,
    pub(crate) trusted: Result<(), String>,
    pub(crate) handshake: Duration,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    #[error("{0}")]
    InvalidOptions(String),
    #[error("the peer isn't trusted: {reason}")]
    Untrusted {
        reason: String,
        session: Option<Box<Session>>,
    },
    #[error("the TLS handshake failed: {0}")]
    Handshake(String),
}

/// The roots that the platform trusts, read once when first needed.
pub(crate) struct Roots {
    extra: Vec<Vec<u8>>,
    platform: OnceCell<Arc<RootCertStore>>,
}

impl Roots {
    pub(crate) fn new(extra: Vec<Vec<u8>>) -> Self {
        Self {
            extra,
            platform: OnceCell::new(),
        }
    }

    async fn platform(&self) -> Arc<RootCertStore> {
        let load = || async {
            let found = tokio::task::spawn_blocking(rustls_native_certs::load_native_certs).await;
            let mut store = RootCertStore::empty();
            match found {
                Ok(found) => {
                    for error in &found.errors {
                        tracing::warn!(%error, "some of the platform's roots can't be read");
                    }
                    store.add_parsable_certificates(found.certs);
                }
                Err(error) => tracing::warn!(%error, "the platform's roots can't be read"),
            }
            store.add_parsable_certificates(self.extra.iter().cloned().map(CertificateDer::from));
            Arc::new(store)
        };
        Arc::clone(self.platform.get_or_init(load).await)
    }

    async fn of(&self, trust: &Trust) -> Result<Arc<RootCertStore>, TlsError> {
        match trust {
            Trust::Platform => Ok(self.platform().await),
            Trust::Roots(roots) => {
                let mut store = RootCertStore::empty();
                for root in roots {
                    for certificate in certificates(root)? {
                        store
                            .add(certificate)
                            .map_err(|error| invalid(format!("a root isn't usable: {error}")))?;
                    }
                }
                Ok(Arc::new(store))
            }
        }
    }
}

fn invalid(reason: String) -> TlsError {
    TlsError::InvalidOptions(reason)
}

/// One DER certificate, or all of a PEM text.
fn certificates(bytes: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    if bytes.first() == Some(&0x30) {
        return Ok(vec![CertificateDer::from(bytes.to_vec())]);
    }
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(bytes).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(invalid(
            "expected a certificate in DER or PEM, found neither".to_owned(),
        )),
        Err(error) => Err(invalid(format!("a certificate isn't PEM: {error}"))),
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// Does a handshake.
pub(crate) async fn handshake<S>(
    stream: S,
    options: Options,
    roots: &Roots,
) -> Result<(TlsStream<S>, Session), TlsError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let name = ServerName::try_from(options.server_name.clone()).map_err(|_| {
        invalid(format!(
            "{:?} is neither a host name nor an address",
            options.server_name
        ))
    })?;
    // A client certificate isn't shown to a peer that must be trusted and isn't; without one, nothing is lost by
    // finishing the handshake, and the checker sees what was agreed.
    let strict = options.require_trusted && options.identity.is_some();
    let judge = Arc::new(Judge::new(provider(), roots.of(&options.trust).await?, strict));
    let config = configure(&options, Arc::clone(&judge))?;
    let began = Instant::now();
    let connected = TlsConnector::from(Arc::new(config)).connect(name, stream).await;
    let handshake = began.elapsed();
    let stream = connected.map_err(|error| match judge.verdict() {
        Some(Err(reason)) if strict => TlsError::Untrusted {
            reason,
            session: None,
        },
        _ => TlsError::Handshake(error.to_string()),
    })?;
    let session = session(&stream, &judge, handshake);
    match &session.trusted {
        Err(reason) if options.require_trusted => {
            let reason = reason.clone();
            Err(TlsError::Untrusted {
                reason,
                session: Some(Box::new(session)),
            })
        }
        _ => Ok((stream, session)),
    }
}

fn configure(options: &Options, judge: Arc<Judge>) -> Result<ClientConfig, TlsError> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| invalid(error.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(judge);
    let mut config = match &options.identity {
        None => builder.with_no_client_auth(),
        Some(identity) => {
            let chain = certificates(&identity.chain)?;
            // The parser's own words could quote the key.
            let key = PrivateKeyDer::from_pem_slice(identity.key.expose())
                .map_err(|_| invalid("the client's key isn't a PEM private key".to_owned()))?;
            builder
                .with_client_auth_cert(chain, key)
                .map_err(|_| invalid("the client's key and certificate don't fit each other".to_owned()))?
        }
    };
    // Each run measures a full handshake, and nothing of one run is known to the next.
    config.resumption = Resumption::disabled();
    config.alpn_protocols = options
        .alpn
        .iter()
        .map(|protocol| protocol.clone().into_bytes())
        .collect();
    Ok(config)
}

fn session<S>(stream: &TlsStream<S>, judge: &Judge, handshake: Duration) -> Session {
    let (_, connection) = stream.get_ref();
    let version = match connection.protocol_version() {
        Some(rustls::ProtocolVersion::TLSv1_3) => "TLSv1.3".to_owned(),
        Some(rustls::ProtocolVersion::TLSv1_2) => "TLSv1.2".to_owned(),
        other => format!("{other:?}"),
    };
    let cipher_suite = connection
        .negotiated_cipher_suite()
        .and_then(|suite| suite.suite().as_str())
        // rustls spells TLS 1.3 suites TLS13_…, IANA spells them TLS_….
        .map(|name| name.replacen("TLS13_", "TLS_", 1))
        .unwrap_or_default();
    let certificates = connection.peer_certificates().unwrap_or_default();
    Session {
        version,
        cipher_suite,
        alpn: connection
            .alpn_protocol()
            .map(|bytes| String::from_utf8_lossy(bytes).into_owned()),
        peer_certificates: certificates.iter().map(|der| Certificate::read(der)).collect(),
        trusted: judge
            .verdict()
            .unwrap_or_else(|| Err("the peer showed no certificate".to_owned())),
        handshake,
    }
}
