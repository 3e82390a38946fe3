//! Where a peer is refused: in the handshake itself, with an alert, before anything else is said.

use std::sync::{Arc, Mutex};

use picket_identity::serve::{Limits, TurnedAway};
use picket_identity::verify::{Reason, peer_alert};
use rustls::client::ResolvesClientCert;
use rustls::sign::CertifiedKey;
use rustls::{AlertDescription, SignatureScheme};

use crate::forge::World;
use crate::handshake::read_all;
use crate::wire::{Event, Server, agent_tls, gateway_tls, raw_client, raw_credential};

#[tokio::test]
async fn a_client_without_a_certificate_hears_that_it_needs_one() {
    let world = World::new();
    let server = Server::agent(&world).await;
    let refused = read_all(&server, raw_client(&[&rustls::version::TLS13], None)).await;
    assert_eq!(
        peer_alert(&refused.unwrap_err()),
        Some(AlertDescription::CertificateRequired)
    );
}

#[tokio::test]
async fn a_client_that_is_refused_hears_it_in_the_handshake() {
    let world = World::new();
    let server = Server::agent(&world).await;
    let credential = raw_credential(&world.gateway_for("globex"));
    let refused = read_all(&server, raw_client(&[&rustls::version::TLS13], Some(credential))).await;
    let alert = peer_alert(&refused.unwrap_err());
    assert!(alert.is_some(), "cut without a word");
}

#[tokio::test]
async fn a_server_that_is_refused_never_gets_the_clients_certificate() {
    let world = World::new();
    let mut server = Server::agent(&world).await;
    let mut expected = world.expects_agent();
    expected.agent = "berlin-2".parse().unwrap();
    let gateway = gateway_tls(&world.gateway_for("acme"), expected);
    assert!(server.dial(&gateway).await.is_err());
    // It would be `Connected` if the client had finished its handshake.
    assert_eq!(server.event().await, Event::Broken);
}

#[tokio::test]
async fn a_client_of_tls_1_2_hears_that_it_is_too_old() {
    let world = World::new();
    let mut server = Server::agent(&world).await;
    let credential = raw_credential(&world.gateway_for("acme"));
    let refused = read_all(&server, raw_client(&[&rustls::version::TLS12], Some(credential))).await;
    let alert = peer_alert(&refused.unwrap_err());
    assert_eq!(alert, Some(AlertDescription::ProtocolVersion));
    assert_eq!(server.event().await, Event::Refused(Reason::Protocol));
}

/// A client that has no certificate, and remembers whose the server asked for.
#[derive(Debug, Default)]
struct Curious(Mutex<Option<usize>>);

impl ResolvesClientCert for Curious {
    fn resolve(&self, hints: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        *self.0.lock().unwrap() = Some(hints.len());
        None
    }

    fn has_certs(&self) -> bool {
        true
    }
}

#[tokio::test]
async fn a_stranger_is_not_told_whose_port_it_is() {
    let world = World::new();
    let server = Server::agent(&world).await;
    let mut client = raw_client(&[&rustls::version::TLS13], None);
    let curious = Arc::new(Curious::default());
    client.client_auth_cert_resolver = curious.clone();
    assert!(read_all(&server, client).await.is_err());
    assert_eq!(*curious.0.lock().unwrap(), Some(0), "names of CAs were sent");
}

#[tokio::test]
async fn a_peer_beyond_the_half_open_ones_is_not_served() {
    let world = World::new();
    let limits = Limits {
        half_open: 1,
        ..Limits::default()
    };
    let tls = agent_tls(&world, &world.agent());
    let mut server = Server::start(tls, limits).await;
    // Connections are taken in their order, so this one has the only place.
    let silent = tokio::net::TcpStream::connect(server.address).await.unwrap();
    let gateway = gateway_tls(&world.gateway_for("acme"), world.expects_agent());
    assert!(server.dial(&gateway).await.is_err());
    assert_eq!(server.event().await, Event::TurnedAway(TurnedAway::HalfOpen));
    drop(silent);
}
