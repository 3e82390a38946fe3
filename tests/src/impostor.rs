//! Someone who listens where an agent should, with any certificate, and would give results to whoever asks.

use std::net::SocketAddr;
use std::sync::Arc;

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use picket_identity::bundle::Identity;
use picket_proto::agent::v1::agent_server::AgentServer;
use rustls::ServerConfig;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    DigitallySignedStruct, DistinguishedName, SignatureScheme, client::danger::HandshakeSignatureValid,
};
use rustls_pki_types::{CertificateDer, UnixTime};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::body::Body;
use tower_service::Service as _;

use crate::forgery::Forged;
use crate::simulated::Simulation;

/// What is wrong with how it speaks; nothing, where only its certificate is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speaks {
    /// TLS 1.3 with ALPN h2.
    Well,
    /// TLS 1.2.
    Tls12,
    /// No ALPN.
    NoAlpn,
}

/// Ends when it is dropped.
#[derive(Debug)]
pub struct Impostor {
    /// Where it listens.
    pub address: SocketAddr,
    _stop: DropGuard,
}

impl Impostor {
    /// Listens with a forged certificate. `victim` is the identity whose results it would give: sealed with the victim's own
    /// key, so that nothing but the refusal of its certificate keeps them out.
    pub fn start(
        listener: TcpListener,
        forged: Forged,
        victim: &Identity,
        speaks: Speaks,
    ) -> anyhow::Result<Self> {
        let address = listener.local_addr()?;
        let config = Arc::new(config(forged, speaks)?);
        let service = AgentServer::new(Simulation::new(victim.credential(), 3));
        let stop = CancellationToken::new();
        tokio::spawn({
            let stop = stop.clone();
            async move {
                loop {
                    let accepted = tokio::select! {
                        () = stop.cancelled() => return,
                        accepted = listener.accept() => accepted,
                    };
                    let Ok((tcp, _)) = accepted else { continue };
                    let acceptor = TlsAcceptor::from(Arc::clone(&config));
                    let service = service.clone();
                    let stop = stop.clone();
                    tokio::spawn(async move {
                        let Ok(stream) = acceptor.accept(tcp).await else {
                            return;
                        };
                        let service =
                            tower::service_fn(move |request: http::Request<hyper::body::Incoming>| {
                                service.clone().call(request.map(Body::new))
                            });
                        let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                        let serving =
                            server.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
                        tokio::select! {
                            () = stop.cancelled() => {}
                            _ = serving => {}
                        }
                    });
                }
            }
        });
        Ok(Self {
            address,
            _stop: stop.drop_guard(),
        })
    }
}

fn config(forged: Forged, speaks: Speaks) -> anyhow::Result<ServerConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let versions: &[&rustls::SupportedProtocolVersion] = match speaks {
        Speaks::Tls12 => &[&rustls::version::TLS12],
        _ => &[&rustls::version::TLS13],
    };
    let signing_key = provider.key_provider.load_private_key(forged.key)?;
    // Key and certificate needn't belong together: that is one of the forgeries.
    let resolver =
        rustls::sign::SingleCertAndKey::from(rustls::sign::CertifiedKey::new(forged.chain, signing_key));
    let mut config = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(versions)?
        .with_client_cert_verifier(Arc::new(AcceptsAnybody(provider)))
        .with_cert_resolver(Arc::new(resolver));
    if speaks != Speaks::NoAlpn {
        config.alpn_protocols = vec![b"h2".to_vec()];
    }
    Ok(config)
}

/// An impostor doesn't care who asks.
#[derive(Debug)]
struct AcceptsAnybody(Arc<rustls::crypto::CryptoProvider>);

impl ClientCertVerifier for AcceptsAnybody {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
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
