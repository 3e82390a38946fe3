//! What the platform says that the agent is to trust, carried by gateways.

use picket_identity::bundle;
use picket_identity::connect::DialError;
use picket_identity::verify::now;
use picket_issuing::{CertificateAuthority, Intermediate};
use picket_proto::agent::v1::agent_client::AgentClient;
use picket_proto::agent::v1::pull_request::Kind as Ask;
use picket_proto::agent::v1::trust_client::TrustClient;
use picket_proto::agent::v1::{PullResponse, TrustUpdate};
use std::time::Duration;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Streaming};

use crate::registry::{SEQUENCE, denial_of, sign, update_trust};
use crate::world::{World, ask, start};

/// A pull that goes on until somebody ends it.
pub(crate) async fn following(
    client: &mut AgentClient<tonic::transport::Channel>,
) -> (
    tokio::sync::mpsc::Sender<picket_proto::agent::v1::PullRequest>,
    Streaming<PullResponse>,
) {
    let (requests, receiver) = tokio::sync::mpsc::channel(8);
    requests.send(ask(Ask::Start(start("", 0, true)))).await.unwrap();
    let answers = client
        .pull(ReceiverStream::new(receiver))
        .await
        .unwrap()
        .into_inner();
    (requests, answers)
}

#[tokio::test]
async fn a_denied_gateway_is_cut_within_five_seconds_and_not_let_in_again() {
    let world = World::new();
    let running = world.start().await;
    let denied = world.gateway_named("gw-2", "acme");
    let connection = world.dial(&running, &denied).await.unwrap();
    let (_requests, mut answers) = following(&mut AgentClient::new(connection.channel.clone())).await;
    answers.message().await.unwrap().expect("the stream lives");
    let mut courier = world.gateway(&running).await;
    let (_more, mut beside) = following(&mut courier.client.clone()).await;
    beside.message().await.unwrap().expect("the stream lives");

    let update = world.trust(SEQUENCE, vec![denial_of(&world, &denied)]);
    let cut = tokio::time::timeout(Duration::from_secs(5), async {
        let sequence = update_trust(courier.connection.channel.clone(), update)
            .await
            .unwrap();
        assert_eq!(sequence, SEQUENCE);
        while let Ok(Some(_)) = answers.message().await {}
        connection.closed().await;
    });
    cut.await.expect("the live stream is cut");
    let again = world.dial(&running, &denied).await;
    assert!(matches!(again, Err(DialError::RefusedByPeer { .. })), "{again:?}");
    // The one who carried the update goes on.
    assert_eq!(courier.describe().await.trust_sequence, SEQUENCE);
    running.stop().await;

    // What was taken holds after a restart.
    let running = world.start().await;
    assert!(world.dial(&running, &denied).await.is_err());
    assert_eq!(
        world.gateway(&running).await.describe().await.trust_sequence,
        SEQUENCE
    );
    running.stop().await;
}

/// Also what another program has put into the folder.
#[tokio::test]
async fn a_change_in_the_folder_is_published_too() {
    let world = World::new();
    let running = world.start().await;
    let denied = world.gateway_named("gw-2", "acme");
    let connection = world.dial(&running, &denied).await.unwrap();
    let update = world.trust(SEQUENCE, vec![denial_of(&world, &denied)]);
    let current = bundle::load(&world.path("identity"), now()).unwrap();
    let statement =
        picket_agent_host::exchange::issued::verify_trust(&update, current.id(), current.peers(), now())
            .unwrap();
    bundle::apply_trust(&world.path("identity"), &statement, now()).unwrap();
    tokio::time::timeout(Duration::from_secs(30), connection.closed())
        .await
        .expect("the denied gateway is cut");
    assert_eq!(
        world.gateway(&running).await.describe().await.trust_sequence,
        SEQUENCE
    );
    running.stop().await;
}

#[tokio::test]
async fn an_older_update_and_the_same_again_change_nothing() {
    let world = World::new();
    let running = world.start().await;
    let gateway = world.gateway(&running).await;
    let channel = gateway.connection.channel.clone();
    let denied = world.gateway_named("gw-2", "acme");
    let update = world.trust(SEQUENCE, vec![denial_of(&world, &denied)]);
    assert_eq!(
        update_trust(channel.clone(), update.clone()).await.unwrap(),
        SEQUENCE
    );
    let files = || std::fs::read(world.path("identity/trust.json")).unwrap();
    let before = files();
    for old in [
        world.trust(SEQUENCE - 1, Vec::new()),
        world.trust(SEQUENCE, Vec::new()),
        update,
    ] {
        assert_eq!(update_trust(channel.clone(), old).await.unwrap(), SEQUENCE);
        assert_eq!(files(), before);
    }
    assert!(
        world.dial(&running, &denied).await.is_err(),
        "the denial still holds"
    );
    running.stop().await;
}

#[tokio::test]
async fn only_the_platforms_word_for_this_tenant_counts() {
    let world = World::new();
    let running = world.start().await;
    let mut gateway = world.gateway(&running).await;
    let good = world.trust(SEQUENCE, Vec::new());
    let changed = {
        let text = String::from_utf8(good.statement.to_vec()).unwrap();
        let raised = text.replace(&format!("\"sequence\":{SEQUENCE}"), "\"sequence\":99");
        assert_ne!(raised, text);
        TrustUpdate {
            statement: raised.into(),
            ..good.clone()
        }
    };
    for (what, update) in [
        ("a changed one", changed),
        (
            "by a gateway CA",
            world.said_by(&world.gateway_ca, "acme", 9, Vec::new()),
        ),
        (
            "by the tenant's own CA",
            world.said_by(&world.tenant_ca, "acme", 9, Vec::new()),
        ),
        (
            "for another tenant",
            world.said_by(&world.platform_ca, "globex", 9, Vec::new()),
        ),
        (
            "of another platform of the same name",
            World::not_enrolled().trust(9, Vec::new()),
        ),
        ("unreadable", sign(&world.platform_ca, b"{}".to_vec())),
        ("nothing", TrustUpdate::default()),
    ] {
        let refused = update_trust(gateway.connection.channel.clone(), update)
            .await
            .unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{what}: {refused}");
        assert!(
            refused.message().starts_with("trust update: ")
                || refused.message().starts_with("trust update for"),
            "{refused}"
        );
    }
    assert_eq!(gateway.describe().await.trust_sequence, 0);
    let loaded = bundle::load(&world.path("identity"), now()).unwrap();
    assert_eq!(loaded.trust_sequence(), 0);
    running.stop().await;
}

/// Under it the agent itself would be a stranger: an operator's mistake that would need a visit to every agent.
#[tokio::test]
async fn an_update_without_the_root_above_the_own_certificate_is_refused() {
    let world = World::new();
    let running = world.start().await;
    let mut gateway = world.gateway(&running).await;
    let next_root = CertificateAuthority::new_root(&world.platform, now()).unwrap();
    let next_gateway_ca = next_root.new_intermediate(Intermediate::Gateway, now()).unwrap();
    let statement = picket_identity::trust_update::TrustStatement::new(
        world.platform.clone(),
        world.tenant.clone(),
        SEQUENCE,
        [next_root.certificate_der().as_ref()],
        [next_gateway_ca.certificate_der().as_ref()],
        Vec::new(),
    );
    let update = sign(&world.platform_ca, statement.to_bytes().unwrap());
    let refused = update_trust(gateway.connection.channel.clone(), update)
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");
    assert_eq!(gateway.describe().await.trust_sequence, 0);
    running.stop().await;
}

/// Another root takes the place of the first, without a visit to the agent: both are trusted, then a certificate comes from
/// below the new one, then the old one goes, and whoever is below it is cut.
#[tokio::test]
async fn a_root_is_replaced_step_by_step() {
    let world = World::new();
    let running = world.start().await;
    let old = world.gateway(&running).await;
    let channel = old.connection.channel.clone();
    let root = CertificateAuthority::new_root(&world.platform, now()).unwrap();
    let below = |kind| root.new_intermediate(kind, now()).unwrap();
    let (gateway_ca, platform_ca) = (below(Intermediate::Gateway), below(Intermediate::Platform));
    let tenant_ca = below(Intermediate::Tenant(world.tenant.clone()));
    let said = |signer: &CertificateAuthority,
                sequence,
                authorities: &[(&CertificateAuthority, &CertificateAuthority)]| {
        let statement = picket_identity::trust_update::TrustStatement::new(
            world.platform.clone(),
            world.tenant.clone(),
            sequence,
            authorities
                .iter()
                .map(|(root, _)| root.certificate_der().as_ref()),
            authorities.iter().map(|(_, ca)| ca.certificate_der().as_ref()),
            Vec::new(),
        );
        sign(signer, statement.to_bytes().unwrap())
    };
    let both = said(
        &world.platform_ca,
        1,
        &[(&world.root, &world.gateway_ca), (&root, &gateway_ca)],
    );
    assert_eq!(update_trust(channel.clone(), both).await.unwrap(), 1);

    let mut renewing = crate::registry::Renewing::begin(channel.clone()).await.unwrap();
    let csr = renewing.proof().await.unwrap();
    let mut issued = world.issued_by(&tenant_ca, "berlin-1", &csr, now());
    issued.trust = None;
    renewing.hand_over(issued).await.unwrap();

    let new_only = said(&platform_ca, 2, &[(&root, &gateway_ca)]);
    // The answer and the cut race each other: the courier is below the old root itself.
    let _ = update_trust(channel, new_only).await;
    tokio::time::timeout(Duration::from_secs(5), old.connection.closed())
        .await
        .expect("whoever is below the old root is cut");
    let gateway = {
        let (key, public) = crate::world::key();
        let name = "gw-1".parse().unwrap();
        let issued = gateway_ca
            .issue_gateway_for_tenant(&public, &name, &world.tenant, crate::registry::HOUR, now())
            .unwrap();
        crate::world::credential(key, issued)
    };
    let expected = picket_identity::verify::AgentExpectation {
        trust: picket_identity::verify::Trust::new(
            root.certificate_der().clone(),
            [tenant_ca.certificate_der().clone()],
        )
        .unwrap(),
        ..world.expected()
    };
    let tls = picket_identity::tls::gateway_dialling_agent(&gateway, expected).unwrap();
    let limits = picket_identity::connect::DialLimits::default();
    let address = running.addresses().grpc.to_string();
    let connection = picket_identity::connect::connect(&address, &tls, &limits)
        .await
        .unwrap();
    let described = AgentClient::new(connection.channel.clone())
        .describe(picket_proto::agent::v1::DescribeRequest {})
        .await;
    assert_eq!(described.unwrap().into_inner().trust_sequence, 2);
    running.stop().await;
}

#[tokio::test]
async fn a_statement_that_is_larger_than_any_is_not_even_read() {
    let world = World::new();
    let running = world.start().await;
    let mut gateway = world.gateway(&running).await;
    let update = TrustUpdate {
        statement: vec![b' '; 2 << 20].into(),
        ..world.trust(SEQUENCE, Vec::new())
    };
    let mut client = TrustClient::new(gateway.connection.channel.clone());
    let refused = client.update(update).await.unwrap_err();
    assert!(
        matches!(refused.code(), Code::OutOfRange | Code::ResourceExhausted),
        "{refused}"
    );
    assert_eq!(gateway.describe().await.trust_sequence, 0);
    running.stop().await;
}
