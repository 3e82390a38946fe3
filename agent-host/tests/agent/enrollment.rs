//! How an agent gets its first certificate: over the wire, from a gateway that the tests play, with the platform's real CAs.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use picket_agent_host::enrollment::{Awaiting, Event};
use picket_identity::bundle;
use picket_identity::connect::DialError;
use picket_identity::verify::now;
use picket_issuing::Intermediate;
use picket_proto::agent::v1::agent_client::AgentClient;
use picket_proto::agent::v1::enroll_request::Kind as Ask;
use picket_proto::agent::v1::renewal_client::RenewalClient;
use picket_proto::agent::v1::{DescribeRequest, IssuedCertificate, StepFailed};
use picket_proto::health::v1::HealthCheckRequest;
use picket_proto::health::v1::health_client::HealthClient;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::Code;

use crate::registry::{Added, Enrolling, HOUR, SEQUENCE, dial_for_enrollment, earlier, verify};
use crate::world::{World, credential, key};

/// An agent that waits, in process.
struct Waiting {
    world: World,
    added: Added,
    address: SocketAddr,
    stop: CancellationToken,
    serving: JoinHandle<Option<String>>,
    /// Step and cause of each failed step.
    failed: Arc<Mutex<Vec<(String, String)>>>,
}

impl Waiting {
    async fn new() -> Self {
        let world = World::not_enrolled();
        let added = world.add_agent();
        Self::with(world, added).await
    }

    async fn with(world: World, added: Added) -> Self {
        let failed: Arc<Mutex<Vec<_>>> = Arc::default();
        let heard = Arc::clone(&failed);
        let hear = Arc::new(move |event: &Event<'_>| {
            if let Event::Failed { failure, .. } = event {
                let words = (
                    failure.step.as_str().to_owned(),
                    failure.cause.as_str().to_owned(),
                );
                heard.lock().unwrap().push(words);
            }
        });
        let enrollment = added.file.verify(now()).unwrap();
        let awaiting = Awaiting::new(enrollment, &world.path("identity"), hear).unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let serving = tokio::spawn(async move {
            let served = awaiting.serve(listener, stopped).await.unwrap();
            served.map(|serial| serial.to_string())
        });
        Self {
            world,
            added,
            address,
            stop,
            serving,
            failed,
        }
    }

    fn identity(&self) -> std::path::PathBuf {
        self.world.path("identity")
    }

    /// Nothing of a refused answer is left, and the agent still waits.
    async fn nothing_is_installed(&self) {
        assert!(!bundle::has_identity(&self.identity()));
        assert!(self.identity().join("pending.key").exists());
        let mut enrolling = self.world.begin(self.address).await;
        enrolling.proof().await.expect("the agent still waits");
    }

    /// Hands something over that is wrong.
    async fn refusal(&self, wrong: impl FnOnce(&World, &[u8]) -> IssuedCertificate) -> StepFailed {
        let mut enrolling = self.world.begin(self.address).await;
        let proof = enrolling.proof().await.unwrap();
        let failed = enrolling
            .hand_over(wrong(&self.world, &proof.csr))
            .await
            .unwrap_err();
        assert_eq!(failed.step, "install", "{failed:?}");
        self.nothing_is_installed().await;
        let told = self.failed.lock().unwrap().first().cloned();
        assert_eq!(told, Some((failed.step.clone(), failed.cause.clone())));
        failed
    }
}

#[tokio::test]
async fn a_gateway_brings_the_certificate_and_the_agent_serves_with_it() {
    let waiting = Waiting::new().await;
    let serial = waiting.world.enroll_at(waiting.address, &waiting.added).await;
    assert_eq!(waiting.serving.await.unwrap(), Some(serial.clone()));
    assert!(
        !waiting.world.path("identity/pending.key").exists(),
        "the key is the identity's now"
    );
    let running = waiting.world.start().await;
    let mut gateway = waiting.world.gateway(&running).await;
    assert_eq!(gateway.connection.verified.serial().to_string(), serial);
    let described = gateway.describe().await;
    assert_eq!(described.trust_sequence, SEQUENCE);
    assert_eq!(described.spiffe_id, waiting.world.agent_id().to_string());
    running.stop().await;
}

#[tokio::test]
async fn after_a_lost_reply_and_a_restart_the_request_is_for_the_same_key() {
    let waiting = Waiting::new().await;
    let key_of = async |address| {
        let mut enrolling = waiting.world.begin(address).await;
        let proof = enrolling.proof().await.unwrap();
        picket_issuing::PublicKey::from_request(&proof.csr)
            .unwrap()
            .spki()
            .to_vec()
    };
    let first = key_of(waiting.address).await;
    assert_eq!(key_of(waiting.address).await, first);
    waiting.stop.cancel();
    assert_eq!(waiting.serving.await.unwrap(), None);
    let again = Waiting::with(waiting.world, waiting.added).await;
    let mut enrolling = again.world.begin(again.address).await;
    let proof = enrolling.proof().await.unwrap();
    let second = picket_issuing::PublicKey::from_request(&proof.csr).unwrap();
    assert_eq!(second.spki(), first);
}

#[tokio::test]
async fn a_second_gateways_attempt_meanwhile_changes_nothing() {
    let waiting = Waiting::new().await;
    let (world, id) = (&waiting.world, waiting.world.agent_id().to_string());
    let mut first = world.begin(waiting.address).await;
    let mut second = Enrolling::begin(waiting.address, &world.gateway_named("gw-2", "acme"), &id)
        .await
        .unwrap();
    let (proof, beside) = (first.proof().await.unwrap(), second.proof().await.unwrap());
    first.verify(&waiting.added.public_key, &proof, world);
    second.verify(&waiting.added.public_key, &beside, world);
    let issued = world.issue(&proof.csr);
    let serial = first.hand_over(issued.clone()).await.unwrap();
    // The platform gives the same key the same certificate; it is installed already.
    assert_eq!(second.hand_over(issued).await.unwrap(), serial);
    assert_eq!(waiting.serving.await.unwrap(), Some(serial));
}

#[tokio::test]
async fn a_second_certificate_is_not_installed_over_the_first() {
    let waiting = Waiting::new().await;
    let world = &waiting.world;
    let (mut first, mut second) = (
        world.begin(waiting.address).await,
        world.begin(waiting.address).await,
    );
    let proof = first.proof().await.unwrap();
    second.proof().await.unwrap();
    let serial = first.hand_over(world.issue(&proof.csr)).await.unwrap();
    let failed = second.hand_over(world.issue(&proof.csr)).await.unwrap_err();
    assert_eq!(
        (failed.step.as_str(), failed.cause.as_str()),
        ("install", "not_awaiting")
    );
    let installed = bundle::load(&waiting.identity(), now()).unwrap();
    assert_eq!(installed.verified().serial().to_string(), serial);
}

#[tokio::test]
async fn a_gateway_that_looks_for_another_agent_gets_no_proof() {
    let waiting = Waiting::new().await;
    for id in ["spiffe://acme.picket.example/agent/paris-1", "", "x\ny"] {
        let gateway = waiting.world.gateway_for("acme");
        let mut enrolling = Enrolling::begin(waiting.address, &gateway, id).await.unwrap();
        let failed = enrolling.proof().await.unwrap_err();
        assert_eq!(
            (failed.step.as_str(), failed.cause.as_str()),
            ("proof", "wrong_agent")
        );
        assert!(!failed.detail.contains('\n'));
    }
}

#[tokio::test]
async fn a_certificate_for_another_key_is_refused() {
    let waiting = Waiting::new().await;
    let wrong = |world: &World, _: &[u8]| world.issue(&key().0.csr("x").unwrap());
    assert_eq!(waiting.refusal(wrong).await.cause, "key_mismatch");
}

#[tokio::test]
async fn a_certificate_for_another_agent_is_refused() {
    let waiting = Waiting::new().await;
    let wrong = |world: &World, csr: &[u8]| world.issued_by(&world.tenant_ca, "paris-1", csr, now());
    assert_eq!(waiting.refusal(wrong).await.cause, "wrong_agent");
}

#[tokio::test]
async fn a_certificate_by_another_tenants_ca_is_refused() {
    let waiting = Waiting::new().await;
    let wrong = |world: &World, csr: &[u8]| {
        let globex = Intermediate::Tenant("globex".parse().unwrap());
        let globex = world.root.new_intermediate(globex, now()).unwrap();
        world.issued_by(&globex, "berlin-1", csr, now())
    };
    // Its ID is of the other tenant, too.
    assert_eq!(waiting.refusal(wrong).await.cause, "wrong_agent");
    let waiting = Waiting::new().await;
    let wrong = |world: &World, csr: &[u8]| {
        let globex = Intermediate::Tenant("globex".parse().unwrap());
        let globex = world.root.new_intermediate(globex, now()).unwrap();
        IssuedCertificate {
            issuer: globex.certificate_der().to_vec().into(),
            ..world.issue(csr)
        }
    };
    assert_eq!(waiting.refusal(wrong).await.cause, "bad_certificate");
}

#[tokio::test]
async fn a_certificate_below_another_root_is_refused() {
    let waiting = Waiting::new().await;
    let wrong = |world: &World, csr: &[u8]| {
        let other = World::not_enrolled();
        world.issued_by(&other.tenant_ca, "berlin-1", csr, now())
    };
    assert_eq!(waiting.refusal(wrong).await.cause, "bad_certificate");
}

#[tokio::test]
async fn an_expired_certificate_is_refused() {
    let world = World::at(earlier(now(), 96 * HOUR));
    let added = world.add_agent();
    let waiting = Waiting::with(world, added).await;
    let then = earlier(now(), 72 * HOUR);
    let wrong = |world: &World, csr: &[u8]| world.issued_by(&world.tenant_ca, "berlin-1", csr, then);
    let failed = waiting.refusal(wrong).await;
    assert_eq!(failed.cause, "bad_certificate");
    assert!(failed.detail.contains("expired"), "{}", failed.detail);
}

#[tokio::test]
async fn what_is_no_certificate_is_refused() {
    let waiting = Waiting::new().await;
    let wrong = |world: &World, csr: &[u8]| IssuedCertificate {
        leaf: vec![0x30, 0x03, 1, 2, 3].into(),
        ..world.issue(csr)
    };
    assert_eq!(waiting.refusal(wrong).await.cause, "bad_certificate");
}

#[tokio::test]
async fn an_answer_without_a_trust_statement_is_refused() {
    let waiting = Waiting::new().await;
    let wrong = |world: &World, csr: &[u8]| IssuedCertificate {
        trust: None,
        ..world.issue(csr)
    };
    assert_eq!(waiting.refusal(wrong).await.cause, "bad_trust");
}

/// Of another tenant, older than the file, by a gateway CA, by a tenant's CA, under another root.
#[tokio::test]
async fn trust_statements_that_are_not_the_platforms_word_for_this_agent_are_refused() {
    for (what, expected) in [
        ("tenant", "globex.picket.example"),
        ("older", "sequence 6: expected 7"),
        ("gateway CA", "gateway CA"),
        ("tenant CA", "tenant CA"),
        ("root", "root"),
    ] {
        let waiting = Waiting::new().await;
        let wrong = |world: &World, csr: &[u8]| IssuedCertificate {
            trust: Some(match what {
                "tenant" => world.said_by(&world.platform_ca, "globex", SEQUENCE, Vec::new()),
                "older" => world.trust(SEQUENCE - 1, Vec::new()),
                "gateway CA" => world.said_by(&world.gateway_ca, "acme", SEQUENCE, Vec::new()),
                "tenant CA" => world.said_by(&world.tenant_ca, "acme", SEQUENCE, Vec::new()),
                _ => world.said_by(&World::not_enrolled().platform_ca, "acme", SEQUENCE, Vec::new()),
            }),
            ..world.issue(csr)
        };
        let failed = waiting.refusal(wrong).await;
        assert_eq!(failed.cause, "bad_trust", "{what}");
        assert!(failed.detail.contains(expected), "{what}: {}", failed.detail);
    }
}

/// Somebody with a gateway's certificate who sits between an honest gateway and the agent has two connections, and so two
/// bindings.
#[tokio::test]
async fn a_proof_is_worth_nothing_on_another_connection() {
    let waiting = Waiting::new().await;
    let (world, public_key) = (&waiting.world, &waiting.added.public_key);
    let id = world.agent_id().to_string();
    let mut honest = world.begin(waiting.address).await;
    let mut between = Enrolling::begin(waiting.address, &world.gateway_named("gw-evil", "acme"), &id)
        .await
        .unwrap();
    let (own, carried) = (honest.proof().await.unwrap(), between.proof().await.unwrap());
    let honest = &honest.connection.binding;
    assert!(verify(public_key, honest, &own, world).is_ok());
    assert!(verify(public_key, honest, &carried, world).is_err());
}

#[tokio::test]
async fn what_a_gateway_says_has_failed_is_told_and_the_agent_goes_on_waiting() {
    let waiting = Waiting::new().await;
    let mut enrolling = waiting.world.begin(waiting.address).await;
    enrolling.proof().await.unwrap();
    enrolling
        .say(Ask::Failed(StepFailed {
            step: "issue".to_owned(),
            cause: "activation_expired".to_owned(),
            detail: "it ended yesterday".to_owned(),
        }))
        .await;
    let told = || async { waiting.failed.lock().unwrap().first().cloned() };
    let told = crate::world::eventually("the failure", told).await;
    assert_eq!(told, ("issue".to_owned(), "activation_expired".to_owned()));
    waiting.nothing_is_installed().await;
}

#[tokio::test]
async fn messages_out_of_turn_end_the_attempt_and_nothing_else() {
    let waiting = Waiting::new().await;
    let mut enrolling = waiting.world.begin(waiting.address).await;
    let proof = enrolling.proof().await.unwrap();
    enrolling
        .say(Ask::Begin(picket_proto::agent::v1::EnrollBegin::default()))
        .await;
    let failed = enrolling.proof().await.unwrap_err();
    assert_eq!(
        (failed.step.as_str(), failed.cause.as_str()),
        ("issue", "protocol")
    );
    let mut next = waiting.world.begin(waiting.address).await;
    next.proof().await.unwrap();
    next.hand_over(waiting.world.issue(&proof.csr)).await.unwrap();
}

#[tokio::test]
async fn only_gateways_for_this_tenant_get_to_the_enrolment_port() {
    let waiting = Waiting::new().await;
    let world = &waiting.world;
    let node = {
        let (key, public) = key();
        let issued = world
            .platform_ca
            .issue_platform_node(&public, &"node-1".parse().unwrap(), HOUR, now())
            .unwrap();
        credential(key, issued)
    };
    let gateway_of_the_platform = {
        let (key, public) = key();
        let issued = world
            .gateway_ca
            .issue_gateway(&public, &"gw-1".parse().unwrap(), HOUR, now())
            .unwrap();
        credential(key, issued)
    };
    for (who, stranger) in [
        ("another tenant's gateway", world.gateway_for("globex")),
        ("a platform node", node),
        ("a gateway's identity for the platform", gateway_of_the_platform),
        ("an agent", world.other_agent()),
        (
            "another platform's gateway",
            World::not_enrolled().gateway_for("acme"),
        ),
    ] {
        let refused = dial_for_enrollment(waiting.address, &stranger).await;
        assert!(
            matches!(refused, Err(DialError::RefusedByPeer { .. })),
            "{who}: {refused:?}"
        );
    }
    let plain = tokio::net::TcpStream::connect(waiting.address).await.unwrap();
    drop(plain);
    waiting.nothing_is_installed().await;
}

#[tokio::test]
async fn the_enrolment_port_serves_the_enrolment_and_nothing_else() {
    let waiting = Waiting::new().await;
    let gateway = waiting.world.gateway_for("acme");
    let connection = dial_for_enrollment(waiting.address, &gateway).await.unwrap();
    let channel = connection.channel.clone();
    let described = AgentClient::new(channel.clone())
        .describe(DescribeRequest {})
        .await;
    let health = HealthClient::new(channel.clone())
        .check(HealthCheckRequest::default())
        .await;
    let renewed = RenewalClient::new(channel).renew(tokio_stream::empty()).await;
    let codes = [
        described.unwrap_err().code(),
        health.unwrap_err().code(),
        renewed.unwrap_err().code(),
    ];
    assert_eq!(codes, [Code::Unimplemented; 3]);
}

/// A gateway that connects, and then says nothing, keeps nobody else waiting.
#[tokio::test]
async fn a_silent_gateway_keeps_nobody_waiting() {
    let waiting = Waiting::new().await;
    let mut silent = waiting.world.begin(waiting.address).await;
    silent.proof().await.unwrap();
    let enrolling = waiting.world.enroll_at(waiting.address, &waiting.added);
    let serial = tokio::time::timeout(Duration::from_secs(20), enrolling)
        .await
        .unwrap();
    assert_eq!(waiting.serving.await.unwrap(), Some(serial));
}
