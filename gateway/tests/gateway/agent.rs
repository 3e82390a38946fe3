//! A stand-in for an agent host: a list of results, served over mutual TLS.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use picket_identity::credential::{Credential, PrivateKey};
use picket_identity::serve::Routes;
use picket_identity::tls::ServerTls;
use picket_identity::trust_update::SignedTrust;
use picket_identity::verify;
use picket_proto::agent::v1::agent_server::{Agent, AgentServer};
use picket_proto::agent::v1::pull_request::Kind as Asked;
use picket_proto::agent::v1::pull_response::Kind as Said;
use picket_proto::agent::v1::renew_request::Kind as RenewAsked;
use picket_proto::agent::v1::renew_response::Kind as RenewSaid;
use picket_proto::agent::v1::renewal_server::{Renewal, RenewalServer};
use picket_proto::agent::v1::trust_server::{Trust as TrustService, TrustServer};
use picket_proto::agent::v1::{
    BatchHeader, DescribeRequest, DescribeResponse, Installed, IssuedCertificate, PullIdle, PullRequest,
    PullResponse, PullStart, RenewProof, RenewRequest, RenewResponse, RunCheckRequest, RunCheckResponse,
    SealedBatch, SpoolStatus, StepFailed, TrustState, TrustUpdate,
};
use prost::Message as _;
use rustls_pki_types::CertificateDer;
use tokio::sync::{mpsc, watch};
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use crate::authority::{AgentIdentity, Server};

/// The only stream of every stand-in.
pub(crate) const STREAM: &str = "stream-1";

/// What an agent was asked and told.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) describes: usize,
    pub(crate) pulls: Vec<(Instant, PullStart)>,
    pub(crate) acknowledged: Vec<u64>,
    /// Pulls that are still open.
    pub(crate) open_pulls: usize,
    /// The serial numbers of the certificates that were installed.
    pub(crate) installed: Vec<String>,
    /// The names of renewals.
    pub(crate) renewals: Vec<String>,
    /// What others said went wrong.
    pub(crate) failures: Vec<StepFailed>,
    /// The sequences of trust statements that were brought.
    pub(crate) trust_updates: Vec<u64>,
    /// Acknowledgements of what the pull hadn't sent: a real agent ends the call.
    pub(crate) over_acknowledged: Vec<u64>,
}

/// How an agent behaves; may be changed while it runs.
#[derive(Clone, Debug)]
pub(crate) struct Behaviour {
    /// The SPIFFE ID in the headers of its batches.
    pub(crate) sealed_by: String,
    /// The SPIFFE ID that it describes itself with.
    pub(crate) describes_itself_as: String,
    /// Results that it has, from sequence number 1 on.
    pub(crate) results: u64,
    /// Results in one batch.
    pub(crate) batch: u64,
    /// How far its clock is ahead.
    pub(crate) clock_ahead_ms: u64,
    /// The trust statement that it goes by.
    pub(crate) trust_sequence: u64,
    /// It takes no trust statement.
    pub(crate) refuses_trust: bool,
    /// It says that it has installed another certificate than the one that it was given.
    pub(crate) misnames_certificates: bool,
    /// It waits so long before it says that it has installed a certificate, which it shows already.
    pub(crate) installs_slowly: Duration,
}

struct State {
    seen: Mutex<Seen>,
    behaviour: Mutex<Behaviour>,
    identity: Mutex<AgentIdentity>,
    publish: OnceLock<watch::Sender<Arc<ServerTls>>>,
}

/// A running stand-in.
pub(crate) struct FakeAgent {
    state: Arc<State>,
    server: Server,
}

impl FakeAgent {
    /// Serves as the agent with this identity, with `results` results.
    pub(crate) async fn start(address: SocketAddr, identity: AgentIdentity, results: u64) -> Self {
        let (tls, id) = (identity.tls(), identity.id());
        let behaviour = Behaviour {
            sealed_by: id.clone(),
            describes_itself_as: id,
            results,
            batch: 2,
            clock_ahead_ms: 0,
            trust_sequence: 1,
            refuses_trust: false,
            misnames_certificates: false,
            installs_slowly: Duration::ZERO,
        };
        let state = Arc::new(State {
            seen: Mutex::default(),
            behaviour: Mutex::new(behaviour),
            identity: Mutex::new(identity),
            publish: OnceLock::new(),
        });
        let service = || Service(Arc::clone(&state));
        let routes = Routes::new()
            .add(AgentServer::new(service()))
            .add(RenewalServer::new(service()))
            .add(TrustServer::new(service()));
        let server = Server::start(address, tls, routes).await;
        state.publish.set(server.publisher()).unwrap();
        Self { state, server }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.server.address()
    }

    pub(crate) fn behave(&self, change: impl FnOnce(&mut Behaviour)) {
        change(&mut self.state.behaviour.lock().unwrap());
    }

    pub(crate) fn seen<T>(&self, look: impl FnOnce(&Seen) -> T) -> T {
        look(&self.state.seen.lock().unwrap())
    }

    /// Ends it: connections are cut, and nothing listens any more.
    pub(crate) async fn stop(self) {
        self.server.stop().await;
    }
}

struct Service(Arc<State>);

impl Service {
    fn spool(&self) -> SpoolStatus {
        let last_seq = self.0.behaviour.lock().unwrap().results;
        SpoolStatus {
            stream: STREAM.to_owned(),
            first_seq: last_seq.min(1),
            last_seq,
            bytes: 100 * last_seq,
            quota_bytes: 1 << 20,
            dropped: 0,
        }
    }

    fn now_unix_ms(&self) -> u64 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        u64::try_from(now.as_millis()).unwrap() + self.0.behaviour.lock().unwrap().clock_ahead_ms
    }

    fn batches(&self, start: &PullStart) -> Vec<SealedBatch> {
        let behaviour = self.0.behaviour.lock().unwrap().clone();
        let after = if start.stream == STREAM {
            start.committed_seq
        } else {
            0
        };
        let mut batches = Vec::new();
        let mut first_seq = after + 1;
        while first_seq <= behaviour.results {
            let last_seq = behaviour.results.min(first_seq + behaviour.batch - 1);
            let header = BatchHeader {
                spiffe_id: behaviour.sealed_by.clone(),
                stream: STREAM.to_owned(),
                first_seq,
                last_seq,
                ..Default::default()
            };
            batches.push(SealedBatch {
                header: header.encode_to_vec().into(),
                payload: vec![0; 16].into(),
                signature: vec![0; 70].into(),
            });
            first_seq = last_seq + 1;
        }
        batches
    }
}

fn said(kind: Said) -> Result<PullResponse, Status> {
    Ok(PullResponse { kind: Some(kind) })
}

#[tonic::async_trait]
impl Agent for Service {
    type PullStream = Pin<Box<dyn Stream<Item = Result<PullResponse, Status>> + Send>>;

    async fn describe(&self, _: Request<DescribeRequest>) -> Result<Response<DescribeResponse>, Status> {
        self.0.seen.lock().unwrap().describes += 1;
        let spiffe_id = self.0.behaviour.lock().unwrap().describes_itself_as.clone();
        Ok(Response::new(DescribeResponse {
            spiffe_id,
            version: "9.8.7".to_owned(),
            now_unix_ms: self.now_unix_ms(),
            spool: Some(self.spool()),
            trust_sequence: self.0.behaviour.lock().unwrap().trust_sequence,
            ..Default::default()
        }))
    }

    async fn pull(
        &self,
        request: Request<Streaming<PullRequest>>,
    ) -> Result<Response<Self::PullStream>, Status> {
        let mut asked = request.into_inner();
        let Some(PullRequest {
            kind: Some(Asked::Start(start)),
        }) = asked.message().await?
        else {
            return Err(Status::invalid_argument("expected a start"));
        };
        let batches = self.batches(&start);
        self.0
            .seen
            .lock()
            .unwrap()
            .pulls
            .push((Instant::now(), start.clone()));
        let (answers, stream) = mpsc::channel(4);
        let idle = PullIdle {
            spool: Some(self.spool()),
            now_unix_ms: self.now_unix_ms(),
        };
        let state = Arc::clone(&self.0);
        state.seen.lock().unwrap().open_pulls += 1;
        tokio::spawn(async move {
            let _open = OpenPull(Arc::clone(&state));
            let mut credit = start.credit;
            let mut sent = start.committed_seq;
            let mut batches = batches.into_iter().peekable();
            loop {
                while credit > 0 && batches.peek().is_some() {
                    credit -= 1;
                    let Some(batch) = batches.next() else { break };
                    sent = BatchHeader::decode(batch.header.clone()).unwrap().last_seq;
                    let _ = answers.send(said(Said::Batch(batch))).await;
                }
                if batches.peek().is_none() {
                    break;
                }
                match asked.message().await {
                    Ok(Some(request)) => credit += state.note(request, sent),
                    _ => return,
                }
            }
            let _ = answers.send(said(Said::Idle(idle))).await;
            while let Ok(Some(request)) = asked.message().await {
                state.note(request, sent);
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(stream))))
    }

    async fn run_check(&self, _: Request<RunCheckRequest>) -> Result<Response<RunCheckResponse>, Status> {
        Err(Status::unimplemented("a stand-in runs no checks"))
    }
}

/// Counts the pulls that are open.
struct OpenPull(Arc<State>);

impl Drop for OpenPull {
    fn drop(&mut self) {
        self.0.seen.lock().unwrap().open_pulls -= 1;
    }
}

#[tonic::async_trait]
impl Renewal for Service {
    type RenewStream = Pin<Box<dyn Stream<Item = Result<RenewResponse, Status>> + Send>>;

    async fn renew(
        &self,
        request: Request<Streaming<RenewRequest>>,
    ) -> Result<Response<Self::RenewStream>, Status> {
        let mut asked = request.into_inner();
        let (answers, stream) = mpsc::channel(4);
        let state = Arc::clone(&self.0);
        tokio::spawn(async move {
            let say = |kind| answers.send(Ok(RenewResponse { kind: Some(kind) }));
            let key = PrivateKey::generate().unwrap();
            while let Ok(Some(RenewRequest { kind: Some(kind) })) = asked.message().await {
                match kind {
                    RenewAsked::Begin(begin) => {
                        state.seen.lock().unwrap().renewals.push(begin.correlation_id);
                        let csr = key.csr("any").unwrap().into();
                        let _ = say(RenewSaid::Proof(RenewProof { csr })).await;
                    }
                    RenewAsked::Issued(issued) => {
                        let serial = state.install(&key, &issued).await;
                        let _ = say(RenewSaid::Installed(Installed { serial })).await;
                    }
                    RenewAsked::Failed(failed) => state.seen.lock().unwrap().failures.push(failed),
                }
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(stream))))
    }
}

#[tonic::async_trait]
impl TrustService for Service {
    async fn update(&self, request: Request<TrustUpdate>) -> Result<Response<TrustState>, Status> {
        let update = request.into_inner();
        let expectation = self.0.identity.lock().unwrap().expectation.clone();
        let signed = SignedTrust {
            statement: update.statement.to_vec(),
            signer: update.signer.to_vec(),
            signature: update.signature.to_vec(),
        };
        let (platform, tenant) = (&expectation.platform, &expectation.tenant);
        let statement = signed
            .verify(platform, tenant, &expectation.trust.roots(), verify::now())
            .map_err(|error| Status::invalid_argument(error.to_string()))?;
        self.0.seen.lock().unwrap().trust_updates.push(statement.sequence);
        let mut behaviour = self.0.behaviour.lock().unwrap();
        if behaviour.refuses_trust {
            return Err(Status::invalid_argument("a stand-in that believes nothing"));
        }
        if statement.sequence > behaviour.trust_sequence {
            behaviour.trust_sequence = statement.sequence;
            let mut identity = self.0.identity.lock().unwrap();
            identity.expectation.trust = statement.trust().unwrap();
            self.0
                .publish
                .get()
                .unwrap()
                .send_replace(Arc::new(identity.tls()));
        }
        let sequence = behaviour.trust_sequence;
        Ok(Response::new(TrustState { sequence }))
    }
}

impl State {
    /// Shows the new certificate to whoever connects from now on.
    async fn install(&self, key: &PrivateKey, issued: &IssuedCertificate) -> String {
        let chain = [&issued.leaf, &issued.issuer].map(|der| CertificateDer::from(der.to_vec()));
        let credential = Credential::new(key.clone(), chain.to_vec()).unwrap();
        let serial = credential.leaf().serial.to_string();
        {
            let mut identity = self.identity.lock().unwrap();
            identity.credential = credential;
            self.publish.get().unwrap().send_replace(Arc::new(identity.tls()));
        }
        let behaviour = self.behaviour.lock().unwrap().clone();
        tokio::time::sleep(behaviour.installs_slowly).await;
        self.seen.lock().unwrap().installed.push(serial.clone());
        if behaviour.misnames_certificates {
            return "0badcafe".to_owned();
        }
        serial
    }

    /// Returns the credit that was given.
    fn note(&self, request: PullRequest, sent: u64) -> u32 {
        match request.kind {
            Some(Asked::Acknowledge(acknowledge)) => {
                let mut seen = self.seen.lock().unwrap();
                if acknowledge.seq > sent {
                    seen.over_acknowledged.push(acknowledge.seq);
                }
                seen.acknowledged.push(acknowledge.seq);
                0
            }
            Some(Asked::Credit(credit)) => credit.batches,
            Some(Asked::Start(_)) | None => 0,
        }
    }
}
