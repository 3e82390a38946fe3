//! A listener on loopback that answers every call with the peer's ID, and peers of every kind.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use picket_identity::connect::{Connection, DialError, DialLimits, connect};
use picket_identity::credential::Credential;
use picket_identity::serve::{
    Closed, HandshakeFailure, Limits, Observer, PeerIdentity, Routes, TurnedAway, serve,
};
use picket_identity::tls::{ClientTls, ServerTls, agent_serving_gateways, gateway_dialling_agent};
use picket_identity::verify::{AgentExpectation, Reason, Verified};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::body::Body;
use tower_service::Service;

use crate::forge::World;

/// Longer than anything here takes; a test that waits this long has failed.
pub(crate) const DEADLINE: Duration = Duration::from_secs(10);

#[derive(Clone)]
pub(crate) struct WhoAmI;

impl tonic::server::NamedService for WhoAmI {
    const NAME: &'static str = "test.WhoAmI";
}

impl Service<http::Request<Body>> for WhoAmI {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<http::Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let id = request
            .extensions()
            .get::<PeerIdentity>()
            .map(|peer| peer.id().to_string());
        let binding = request
            .extensions()
            .get::<PeerIdentity>()
            .map(|peer| format!("{:02x?}", peer.channel_binding().as_bytes()));
        let answer = http::Response::builder()
            .header("content-type", "application/grpc")
            .header("grpc-status", "0")
            .header("binding", binding.unwrap_or_default())
            .header("peer", id.unwrap_or_default())
            .body(Body::empty());
        ready(Ok(answer.unwrap()))
    }
}

/// What the listener told its owner.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Refused(Reason),
    Timeout,
    Broken,
    TurnedAway(TurnedAway),
    Connected(String),
    Closed(&'static str, Option<Reason>),
}

struct Recorder(mpsc::UnboundedSender<Event>);

impl Observer for Recorder {
    fn handshake_failed(&self, _peer: SocketAddr, failure: &HandshakeFailure) {
        let _ = self.0.send(match failure {
            HandshakeFailure::Refused(refusal) => Event::Refused(refusal.reason),
            HandshakeFailure::Timeout => Event::Timeout,
            HandshakeFailure::Broken(_) => Event::Broken,
        });
    }

    fn turned_away(&self, _peer: SocketAddr, cause: TurnedAway) {
        let _ = self.0.send(Event::TurnedAway(cause));
    }

    fn connected(&self, _peer: SocketAddr, verified: &Verified) {
        let _ = self.0.send(Event::Connected(verified.id().to_string()));
    }

    fn closed(&self, _peer: SocketAddr, _verified: &Verified, closed: &Closed) {
        let _ = self.0.send(match closed {
            Closed::ByPeer(_) => Event::Closed("by peer", None),
            Closed::Shutdown => Event::Closed("shutdown", None),
            Closed::Expired => Event::Closed("expired", None),
            Closed::Refused(refusal) => Event::Closed("refused", Some(refusal.reason)),
        });
    }
}

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) tls: watch::Sender<Arc<ServerTls>>,
    pub(crate) task: JoinHandle<()>,
    pub(crate) shutdown: CancellationToken,
    events: mpsc::UnboundedReceiver<Event>,
    _guard: DropGuard,
}

impl Server {
    pub(crate) async fn start(tls: ServerTls, limits: Limits) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, receiver) = watch::channel(Arc::new(tls));
        let (events_in, events) = mpsc::unbounded_channel();
        let shutdown = CancellationToken::new();
        let routes = Routes::new().add(WhoAmI);
        let observer = Arc::new(Recorder(events_in));
        let task = tokio::spawn(serve(
            listener,
            receiver,
            routes,
            limits,
            observer,
            shutdown.clone(),
        ));
        Self {
            address,
            tls: sender,
            task,
            _guard: shutdown.clone().drop_guard(),
            shutdown,
            events,
        }
    }

    /// berlin-1 of acme.
    pub(crate) async fn agent(world: &World) -> Self {
        Self::start(agent_tls(world, &world.agent()), Limits::default()).await
    }

    pub(crate) async fn event(&mut self) -> Event {
        tokio::time::timeout(DEADLINE, self.events.recv())
            .await
            .expect("no event")
            .unwrap()
    }

    pub(crate) async fn dial(&self, tls: &ClientTls) -> Result<Connection, DialError> {
        connect(&self.address.to_string(), tls, &DialLimits::default()).await
    }
}

pub(crate) fn agent_tls(world: &World, credential: &Credential) -> ServerTls {
    agent_serving_gateways(credential, world.expects_gateway()).unwrap()
}

pub(crate) fn gateway_tls(credential: &Credential, expected: AgentExpectation) -> ClientTls {
    gateway_dialling_agent(credential, expected).unwrap()
}

/// Calls a service over a connection; `None` where the call failed.
pub(crate) async fn call(connection: &Connection, path: &str) -> Option<http::HeaderMap> {
    call_on(&connection.channel, path).await
}

pub(crate) async fn call_on(channel: &tonic::transport::Channel, path: &str) -> Option<http::HeaderMap> {
    let request = http::Request::post(path)
        .header("te", "trailers")
        .body(Body::empty())
        .unwrap();
    let mut channel = channel.clone();
    let answer = tokio::time::timeout(DEADLINE, async {
        std::future::poll_fn(|cx| channel.poll_ready(cx)).await?;
        channel.call(request).await
    });
    Some(answer.await.expect("no answer").ok()?.headers().clone())
}

/// A peer who believes everything.
#[derive(Debug)]
pub(crate) struct Gullible;

impl ServerCertVerifier for Gullible {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        vec![rustls::SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}

pub(crate) fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// A client that isn't ours: which versions it speaks, and with what certificate.
pub(crate) fn raw_client(
    versions: &[&'static rustls::SupportedProtocolVersion],
    credential: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
) -> rustls::ClientConfig {
    let builder = rustls::ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(versions)
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Gullible));
    let mut config = match credential {
        None => builder.with_no_client_auth(),
        Some((chain, key)) => builder.with_client_auth_cert(chain, key).unwrap(),
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    config
}

/// A credential's chain and key, for configurations that aren't ours.
pub(crate) fn raw_credential(
    credential: &Credential,
) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("identity").join("identity.key");
    credential.key().store(&path).unwrap();
    use rustls_pki_types::pem::PemObject;
    (
        credential.chain().to_vec(),
        PrivateKeyDer::from_pem_file(&path).unwrap(),
    )
}

/// A name that nobody compares.
pub(crate) fn anybody() -> ServerName<'static> {
    ServerName::try_from("127.0.0.1").unwrap()
}
