//! An agent that awaits enrolment, over loopback.

use picket_identity::connect::{DialError, DialLimits, EnrollmentConnection, connect_for_enrollment};
use picket_identity::credential::Credential;
use picket_identity::serve::Limits;
use picket_identity::tls::{EnrollmentTls, agent_awaiting_enrollment};
use picket_identity::verify::Reason;

use crate::enrollment::file_for;
use crate::forge::{AGENT, GATEWAY, World};
use crate::wire::{DEADLINE, Event, Server, call_on, gateway_tls};

async fn awaiting(world: &World) -> Server {
    let enrollment = file_for(world, AGENT).verify(world.now).unwrap();
    let tls = agent_awaiting_enrollment(&enrollment, world.now).unwrap();
    Server::start(tls, Limits::default()).await
}

async fn dial(server: &Server, gateway: &Credential) -> Result<EnrollmentConnection, DialError> {
    let tls = EnrollmentTls::new(gateway).unwrap();
    connect_for_enrollment(&server.address.to_string(), &tls, &DialLimits::default()).await
}

fn shown(connection: &EnrollmentConnection) -> String {
    format!("{:02x?}", connection.binding.as_bytes())
}

#[tokio::test]
async fn both_ends_of_a_connection_and_nobody_else_have_its_binding() {
    let world = World::new();
    let server = awaiting(&world).await;
    let first = dial(&server, &world.gateway_for("acme")).await.unwrap();
    let second = dial(&server, &world.gateway_for("acme")).await.unwrap();
    for connection in [&first, &second] {
        let answer = call_on(&connection.channel, "/test.WhoAmI/Ask").await.unwrap();
        assert_eq!(answer["peer"], GATEWAY);
        assert_eq!(answer["binding"], shown(connection));
    }
    assert_ne!(shown(&first), shown(&second));
}

#[tokio::test]
async fn who_connects_is_verified_as_fully_as_ever() {
    let world = World::new();
    let mut server = awaiting(&world).await;
    let rogue = World::new();
    for (client, reason) in [
        (world.gateway_for("globex"), Reason::WrongTenant),
        (world.gateway(), Reason::WrongTenant),
        (world.agent(), Reason::WrongIssuer),
        (world.node(), Reason::WrongIssuer),
        (rogue.gateway_for("acme"), Reason::UnknownCa),
    ] {
        let failed = dial(&server, &client).await.unwrap_err();
        assert!(
            matches!(failed, DialError::RefusedByPeer { .. }),
            "{}: {failed:?}",
            client.id()
        );
        assert_eq!(server.event().await, Event::Refused(reason), "{}", client.id());
    }
}

#[tokio::test]
async fn a_throw_away_certificate_is_nobodys_identity() {
    let world = World::new();
    let server = awaiting(&world).await;
    let failed = server
        .dial(&gateway_tls(&world.gateway_for("acme"), world.expects_agent()))
        .await
        .unwrap_err();
    assert!(matches!(failed, DialError::Tls(refusal) if refusal.reason == Reason::BadProfile));
}

#[tokio::test]
async fn a_connection_for_enrolment_ends_with_its_value() {
    let world = World::new();
    let mut server = awaiting(&world).await;
    let connection = dial(&server, &world.gateway_for("acme")).await.unwrap();
    assert_eq!(server.event().await, Event::Connected(GATEWAY.to_owned()));
    let channel = connection.channel.clone();
    drop(connection);
    let closed = tokio::time::timeout(DEADLINE, server.event()).await.unwrap();
    assert_eq!(closed, Event::Closed("by peer", None));
    assert!(call_on(&channel, "/test.WhoAmI/Ask").await.is_none());
}
