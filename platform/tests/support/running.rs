//! The whole platform on port 0, and gateways that talk to it over real mutual TLS.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::allow_attributes,
    reason = "each test program uses another part of it"
)]

use std::time::Duration;

use picket_identity::bundle::Identity;
use picket_identity::connect::{Connection, DialError, DialLimits, connect};
use picket_identity::credential::PrivateKey;
use picket_identity::tls::gateway_dialling_platform;
use picket_identity::verify::{Serials, now};
use picket_platform::app::{App, Running};
use picket_platform::config::Config;
use picket_proto::platform::v1::coordination_client::CoordinationClient;
use picket_proto::platform::v1::session_request::Kind as Ask;
use picket_proto::platform::v1::session_response::Kind as Told;
use picket_proto::platform::v1::{Assignment, Hello, PlatformTrust, SessionRequest, SessionResponse};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::site::Site;

pub struct Bench {
    pub site: Site,
    pub running: Running,
}

impl Bench {
    pub async fn new() -> Self {
        let site = Site::new().await;
        site.tenant("acme").await;
        let text = format!(
            "trust_domain = \"picket.test\"\n[web]\nlisten = \"127.0.0.1:0\"\n[grpc]\nlisten = \"127.0.0.1:0\"\n\
             [keys]\nencryption_key_file = {:?}\n",
            site.encryption_key_file()
        );
        let config = Config::parse(&text, "platform.toml".as_ref(), site.folder.path()).unwrap();
        let running = App::start(&config).await.unwrap();
        Self { site, running }
    }

    pub async fn gateway(&self, name: &str) -> Connection {
        let key = PrivateKey::generate().unwrap();
        let request = key.csr(name).unwrap();
        let authority = &self.site.services.authority;
        let bundle = authority
            .add_gateway(&name.parse().unwrap(), &request, false, "test")
            .await
            .unwrap();
        let identity = bundle.verify(key, now()).unwrap();
        self.dial(&identity).await.unwrap()
    }

    pub async fn dial(&self, identity: &Identity) -> Result<Connection, DialError> {
        let expected = identity.platform_expectation(Serials::default()).unwrap();
        let tls = gateway_dialling_platform(identity.credential(), expected).unwrap();
        connect(&self.running.grpc.to_string(), &tls, &DialLimits::default()).await
    }
}

pub struct Session {
    pub asks: mpsc::Sender<SessionRequest>,
    pub told: tonic::Streaming<SessionResponse>,
}

impl Session {
    pub async fn open(connection: &Connection, instance: &str) -> Self {
        let (asks, receiver) = mpsc::channel(8);
        let hello = Hello {
            instance: instance.into(),
            version: "0".into(),
            weight: 1,
            zone: String::new(),
            trust_sequence: 0,
        };
        asks.send(SessionRequest {
            kind: Some(Ask::Hello(hello)),
        })
        .await
        .unwrap();
        let mut client = CoordinationClient::new(connection.channel.clone());
        let told = client
            .session(ReceiverStream::new(receiver))
            .await
            .unwrap()
            .into_inner();
        Self { asks, told }
    }

    pub async fn next(&mut self) -> Told {
        let message = tokio::time::timeout(Duration::from_secs(10), self.told.message())
            .await
            .unwrap();
        message.unwrap().unwrap().kind.unwrap()
    }

    /// The next word about what to trust the platform by.
    pub async fn trust(&mut self) -> PlatformTrust {
        loop {
            if let Told::Trust(trust) = self.next().await {
                return trust;
            }
        }
    }

    /// The next assignment that names the agent.
    pub async fn assignment_of(&mut self, agent: &str) -> Assignment {
        loop {
            if let Told::Snapshot(assignment) | Told::Delta(assignment) = self.next().await
                && assignment.agents.iter().any(|assigned| assigned.agent == agent)
            {
                return assignment;
            }
        }
    }
}
