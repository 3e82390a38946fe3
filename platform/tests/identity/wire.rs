//! Deadlines here are for a busy machine; what is promised is five seconds.

use std::time::Duration;

use picket_identity::bundle::{Identity, IdentityBundle};
use picket_identity::connect::Connection;
use picket_identity::pem;
use picket_identity::verify::now;
use picket_platform::store;
use picket_proto::health::v1::HealthCheckRequest;
use picket_proto::health::v1::health_client::HealthClient;
use picket_proto::platform::v1::registry_client::RegistryClient;
use picket_proto::platform::v1::session_response::Kind as Told;
use picket_proto::platform::v1::{AgentWork, RenewGatewayRequest};
use rustls::pki_types::CertificateDer;

use crate::bench::key;
use crate::running::{Bench as Platform, Session};

const DEADLINE: Duration = Duration::from_secs(20);

async fn served(connection: &Connection) -> Result<(), tonic::Status> {
    let mut health = HealthClient::new(connection.channel.clone());
    health.check(HealthCheckRequest::default()).await.map(drop)
}

/// A gateway's identity, and the bundle that it came in.
async fn identity(platform: &Platform, name: &str) -> (Identity, IdentityBundle) {
    let key = key();
    let bundle = platform
        .site
        .services
        .authority
        .add_gateway(&name.parse().unwrap(), &key.csr(name).unwrap(), false, "test")
        .await
        .unwrap();
    (bundle.verify(key, now()).unwrap(), bundle)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_enrols_an_agent_over_the_wire_and_is_told_why_where_it_cant() {
    let platform = Platform::new().await;
    let connection = platform.gateway("gw-1").await;
    let mut session = Session::open(&connection, "boot").await;
    session.trust().await;
    let file = platform.site.register("acme", "berlin-1", false).await;
    let assignment = session.assignment_of("berlin-1").await;
    assert_eq!(assignment.agents[0].work(), AgentWork::Enroll);
    assert!(assignment.tenants[0].agent_trust.is_some());

    let at = platform.site.shard_of("acme", "berlin-1").await;
    let good = platform.site.enroll_request(&file, &key(), "boot", at);
    let mut bad = good.clone();
    bad.signature = vec![0; 64].into();
    let mut registry = RegistryClient::new(connection.channel.clone());
    let refused = registry.enroll_agent(bad).await.unwrap().into_inner();
    let failed = refused.failed.unwrap();
    assert_eq!(
        (failed.step.as_str(), failed.cause.as_str()),
        ("issue", "bad_signature")
    );
    assert!(refused.issued.is_none());
    let answer = registry.enroll_agent(good).await.unwrap().into_inner();
    assert!(answer.issued.is_some() && answer.failed.is_none());
    let delta = session.assignment_of("berlin-1").await;
    assert_eq!(delta.agents[0].active_serials.len(), 1);
    platform.running.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_is_told_what_to_trust_at_first_and_whenever_it_changes() {
    let platform = Platform::new().await;
    let connection = platform.gateway("gw-1").await;
    let mut session = Session::open(&connection, "boot").await;
    let first = session.trust().await;
    let mut write = platform.site.services.store.write().await.unwrap();
    store::installation::bump_trust(&mut write).await.unwrap();
    write.commit().await.unwrap();
    let second = session.trust().await;
    assert_eq!(second.sequence, first.sequence + 1);
    assert_eq!(second.roots, first.roots);
    platform.running.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_gateways_session_and_connection_end_and_it_never_comes_back() {
    let platform = Platform::new().await;
    let (gateway, _) = identity(&platform, "gw-1").await;
    let connection = platform.dial(&gateway).await.unwrap();
    let other = platform.gateway("gw-2").await;
    let mut session = Session::open(&connection, "boot").await;
    session.trust().await;
    served(&connection).await.unwrap();
    // By another process, as the command line does.
    platform
        .site
        .services
        .authority
        .revoke_gateway(&"gw-1".parse().unwrap(), "test")
        .await
        .unwrap();
    let refused = served(&connection).await.unwrap_err();
    assert!(
        matches!(
            refused.code(),
            tonic::Code::PermissionDenied | tonic::Code::Unavailable | tonic::Code::Unknown
        ),
        "{refused:?}"
    );
    let ended = async {
        loop {
            match session.told.message().await {
                Ok(Some(message)) if matches!(message.kind, Some(Told::Goodbye(_))) => return,
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => return,
            }
        }
    };
    tokio::time::timeout(DEADLINE, ended).await.unwrap();
    let cut = async {
        while !connection.is_closed() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(DEADLINE, cut).await.unwrap();
    // In TLS 1.3 a client learns of its refusal at its first read.
    if let Ok(again) = platform.dial(&gateway).await {
        assert!(served(&again).await.is_err());
    }
    served(&other).await.unwrap();
    platform.running.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replaced_gateways_session_ends_so_that_its_successor_can_join() {
    let platform = Platform::new().await;
    let connection = platform.gateway("gw-1").await;
    let mut session = Session::open(&connection, "old").await;
    session.trust().await;
    let csr = key().csr("x").unwrap();
    let authority = &platform.site.services.authority;
    authority
        .add_gateway(&"gw-1".parse().unwrap(), &csr, true, "test")
        .await
        .unwrap();
    let told = async {
        loop {
            if let Told::Goodbye(goodbye) = session.next().await {
                return goodbye.reason;
            }
        }
    };
    let reason = tokio::time::timeout(DEADLINE, told).await.unwrap();
    assert!(reason.contains("revoked"), "{reason}");
    platform.running.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateways_next_certificate_is_its_current_one_from_its_first_call_on() {
    let platform = Platform::new().await;
    let (gateway, bundle) = identity(&platform, "gw-1").await;
    let connection = platform.dial(&gateway).await.unwrap();
    let mut registry = RegistryClient::new(connection.channel.clone());
    let next = key();
    let ask = RenewGatewayRequest {
        csr: next.csr("x").unwrap().into(),
    };
    let renewed = registry.renew_gateway(ask.clone()).await.unwrap().into_inner();
    let again = registry.renew_gateway(ask).await.unwrap().into_inner();
    assert_eq!(renewed.leaf, again.leaf);
    assert!(!renewed.trust.unwrap().renew);
    let leaf = CertificateDer::from(renewed.leaf.to_vec());
    let issuer = CertificateDer::from(renewed.issuer.to_vec());
    let bundle = IdentityBundle {
        leaf: pem::certificates([&leaf]),
        issuer: pem::certificates([&issuer]),
        ..bundle
    };
    let identity = bundle.verify(next, now()).unwrap();
    assert_eq!(state(&platform, &identity).await, "pending");
    let renewed = platform.dial(&identity).await.unwrap();
    served(&renewed).await.unwrap();
    assert_eq!(state(&platform, &identity).await, "current");
    // What is under way under the old one goes on, for a while.
    assert_eq!(state(&platform, &gateway).await, "superseded");
    served(&connection).await.unwrap();
    let mut write = platform.site.services.store.write().await.unwrap();
    sqlx::query("UPDATE certificate SET retired_at = superseded_at WHERE state = 'superseded'")
        .execute(&mut *write)
        .await
        .unwrap();
    write.commit().await.unwrap();
    let refused = served(&connection).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::PermissionDenied);
    served(&renewed).await.unwrap();
    platform.running.shutdown().await;
}

async fn state(platform: &Platform, identity: &Identity) -> String {
    let mut read = platform.site.services.store.read().await.unwrap();
    let serial = identity.verified().serial().to_string();
    store::certificates::find_of_gateway(&mut read, "gw-1", &serial)
        .await
        .unwrap()
        .unwrap()
        .state
}
