//! A stand-in for an agent host that awaits enrolment, and for somebody in between.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use picket_identity::connect::{DialLimits, connect_for_enrollment};
use picket_identity::credential::{Credential, PrivateKey};
use picket_identity::enrollment::Enrollment;
use picket_identity::serve::PeerIdentity;
use picket_identity::tls::{EnrollmentTls, agent_awaiting_enrollment};
use picket_identity::verify;
use picket_proto::agent::v1::enroll_request::Kind as Asked;
use picket_proto::agent::v1::enroll_response::Kind as Said;
use picket_proto::agent::v1::enrollment_client::EnrollmentClient;
use picket_proto::agent::v1::enrollment_server::{Enrollment as Enrolling, EnrollmentServer};
use picket_proto::agent::v1::{
    EnrollBegin, EnrollProof, EnrollRequest, EnrollResponse, Installed, IssuedCertificate, StepFailed,
};
use rustls_pki_types::CertificateDer;
use tokio::sync::{mpsc, oneshot};
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use crate::agent::FakeAgent;
use crate::authority::{AgentIdentity, Authority, Server};
use crate::wait;

/// What it was asked and told.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) begins: Vec<EnrollBegin>,
    pub(crate) issued: Vec<IssuedCertificate>,
    pub(crate) failures: Vec<StepFailed>,
}

struct State {
    seen: Mutex<Seen>,
    enrollment: Enrollment,
    key: PrivateKey,
    /// So many certificates are lost on their way.
    loses: Mutex<usize>,
    done: Mutex<Option<oneshot::Sender<IssuedCertificate>>>,
}

/// An agent that awaits enrolment.
pub(crate) struct Newcomer {
    state: Arc<State>,
    server: Server,
    installed: oneshot::Receiver<IssuedCertificate>,
}

impl Newcomer {
    /// Waits at an address with the file that was made for it.
    pub(crate) async fn start(address: SocketAddr, enrollment: Enrollment) -> Self {
        let tls = agent_awaiting_enrollment(&enrollment, verify::now()).unwrap();
        let (done, installed) = oneshot::channel();
        let state = Arc::new(State {
            seen: Mutex::default(),
            enrollment,
            key: PrivateKey::generate().unwrap(),
            loses: Mutex::new(0),
            done: Mutex::new(Some(done)),
        });
        let service = EnrollmentServer::new(Service(Arc::clone(&state)));
        let server = Server::start(address, tls, service).await;
        Self {
            state,
            server,
            installed,
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.server.address()
    }

    pub(crate) fn seen<T>(&self, look: impl FnOnce(&Seen) -> T) -> T {
        look(&self.state.seen.lock().unwrap())
    }

    /// Breaks the call off instead of saying that a certificate is installed, so often.
    pub(crate) fn lose(&self, certificates: usize) {
        *self.state.loses.lock().unwrap() = certificates;
    }

    /// Waits until it is enrolled, and goes on as the agent that it has become.
    pub(crate) async fn enrolled(self, authority: &Authority, results: u64) -> FakeAgent {
        let Self {
            state,
            server,
            installed,
        } = self;
        let issued = tokio::time::timeout(wait::DEADLINE, installed).await;
        let issued = issued.expect("it is enrolled").unwrap();
        let chain = [&issued.leaf, &issued.issuer].map(|der| CertificateDer::from(der.to_vec()));
        let mut identity: AgentIdentity = authority.agent("acme", "template");
        identity.credential = Credential::new(state.key.clone(), chain.to_vec()).unwrap();
        let address = server.address();
        server.stop().await;
        FakeAgent::start(address, identity, results).await
    }
}

struct Service(Arc<State>);

type Answers = Pin<Box<dyn Stream<Item = Result<EnrollResponse, Status>> + Send>>;

#[tonic::async_trait]
impl Enrolling for Service {
    type EnrollStream = Answers;

    async fn enroll(&self, request: Request<Streaming<EnrollRequest>>) -> Result<Response<Answers>, Status> {
        let peer = request.extensions().get::<PeerIdentity>().unwrap();
        let binding = *peer.channel_binding();
        let mut asked = request.into_inner();
        let (answers, stream) = mpsc::channel(4);
        let state = Arc::clone(&self.0);
        tokio::spawn(async move {
            let say = |kind| answers.send(Ok(EnrollResponse { kind: Some(kind) }));
            while let Ok(Some(EnrollRequest { kind: Some(kind) })) = asked.message().await {
                match kind {
                    Asked::Begin(begin) => {
                        state.seen.lock().unwrap().begins.push(begin);
                        let csr = state.key.csr("any").unwrap();
                        let id = state.enrollment.id();
                        let signature = state.enrollment.activation_key().sign(&binding, &csr, id);
                        let proof = EnrollProof {
                            csr: csr.into(),
                            signature: signature.into(),
                        };
                        let _ = say(Said::Proof(proof)).await;
                    }
                    Asked::Issued(issued) => {
                        state.seen.lock().unwrap().issued.push(issued.clone());
                        {
                            let mut loses = state.loses.lock().unwrap();
                            if *loses > 0 {
                                *loses -= 1;
                                return;
                            }
                        }
                        let leaf = picket_identity::profile::Leaf::parse(&issued.leaf).unwrap();
                        let serial = leaf.serial.to_string();
                        let _ = say(Said::Installed(Installed { serial })).await;
                        // The gateway ends the call when it has read that.
                        let _ = asked.message().await;
                        let done = state.done.lock().unwrap().take();
                        if let Some(done) = done {
                            let _ = done.send(issued);
                        }
                    }
                    Asked::Failed(failed) => state.seen.lock().unwrap().failures.push(failed),
                }
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(stream))))
    }
}

/// Somebody with two connections, who passes on every word: to the agent with a gateway's certificate that was stolen, to
/// the gateway as if it were the agent.
pub(crate) struct Relay {
    server: Server,
    passed_on: Arc<Mutex<Vec<EnrollResponse>>>,
}

impl Relay {
    pub(crate) async fn start(authority: &Authority, agent: SocketAddr) -> Self {
        let key = PrivateKey::generate().unwrap();
        let issued = authority.tenant_certificate("gw-9", "acme", &key.csr("any").unwrap());
        let stolen = Credential::new(key, vec![issued.certificate, issued.issuer]).unwrap();
        let (own, _) = authority.enrollment("acme", "anybody", "127.0.0.1:1");
        let tls = agent_awaiting_enrollment(&own, verify::now()).unwrap();
        let passed_on = Arc::new(Mutex::new(Vec::new()));
        let service = EnrollmentServer::new(InBetween {
            agent,
            tls: EnrollmentTls::new(&stolen).unwrap(),
            passed_on: Arc::clone(&passed_on),
        });
        let server = Server::start(([127, 0, 0, 1], 0).into(), tls, service).await;
        Self { server, passed_on }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// What the agent said through it.
    pub(crate) fn passed_on(&self) -> Vec<EnrollResponse> {
        self.passed_on.lock().unwrap().clone()
    }
}

struct InBetween {
    agent: SocketAddr,
    tls: EnrollmentTls,
    passed_on: Arc<Mutex<Vec<EnrollResponse>>>,
}

#[tonic::async_trait]
impl Enrolling for InBetween {
    type EnrollStream = Answers;

    async fn enroll(&self, request: Request<Streaming<EnrollRequest>>) -> Result<Response<Answers>, Status> {
        let target = self.agent.to_string();
        let connection = connect_for_enrollment(&target, &self.tls, &DialLimits::default()).await;
        let connection = connection.map_err(|error| Status::unavailable(error.to_string()))?;
        let mut asked = request.into_inner();
        let (forth, requests) = mpsc::channel(4);
        let (back, answers) = mpsc::channel(4);
        tokio::spawn(async move {
            while let Ok(Some(request)) = asked.message().await {
                let _ = forth.send(request).await;
            }
        });
        let mut client = EnrollmentClient::new(connection.channel.clone());
        let mut said = client.enroll(ReceiverStream::new(requests)).await?.into_inner();
        let passed_on = Arc::clone(&self.passed_on);
        tokio::spawn(async move {
            let _connection = connection;
            while let Ok(Some(response)) = said.message().await {
                passed_on.lock().unwrap().push(response.clone());
                let _ = back.send(Ok(response)).await;
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(answers))))
    }
}
