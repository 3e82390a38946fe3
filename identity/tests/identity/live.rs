//! What becomes of connections: limits, denials, expiry, loss, shutdown.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use picket_identity::connect::{DialError, DialLimits, Phase, connect};
use picket_identity::serve::{Limits, TurnedAway};
use picket_identity::verify::{Denied, Reason, Serials};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;

use crate::forge::{GATEWAY, World};
use crate::wire::{
    DEADLINE, Event, Server, agent_tls, anybody, call, gateway_tls, raw_client, raw_credential,
};

#[tokio::test]
async fn a_silent_peer_is_dropped_and_never_blocks_others() {
    let world = World::new();
    let limits = Limits {
        handshake: Duration::from_millis(300),
        ..Limits::default()
    };
    let mut server = Server::start(agent_tls(&world, &world.agent()), limits).await;
    let mut silent = TcpStream::connect(server.address).await.unwrap();
    let tls = gateway_tls(&world.gateway_for("acme"), world.expects_agent());
    assert!(server.dial(&tls).await.is_ok());
    assert_eq!(server.event().await, Event::Connected(GATEWAY.to_owned()));
    loop {
        match server.event().await {
            Event::Timeout => break,
            Event::Closed(..) => {}
            other => panic!("{other:?}"),
        }
    }
    let read = tokio::time::timeout(DEADLINE, silent.read(&mut [0; 1]))
        .await
        .expect("still open");
    assert!(matches!(read, Ok(0) | Err(_)));
}

#[tokio::test]
async fn a_flood_of_half_open_connections_is_turned_away() {
    let world = World::new();
    let limits = Limits {
        handshake: Duration::from_millis(500),
        half_open: 3,
        ..Limits::default()
    };
    let mut server = Server::start(agent_tls(&world, &world.agent()), limits).await;
    let mut flood = Vec::new();
    for _ in 0..6 {
        flood.push(TcpStream::connect(server.address).await.unwrap());
    }
    for _ in 0..3 {
        assert_eq!(server.event().await, Event::TurnedAway(TurnedAway::HalfOpen));
    }
    for _ in 0..3 {
        assert_eq!(server.event().await, Event::Timeout);
    }
    let tls = gateway_tls(&world.gateway_for("acme"), world.expects_agent());
    assert!(server.dial(&tls).await.is_ok(), "the listener goes on");
}

#[tokio::test]
async fn a_verified_connection_is_not_half_open_any_more() {
    let world = World::new();
    let limits = Limits {
        half_open: 1,
        ..Limits::default()
    };
    let server = Server::start(agent_tls(&world, &world.agent()), limits).await;
    let tls = gateway_tls(&world.gateway_for("acme"), world.expects_agent());
    let first = server.dial(&tls).await.unwrap();
    let second = server.dial(&tls).await.unwrap();
    assert!(call(&first, "/test.WhoAmI/Ask").await.is_some());
    assert!(call(&second, "/test.WhoAmI/Ask").await.is_some());
}

#[tokio::test]
async fn a_rapid_reset_ends_its_connection_and_no_other() {
    let world = World::new();
    let mut server = Server::agent(&world).await;
    let gateway = world.gateway_for("acme");
    let other = server
        .dial(&gateway_tls(&gateway, world.expects_agent()))
        .await
        .unwrap();
    assert_eq!(server.event().await, Event::Connected(GATEWAY.to_owned()));

    let mut attack = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec();
    for stream in 0..2000_u32 {
        let id = (2 * stream + 1).to_be_bytes();
        // HEADERS (RFC 9113 §6.2): POST https / of authority `a`, ended at once; then RST_STREAM with CANCEL.
        attack.extend(
            [0, 0, 6, 1, 5]
                .iter()
                .chain(&id)
                .chain(&[0x83, 0x87, 0x84, 0x41, 0x01, b'a']),
        );
        attack.extend([0, 0, 4, 3, 0].iter().chain(&id).chain(&[0, 0, 0, 8]));
    }
    let config = raw_client(&[&rustls::version::TLS13], Some(raw_credential(&gateway)));
    let tcp = TcpStream::connect(server.address).await.unwrap();
    let mut stream = TlsConnector::from(Arc::new(config))
        .connect(anybody(), tcp)
        .await
        .unwrap();
    // The server may hang up in the middle of it.
    let _ = stream.write_all(&attack).await;
    let mut rest = Vec::new();
    let _ = tokio::time::timeout(DEADLINE, stream.read_to_end(&mut rest))
        .await
        .expect("still connected");
    assert_eq!(server.event().await, Event::Connected(GATEWAY.to_owned()));
    assert_eq!(server.event().await, Event::Closed("by peer", None));
    assert!(call(&other, "/test.WhoAmI/Ask").await.is_some());
}

#[tokio::test]
async fn connections_beyond_the_cap_are_turned_away() {
    let world = World::new();
    let limits = Limits {
        connections: 1,
        ..Limits::default()
    };
    let server = Server::start(agent_tls(&world, &world.agent()), limits).await;
    let tls = gateway_tls(&world.gateway_for("acme"), world.expects_agent());
    let first = server.dial(&tls).await.unwrap();
    assert!(server.dial(&tls).await.is_err());
    assert!(call(&first, "/test.WhoAmI/Ask").await.is_some());
}

#[tokio::test]
async fn a_denial_cuts_a_live_connection() {
    let world = World::new();
    let agent = world.agent();
    let mut server = Server::start(agent_tls(&world, &agent), Limits::default()).await;
    let gateway = world.gateway_for("acme");
    let connection = server
        .dial(&gateway_tls(&gateway, world.expects_agent()))
        .await
        .unwrap();
    assert!(call(&connection, "/test.WhoAmI/Ask").await.is_some());
    assert_eq!(server.event().await, Event::Connected(GATEWAY.to_owned()));

    let mut expected = world.expects_gateway();
    let denied = Denied {
        issuer: expected.trust.cas()[0].id(),
        serial: gateway.leaf().serial.clone(),
    };
    expected.serials = Serials::AllBut(BTreeSet::from([denied]));
    let tls = picket_identity::tls::agent_serving_gateways(&agent, expected).unwrap();
    server.tls.send(Arc::new(tls)).unwrap();
    assert_eq!(
        server.event().await,
        Event::Closed("refused", Some(Reason::Revoked))
    );
    tokio::time::timeout(Duration::from_secs(5), connection.closed())
        .await
        .expect("still connected");
    assert!(call(&connection, "/test.WhoAmI/Ask").await.is_none());
}

#[tokio::test]
async fn a_new_credential_serves_the_next_connection_and_keeps_the_last() {
    let world = World::new();
    let server = Server::agent(&world).await;
    let dial = gateway_tls(&world.gateway_for("acme"), world.expects_agent());
    let first = server.dial(&dial).await.unwrap();
    let renewed = world.agent();
    server.tls.send(Arc::new(agent_tls(&world, &renewed))).unwrap();
    let second = server.dial(&dial).await.unwrap();
    assert_eq!(second.verified.serial(), &renewed.leaf().serial);
    assert_ne!(first.verified.serial(), second.verified.serial());
    assert!(call(&first, "/test.WhoAmI/Ask").await.is_some());
}

#[tokio::test]
async fn a_connection_ends_with_the_clients_certificate() {
    let world = World::new();
    let mut server = Server::agent(&world).await;
    let short = world.gateway_for_lasting("acme", Duration::from_secs(3));
    let connection = server
        .dial(&gateway_tls(&short, world.expects_agent()))
        .await
        .unwrap();
    assert_eq!(server.event().await, Event::Connected(GATEWAY.to_owned()));
    assert_eq!(server.event().await, Event::Closed("expired", None));
    tokio::time::timeout(DEADLINE, connection.closed())
        .await
        .expect("still connected");
}

#[tokio::test]
async fn a_gateway_cuts_an_agent_that_is_not_accepted_any_more() {
    let world = World::new();
    let server = Server::agent(&world).await;
    let gateway = world.gateway_for("acme");
    let connection = server
        .dial(&gateway_tls(&gateway, world.expects_agent()))
        .await
        .unwrap();
    let mut expected = world.expects_agent();
    expected.serials = Serials::Active(BTreeSet::new());
    let changed = gateway_tls(&gateway, expected);
    let refusal = connection.verify_again(&changed, world.now).unwrap_err();
    assert_eq!(refusal.reason, Reason::Revoked);
    tokio::time::timeout(DEADLINE, connection.closed())
        .await
        .expect("still connected");
    assert!(call(&connection, "/test.WhoAmI/Ask").await.is_none());
}

#[tokio::test]
async fn a_lost_connection_is_an_error_and_not_a_second_dial() {
    let world = World::new();
    let mut server = Server::agent(&world).await;
    let connection = server
        .dial(&gateway_tls(&world.gateway_for("acme"), world.expects_agent()))
        .await
        .unwrap();
    assert_eq!(server.event().await, Event::Connected(GATEWAY.to_owned()));
    connection.cut();
    tokio::time::timeout(DEADLINE, connection.closed())
        .await
        .expect("still connected");
    for _ in 0..3 {
        assert!(call(&connection, "/test.WhoAmI/Ask").await.is_none());
    }
    assert_eq!(server.event().await, Event::Closed("by peer", None));
    server.shutdown.cancel();
    let server_task = server.task;
    tokio::time::timeout(DEADLINE, server_task)
        .await
        .expect("still serving")
        .unwrap();
}

#[tokio::test]
async fn a_shutdown_ends_connections_and_the_listener() {
    let world = World::new();
    let mut server = Server::agent(&world).await;
    let connection = server
        .dial(&gateway_tls(&world.gateway_for("acme"), world.expects_agent()))
        .await
        .unwrap();
    assert_eq!(server.event().await, Event::Connected(GATEWAY.to_owned()));
    server.shutdown.cancel();
    assert_eq!(server.event().await, Event::Closed("shutdown", None));
    tokio::time::timeout(DEADLINE, connection.closed())
        .await
        .expect("still connected");
    tokio::time::timeout(DEADLINE, server.task)
        .await
        .expect("still serving")
        .unwrap();
}

#[tokio::test]
async fn a_dial_says_in_which_part_it_failed() {
    let world = World::new();
    let tls = gateway_tls(&world.gateway_for("acme"), world.expects_agent());
    let limits = DialLimits {
        tls: Duration::from_millis(200),
        ..DialLimits::default()
    };

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent = connect(&listener.local_addr().unwrap().to_string(), &tls, &limits)
        .await
        .unwrap_err();
    assert!(
        matches!(
            silent,
            DialError::Timeout {
                phase: Phase::Tls,
                ..
            }
        ),
        "{silent:?}"
    );

    let nobody = listener.local_addr().unwrap().to_string();
    drop(listener);
    let refused = connect(&nobody, &tls, &limits).await.unwrap_err();
    assert!(matches!(refused, DialError::Refused { .. }), "{refused:?}");

    let unknown = connect("picket-test.invalid:7443", &tls, &limits)
        .await
        .unwrap_err();
    assert!(
        matches!(
            unknown,
            DialError::NameResolution { .. }
                | DialError::Timeout {
                    phase: Phase::Name,
                    ..
                }
        ),
        "{unknown:?}"
    );
    let no_port = connect("localhost", &tls, &limits).await.unwrap_err();
    assert!(matches!(no_port, DialError::NameResolution { .. }), "{no_port:?}");
}
