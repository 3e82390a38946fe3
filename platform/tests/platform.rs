//! The whole platform on port 0, with real certificates over real mutual TLS.

#![expect(clippy::unwrap_used, reason = "a test that can't go on fails")]

#[path = "support/running.rs"]
mod running;
#[path = "support/site.rs"]
mod site;

use std::time::Duration;

use picket_identity::connect::{Connection, DialLimits, connect};
use picket_identity::credential::{Credential, PrivateKey};
use picket_identity::spiffe::SpiffeId;
use picket_identity::tls::gateway_dialling_platform;
use picket_identity::verify::{PlatformExpectation, Serials, Trust};
use picket_platform::store::{self, Store};
use picket_proto::agent::v1::Status;
use picket_proto::health::v1::HealthCheckRequest;
use picket_proto::health::v1::health_check_response::ServingStatus;
use picket_proto::health::v1::health_client::HealthClient;
use picket_proto::platform::v1::coordination_client::CoordinationClient;
use picket_proto::platform::v1::ingest_client::IngestClient;
use picket_proto::platform::v1::registry_client::RegistryClient;
use picket_proto::platform::v1::session_response::Kind as Told;
use picket_proto::platform::v1::{Assignment, IssueTenantCertificateRequest, SubmitOutcome, SubmitRequest};
use running::{Bench, Session};
use rustls::pki_types::CertificateDer;
use site::{Agent, results};

async fn submit(
    connection: &Connection,
    agent: &Agent,
    assignment: &Assignment,
    instance: &str,
) -> SubmitOutcome {
    let assigned = assignment
        .agents
        .iter()
        .find(|assigned| assigned.agent == agent.name)
        .unwrap();
    let shard = assignment
        .shards
        .iter()
        .find(|shard| shard.number == assigned.shard)
        .unwrap();
    let request = SubmitRequest {
        id: 7,
        tenant: agent.tenant.clone(),
        agent: agent.name.clone(),
        shard: shard.number,
        epoch: shard.epoch,
        instance: instance.into(),
        batch: Some(agent.seal("s1", 1, results(1, &[Status::Ok, Status::Critical]))),
    };
    let mut client = IngestClient::new(connection.channel.clone());
    let mut answers = client
        .submit(tokio_stream::iter([request]))
        .await
        .unwrap()
        .into_inner();
    let answer = answers.message().await.unwrap().unwrap();
    assert_eq!(answer.id, 7);
    answer.outcome()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_joins_learns_its_agents_and_hands_results_in() {
    let bench = Bench::new().await;
    let agent = bench.site.agent("acme", "berlin-1").await;
    let connection = bench.gateway("gw-1").await;
    let mut session = Session::open(&connection, "boot").await;
    assert!(matches!(session.next().await, Told::Lease(lease) if lease.duration_ms == 10_000));
    let snapshot = session.assignment_of("berlin-1").await;
    assert_eq!(snapshot.tenants[0].tenant, "acme");
    assert_eq!(
        submit(&connection, &agent, &snapshot, "boot").await,
        SubmitOutcome::Committed
    );
    assert_eq!(
        submit(&connection, &agent, &snapshot, "boot").await,
        SubmitOutcome::Duplicate
    );
    drop(session.asks);
    bench.running.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_another_process_registers_reaches_the_gateway_within_seconds() {
    let bench = Bench::new().await;
    let connection = bench.gateway("gw-1").await;
    let mut session = Session::open(&connection, "boot").await;
    assert!(matches!(session.next().await, Told::Lease(_)));
    assert!(matches!(session.next().await, Told::Snapshot(snapshot) if snapshot.agents.is_empty()));
    // The site's own store is what the command line has: other connections to the same file.
    bench.site.agent("acme", "late-1").await;
    session.assignment_of("late-1").await;
    bench.running.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn shutting_down_says_goodbye_to_gateways() {
    let bench = Bench::new().await;
    let connection = bench.gateway("gw-1").await;
    let mut session = Session::open(&connection, "boot").await;
    session.trust().await;
    let ending = tokio::spawn(bench.running.shutdown());
    assert!(matches!(session.next().await, Told::Goodbye(_)));
    tokio::time::timeout(Duration::from_secs(20), ending)
        .await
        .unwrap()
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_gets_certificates_for_tenants_of_its_pool_only_and_for_a_day_at_most() {
    let bench = Bench::new().await;
    bench.site.tenant("globex").await;
    bench.site.agent("acme", "berlin-1").await;
    let connection = bench.gateway("gw-1").await;
    let mut client = RegistryClient::new(connection.channel.clone());
    let key = PrivateKey::generate().unwrap();
    let ask = |tenant: &str| IssueTenantCertificateRequest {
        tenant: tenant.into(),
        csr: key.csr("CA:TRUE, please").unwrap().into(),
    };
    let issued = client
        .issue_tenant_certificate(ask("acme"))
        .await
        .unwrap()
        .into_inner();
    let leaf = picket_identity::profile::Leaf::parse(&issued.leaf).unwrap();
    assert_eq!(leaf.uri, "spiffe://picket.test/gateway/gw-1/tenant/acme");
    assert!(leaf.validity() <= Duration::from_secs(25 * 3600));
    let refused = client.issue_tenant_certificate(ask("globex")).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::PermissionDenied);
    let refused = client.issue_tenant_certificate(ask("../acme")).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::InvalidArgument);
    bench.running.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agents_certificate_is_turned_away_before_any_call() {
    let bench = Bench::new().await;
    let agent = bench.site.agent("acme", "berlin-1").await;
    let chain = [agent.issued.leaf.to_vec(), agent.issued.issuer.to_vec()]
        .map(CertificateDer::from)
        .to_vec();
    let credential = Credential::new(agent.key, chain).unwrap();
    let SpiffeId::Agent { platform, .. } = credential.id().clone() else {
        panic!("an agent")
    };
    let mut read = bench.site.services.store.read().await.unwrap();
    let roots = bench.site.services.authority.roots(&mut read).await.unwrap();
    let cas = store::authorities::trusted(&mut read, "platform", None)
        .await
        .unwrap();
    drop(read);
    let cas = cas.into_iter().map(|ca| CertificateDer::from(ca.certificate));
    let expected = PlatformExpectation {
        platform,
        trust: Trust::with_roots(roots, cas).unwrap(),
        serials: Serials::default(),
    };
    let tls = gateway_dialling_platform(&credential, expected).unwrap();
    let refused = connect(&bench.running.grpc.to_string(), &tls, &DialLimits::default()).await;
    assert!(refused.is_err());
    bench.running.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_whose_certificate_was_replaced_is_served_no_more() {
    let bench = Bench::new().await;
    let connection = bench.gateway("gw-1").await;
    let request = PrivateKey::generate().unwrap().csr("x").unwrap();
    let authority = &bench.site.services.authority;
    authority
        .add_gateway(&"gw-1".parse().unwrap(), &request, true, "test")
        .await
        .unwrap();
    let mut client = CoordinationClient::new(connection.channel.clone());
    let refused = client.session(tokio_stream::pending()).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::PermissionDenied);
    bench.running.shutdown().await;
}

#[tokio::test]
async fn two_processes_can_open_an_empty_database_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("picket.db");
    let (a, b) = tokio::join!(Store::create(&path), Store::create(&path));
    a.unwrap();
    b.unwrap();
}

#[tokio::test]
async fn a_gateway_learns_whether_the_platform_serves() {
    let bench = Bench::new().await;
    let connection = bench.gateway("gw-1").await;
    let mut health = HealthClient::new(connection.channel.clone());
    let ask = |service: &str| HealthCheckRequest {
        service: service.to_owned(),
    };
    let answer = health
        .check(ask("picket.platform.v1.Ingest"))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(answer.status(), ServingStatus::Serving);
    let unknown = health.check(ask("picket.agent.v1.Agent")).await.unwrap_err();
    assert_eq!(unknown.code(), tonic::Code::NotFound);
    let mut watched = health.watch(ask("")).await.unwrap().into_inner();
    assert_eq!(
        watched.message().await.unwrap().unwrap().status(),
        ServingStatus::Serving
    );
    bench.running.shutdown().await;
    let last = watched.message().await;
    assert!(
        matches!(&last, Ok(Some(last)) if last.status() == ServingStatus::NotServing),
        "{last:?}"
    );
}
