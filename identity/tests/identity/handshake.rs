//! Real handshakes over loopback: what the configurations add to the verifier.

use std::sync::Arc;

use picket_identity::connect::{DialError, DialLimits, connect};
use picket_identity::serve::Limits;
use picket_identity::tls::{gateway_dialling_platform, platform_serving_gateways};
use picket_identity::verify::{Reason, Refusal};
use rustls::HandshakeKind;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::forge::{AGENT, GATEWAY, World};
use crate::wire::{
    DEADLINE, Event, Server, agent_tls, anybody, call, gateway_tls, provider, raw_client, raw_credential,
};

/// Connects as somebody who isn't us, asks for something, and reads all there is: in TLS 1.3 a client learns of its
/// refusal no earlier.
pub(crate) async fn read_all(server: &Server, config: rustls::ClientConfig) -> std::io::Result<Vec<u8>> {
    let tcp = TcpStream::connect(server.address).await?;
    let talk = async {
        let mut stream = TlsConnector::from(Arc::new(config))
            .connect(anybody(), tcp)
            .await?;
        stream
            .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")
            .await?;
        let mut answer = vec![0; 9];
        stream.read_exact(&mut answer).await?;
        Ok(answer)
    };
    tokio::time::timeout(DEADLINE, talk)
        .await
        .expect("neither refused nor answered")
}

#[tokio::test]
async fn both_directions_accept_and_calls_carry_the_peers_identity() {
    let world = World::new();
    let mut server = Server::agent(&world).await;
    let connection = server
        .dial(&gateway_tls(&world.gateway_for("acme"), world.expects_agent()))
        .await
        .unwrap();
    assert_eq!(connection.verified.id().to_string(), AGENT);
    assert_eq!(server.event().await, Event::Connected(GATEWAY.to_owned()));
    let answer = call(&connection, "/test.WhoAmI/Ask").await.unwrap();
    assert_eq!(answer["peer"], GATEWAY);
}

#[tokio::test]
async fn a_service_that_is_not_there_is_unimplemented() {
    let world = World::new();
    let server = Server::agent(&world).await;
    let connection = server
        .dial(&gateway_tls(&world.gateway_for("acme"), world.expects_agent()))
        .await
        .unwrap();
    for path in [
        "/test.Other/Ask",
        "/test.WhoAmIToo/Ask",
        "/",
        "/grpc.reflection.v1.ServerReflection/Info",
    ] {
        assert_eq!(
            call(&connection, path).await.unwrap()["grpc-status"],
            "12",
            "{path}"
        );
    }
}

#[tokio::test]
async fn a_gateway_and_a_platform_node_accept_each_other() {
    let world = World::new();
    let tls = platform_serving_gateways(&world.node(), world.expects_gateway_client()).unwrap();
    let server = Server::start(tls, Limits::default()).await;
    let dial = gateway_dialling_platform(&world.gateway(), world.expects_platform()).unwrap();
    let connection = server.dial(&dial).await.unwrap();
    assert_eq!(
        call(&connection, "/test.WhoAmI/Ask").await.unwrap()["peer"],
        "spiffe://picket.example/gateway/gw-1"
    );
}

#[tokio::test]
async fn every_wrong_client_of_an_agent_is_refused_and_the_reason_is_told() {
    let world = World::new();
    let mut server = Server::agent(&world).await;
    let rogue = World::new();
    for (client, reason) in [
        (world.gateway_for("globex"), Reason::WrongTenant),
        (world.gateway(), Reason::WrongTenant),
        (world.agent(), Reason::WrongIssuer),
        (world.node(), Reason::WrongIssuer),
        (rogue.gateway_for("acme"), Reason::UnknownCa),
    ] {
        let failed = server
            .dial(&gateway_tls(&client, world.expects_agent()))
            .await
            .unwrap_err();
        assert!(
            matches!(failed, DialError::RefusedByPeer { .. }),
            "{}: {failed:?}",
            client.id()
        );
        assert_eq!(server.event().await, Event::Refused(reason), "{}", client.id());
    }
}

#[tokio::test]
async fn every_wrong_client_of_the_platform_is_refused() {
    let world = World::new();
    let tls = platform_serving_gateways(&world.node(), world.expects_gateway_client()).unwrap();
    let mut server = Server::start(tls, Limits::default()).await;
    for (client, reason) in [
        (world.agent(), Reason::WrongIssuer),
        (world.node(), Reason::WrongIssuer),
        (world.gateway_for("acme"), Reason::WrongAgent),
    ] {
        let dial = gateway_dialling_platform(&client, world.expects_platform()).unwrap();
        let failed = server.dial(&dial).await.unwrap_err();
        assert!(
            matches!(failed, DialError::RefusedByPeer { .. }),
            "{}: {failed:?}",
            client.id()
        );
        assert_eq!(server.event().await, Event::Refused(reason), "{}", client.id());
    }
}

#[tokio::test]
async fn a_gateway_learns_why_it_refused_an_agent() {
    let world = World::new();
    let gateway = world.gateway_for("acme");
    for (agent, reason) in [
        (world.agent_of(&world.acme, "berlin-2"), Reason::WrongAgent),
        (world.agent_of(&world.globex, "berlin-1"), Reason::WrongTenant),
        (World::new().agent(), Reason::UnknownCa),
    ] {
        let server = Server::start(agent_tls(&world, &agent), Limits::default()).await;
        let failed = server
            .dial(&gateway_tls(&gateway, world.expects_agent()))
            .await
            .unwrap_err();
        assert_eq!(
            Refusal::from_error(&failed).map(|refusal| refusal.reason),
            Some(reason),
            "{failed:?}"
        );
    }
}

#[tokio::test]
async fn a_client_without_a_certificate_is_refused() {
    let world = World::new();
    let mut server = Server::agent(&world).await;
    let refused = read_all(&server, raw_client(&[&rustls::version::TLS13], None)).await;
    assert!(refused.is_err());
    assert_eq!(server.event().await, Event::Refused(Reason::NoCert));
}

#[tokio::test]
async fn tls_1_2_is_refused() {
    let world = World::new();
    let mut server = Server::agent(&world).await;
    let credential = raw_credential(&world.gateway_for("acme"));
    assert!(
        read_all(&server, raw_client(&[&rustls::version::TLS12], Some(credential)))
            .await
            .is_err()
    );
    assert_eq!(server.event().await, Event::Refused(Reason::Protocol));
}

#[tokio::test]
async fn a_server_of_tls_1_2_is_refused() {
    let world = World::new();
    let (chain, key) = raw_credential(&world.agent());
    let config = rustls::ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let (address, _task) = foreign_server(config, 1).await;
    let tls = gateway_tls(&world.gateway_for("acme"), world.expects_agent());
    let failed = connect(&address, &tls, &DialLimits::default()).await.unwrap_err();
    assert!(
        matches!(failed, DialError::RefusedByPeer { .. } | DialError::Tls(_)),
        "{failed:?}"
    );
}

#[tokio::test]
async fn plaintext_is_refused() {
    let world = World::new();
    let mut server = Server::agent(&world).await;
    let mut tcp = TcpStream::connect(server.address).await.unwrap();
    tcp.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(DEADLINE, tcp.read_to_end(&mut answer))
        .await
        .expect("still open");
    assert!(
        !answer.starts_with(&[0, 0]),
        "an HTTP/2 frame in the clear: {answer:?}"
    );
    assert_eq!(server.event().await, Event::Refused(Reason::Protocol));
}

#[tokio::test]
async fn a_client_without_alpn_or_with_another_one_is_refused() {
    let world = World::new();
    let mut server = Server::agent(&world).await;
    let credential = world.gateway_for("acme");
    for offered in [vec![], vec![b"http/1.1".to_vec()]] {
        let mut config = raw_client(&[&rustls::version::TLS13], Some(raw_credential(&credential)));
        config.alpn_protocols = offered;
        assert!(read_all(&server, config).await.is_err());
        assert_eq!(server.event().await, Event::Refused(Reason::Protocol));
    }
    let good = raw_client(&[&rustls::version::TLS13], Some(raw_credential(&credential)));
    assert!(read_all(&server, good).await.is_ok());
}

#[tokio::test]
async fn a_server_without_alpn_is_refused() {
    let world = World::new();
    let (chain, key) = raw_credential(&world.agent());
    let config = rustls::ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let (address, _task) = foreign_server(config, 1).await;
    let tls = gateway_tls(&world.gateway_for("acme"), world.expects_agent());
    let failed = connect(&address, &tls, &DialLimits::default()).await.unwrap_err();
    assert_eq!(
        Refusal::from_error(&failed).map(|refusal| refusal.reason),
        Some(Reason::Protocol),
        "{failed:?}"
    );
}

#[tokio::test]
async fn our_server_resumes_no_session_and_gives_no_ticket() {
    let world = World::new();
    let mut server = Server::agent(&world).await;
    let mut config = raw_client(
        &[&rustls::version::TLS13],
        Some(raw_credential(&world.gateway_for("acme"))),
    );
    // A client that would resume, and send early data, if it got a ticket.
    config.resumption = rustls::client::Resumption::in_memory_sessions(16);
    config.enable_early_data = true;
    let config = Arc::new(config);
    for _ in 0..3 {
        let tcp = TcpStream::connect(server.address).await.unwrap();
        let mut stream = TlsConnector::from(Arc::clone(&config))
            .connect(anybody(), tcp)
            .await
            .unwrap();
        stream.read_exact(&mut [0; 9]).await.unwrap();
        let (_, session) = stream.get_ref();
        assert!(matches!(
            session.handshake_kind(),
            Some(HandshakeKind::Full | HandshakeKind::FullWithHelloRetryRequest)
        ));
        assert_eq!(session.tls13_tickets_received(), 0);
        assert!(!session.is_early_data_accepted());
        assert_eq!(server.event().await, Event::Connected(GATEWAY.to_owned()));
        drop(stream);
        assert_eq!(server.event().await, Event::Closed("by peer", None));
    }
}

/// A server that isn't ours, with every kind of resumption: hands back how each handshake went.
async fn foreign_server(
    config: rustls::ServerConfig,
    connections: usize,
) -> (String, tokio::task::JoinHandle<Vec<Option<HandshakeKind>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let task = tokio::spawn(async move {
        let mut kinds = Vec::new();
        for _ in 0..connections {
            let (tcp, _) = listener.accept().await.unwrap();
            let Ok(mut stream) = acceptor.accept(tcp).await else {
                continue;
            };
            // An empty SETTINGS frame, as an HTTP/2 server begins.
            let _ = stream.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await;
            let _ = stream.flush().await;
            let _ = stream.read(&mut [0; 64]).await;
            kinds.push(stream.get_ref().1.handshake_kind());
        }
        kinds
    });
    (address, task)
}

#[tokio::test]
async fn our_client_never_resumes_a_session() {
    let world = World::new();
    let (chain, key) = raw_credential(&world.agent());
    let mut config = rustls::ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    config.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new().unwrap();
    let (address, task) = foreign_server(config, 2).await;
    let tls = gateway_tls(&world.gateway_for("acme"), world.expects_agent());
    for _ in 0..2 {
        let connection = connect(&address, &tls, &DialLimits::default()).await.unwrap();
        // Tickets come after the handshake: let the client see them.
        tokio::time::timeout(DEADLINE, connection.closed())
            .await
            .expect("the server closes");
    }
    let kinds = tokio::time::timeout(DEADLINE, task).await.unwrap().unwrap();
    assert_eq!(kinds.len(), 2);
    for kind in kinds {
        assert_ne!(kind, Some(HandshakeKind::Resumed));
    }
}

#[derive(Debug)]
struct Mismatched(Arc<rustls::sign::CertifiedKey>);

impl rustls::server::ResolvesServerCert for Mismatched {
    fn resolve(&self, _hello: rustls::server::ClientHello<'_>) -> Option<Arc<rustls::sign::CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

#[tokio::test]
async fn a_stolen_certificate_without_its_key_is_refused() {
    let world = World::new();
    let (_, other_key) = raw_credential(&world.agent_of(&world.acme, "berlin-2"));
    let key = rustls::crypto::aws_lc_rs::sign::any_ecdsa_type(&other_key).unwrap();
    let certified = rustls::sign::CertifiedKey::new(world.agent().chain().to_vec(), key);
    let mut config = rustls::ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(Mismatched(Arc::new(certified))));
    config.alpn_protocols = vec![b"h2".to_vec()];
    let (address, _task) = foreign_server(config, 1).await;
    let tls = gateway_tls(&world.gateway_for("acme"), world.expects_agent());
    let failed = connect(&address, &tls, &DialLimits::default()).await.unwrap_err();
    assert_eq!(
        Refusal::from_error(&failed).map(|refusal| refusal.reason),
        Some(Reason::Protocol),
        "{failed:?}"
    );
}
