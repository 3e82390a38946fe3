//! What a client says and puts up with, before and after the other side is verified.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use picket_identity::connect::{DialLimits, connect, connect_for_enrollment};
use picket_identity::credential::Credential;
use picket_identity::serve::Limits;
use picket_identity::tls::EnrollmentTls;
use picket_identity::verify::{Reason, Refusal};
use rcgen::{CertificateParams, CustomExtension, KeyPair};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::forge::World;
use crate::handshake::foreign_server;
use crate::wire::{DEADLINE, Server, agent_tls, gateway_tls, provider};

/// A server that shows what it was given, and remembers the name that it was asked for.
#[derive(Debug)]
struct Shows(Arc<CertifiedKey>, Arc<Mutex<Vec<Option<String>>>>);

impl ResolvesServerCert for Shows {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.1
            .lock()
            .unwrap()
            .push(hello.server_name().map(str::to_owned));
        Some(Arc::clone(&self.0))
    }
}

fn shows(
    certificate: CertificateDer<'static>,
    key: &KeyPair,
) -> (rustls::ServerConfig, Arc<Mutex<Vec<Option<String>>>>) {
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let key = rustls::crypto::aws_lc_rs::sign::any_ecdsa_type(&key).unwrap();
    let names = Arc::default();
    let resolver = Shows(
        Arc::new(CertifiedKey::new(vec![certificate], key)),
        Arc::clone(&names),
    );
    let mut config = rustls::ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(resolver));
    config.alpn_protocols = vec![b"h2".to_vec()];
    (config, names)
}

async fn enrolling(config: rustls::ServerConfig) -> Result<(), Option<Reason>> {
    let world = World::new();
    let (address, _task) = foreign_server(config, 1).await;
    let tls = EnrollmentTls::new(&world.gateway_for("acme")).unwrap();
    let limits = DialLimits::default();
    let dialled = tokio::time::timeout(DEADLINE, connect_for_enrollment(&address, &tls, &limits));
    match dialled.await.expect("no end") {
        Ok(_) => Ok(()),
        Err(error) => Err(Refusal::from_error(&error).map(|refusal| refusal.reason)),
    }
}

#[tokio::test]
async fn a_stranger_shows_any_certificate_but_has_its_key() {
    let (own, other) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let certificate = CertificateParams::default()
        .self_signed(&own)
        .unwrap()
        .der()
        .clone();
    assert_eq!(enrolling(shows(certificate.clone(), &own).0).await, Ok(()));
    assert_eq!(
        enrolling(shows(certificate, &other).0).await,
        Err(Some(Reason::Protocol))
    );
}

#[tokio::test]
async fn a_strangers_certificate_is_not_huge() {
    let key = KeyPair::generate().unwrap();
    let mut parameters = CertificateParams::default();
    let padding = CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 99999, 2], vec![0; 9000]);
    parameters.custom_extensions = vec![padding];
    let certificate = parameters.self_signed(&key).unwrap().der().clone();
    assert_eq!(
        enrolling(shows(certificate, &key).0).await,
        Err(Some(Reason::Protocol))
    );
}

#[tokio::test]
async fn a_client_names_nobody_in_its_first_message() {
    let world = World::new();
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::default()
        .self_signed(&key)
        .unwrap()
        .der()
        .clone();
    let (config, names) = shows(certificate, &key);
    let (address, _task) = foreign_server(config, 1).await;
    let mut target = "localhost:".to_owned();
    target.push_str(address.rsplit_once(':').unwrap().1);
    let tls = gateway_tls(&world.gateway_for("acme"), world.expects_agent());
    assert!(connect(&target, &tls, &DialLimits::default()).await.is_err());
    assert_eq!(*names.lock().unwrap(), [None]);
    // An address isn't a name, so none is sent for it anyway. Were one dialled by name some day, none would be either.
    assert!(!tls.rustls_config().enable_sni);
}

#[tokio::test]
async fn a_connection_ends_with_the_agents_certificate() {
    let world = World::new();
    let (private, public) = crate::forge::key();
    let lifetime = Duration::from_secs(3);
    let issued = world
        .acme
        .issue_agent(&public, &"berlin-1".parse().unwrap(), lifetime, world.now);
    let issued = issued.unwrap();
    let agent = Credential::new(private, vec![issued.certificate, issued.issuer]).unwrap();
    let server = Server::start(agent_tls(&world, &agent), Limits::default()).await;
    let gateway = gateway_tls(&world.gateway_for("acme"), world.expects_agent());
    let connection = server.dial(&gateway).await.unwrap();
    assert!(!connection.is_closed());
    tokio::time::timeout(DEADLINE, connection.closed())
        .await
        .expect("still connected, after its certificate's end");
}

#[tokio::test]
async fn a_server_that_says_nothing_is_not_waited_for() {
    let world = World::new();
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = silent.local_addr().unwrap().to_string();
    let gateway = gateway_tls(&world.gateway_for("acme"), world.expects_agent());
    let limits = DialLimits {
        tls: Duration::from_millis(200),
        ..DialLimits::default()
    };
    let dialled = tokio::time::timeout(DEADLINE, connect(&address, &gateway, &limits)).await;
    assert!(dialled.expect("still waiting").is_err());
}
