//! A stand-in for the platform: a session, a cursor for each agent, and a CA.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use picket_identity::serve::Routes;
use picket_identity::tls::ServerTls;
use picket_proto::agent::v1::BatchHeader;
use picket_proto::platform::v1::coordination_server::{Coordination, CoordinationServer};
use picket_proto::platform::v1::ingest_server::{Ingest, IngestServer};
use picket_proto::platform::v1::registry_server::{Registry, RegistryServer};
use picket_proto::platform::v1::session_request::Kind as Asked;
use picket_proto::platform::v1::session_response::Kind as Said;
use picket_proto::platform::v1::{
    Assignment, EnrollAgentRequest, GetAgentRequest, GetAgentResponse, Hello, IssueAgentCertificateResponse,
    IssueTenantCertificateRequest, IssueTenantCertificateResponse, Lease, ReachabilityClaim,
    RenewAgentRequest, RenewGatewayRequest, RenewGatewayResponse, SessionRequest, SessionResponse,
    SubmitOutcome, SubmitRequest, SubmitResponse,
};
use prost::Message as _;
use tokio::sync::{mpsc, watch};
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use crate::authority::{Authority, Server};

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// What the platform was told.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) hellos: Vec<Hello>,
    pub(crate) heartbeats: Vec<Instant>,
    pub(crate) claims: Vec<ReachabilityClaim>,
    pub(crate) drained: bool,
    pub(crate) submits: Vec<SubmitRequest>,
    pub(crate) certificates: Vec<String>,
}

impl Seen {
    /// The newest claim about an agent.
    pub(crate) fn claim(&self, agent: &str) -> Option<&ReachabilityClaim> {
        self.claims.iter().rev().find(|claim| claim.agent == agent)
    }
}

/// How the platform behaves; may be changed while it runs.
#[derive(Debug)]
pub(crate) struct Behaviour {
    pub(crate) snapshot: Assignment,
    pub(crate) lease_ms: u64,
    pub(crate) answers_heartbeats: bool,
    /// What it says to every batch, in place of what it would.
    pub(crate) outcome: Option<SubmitOutcome>,
}

struct State {
    authority: Arc<Authority>,
    seen: Mutex<Seen>,
    behaviour: Mutex<Behaviour>,
    cursors: Mutex<HashMap<(String, String), (String, u64)>>,
    sessions: Mutex<Vec<mpsc::Sender<Result<SessionResponse, Status>>>>,
    /// While it is true, batches wait for their answers.
    hold: watch::Sender<bool>,
}

/// A running stand-in.
pub(crate) struct FakePlatform {
    state: Arc<State>,
    server: Server,
}

impl FakePlatform {
    pub(crate) async fn start(authority: Arc<Authority>, tls: ServerTls, snapshot: Assignment) -> Self {
        let state = Arc::new(State {
            authority,
            seen: Mutex::default(),
            behaviour: Mutex::new(Behaviour {
                snapshot,
                lease_ms: 10_000,
                answers_heartbeats: true,
                outcome: None,
            }),
            cursors: Mutex::default(),
            sessions: Mutex::default(),
            hold: watch::Sender::new(false),
        });
        let service = || Service(Arc::clone(&state));
        let routes = Routes::new()
            .add(CoordinationServer::new(service()))
            .add(IngestServer::new(service()))
            .add(RegistryServer::new(service()));
        let server = Server::start(([127, 0, 0, 1], 0).into(), tls, routes).await;
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

    pub(crate) fn hold(&self, hold: bool) {
        self.state.hold.send_replace(hold);
    }

    /// The cursor of an agent.
    pub(crate) fn committed(&self, tenant: &str, agent: &str) -> u64 {
        let key = (tenant.to_owned(), agent.to_owned());
        self.state
            .cursors
            .lock()
            .unwrap()
            .get(&key)
            .map_or(0, |(_, seq)| *seq)
    }

    pub(crate) fn set_cursor(&self, tenant: &str, agent: &str, stream: &str, seq: u64) {
        let key = (tenant.to_owned(), agent.to_owned());
        self.state
            .cursors
            .lock()
            .unwrap()
            .insert(key, (stream.to_owned(), seq));
    }

    /// Ends every session.
    pub(crate) fn cut_sessions(&self) {
        self.state.sessions.lock().unwrap().clear();
    }

    /// Tells every session.
    pub(crate) async fn say(&self, kind: Said) {
        let sessions = self.state.sessions.lock().unwrap().clone();
        for session in sessions {
            let _ = session.send(said(kind.clone())).await;
        }
    }

    pub(crate) async fn stop(self) {
        self.server.stop().await;
    }
}

fn said(kind: Said) -> Result<SessionResponse, Status> {
    Ok(SessionResponse { kind: Some(kind) })
}

impl State {
    fn lease(&self) -> Said {
        let duration_ms = self.behaviour.lock().unwrap().lease_ms;
        Said::Lease(Lease {
            duration_ms,
            heartbeat_ms: duration_ms * 3 / 10,
        })
    }

    fn submit(&self, request: &SubmitRequest) -> SubmitResponse {
        let header = BatchHeader::decode(request.batch.clone().unwrap().header).unwrap();
        let mut cursors = self.cursors.lock().unwrap();
        let cursor = cursors
            .entry((request.tenant.clone(), request.agent.clone()))
            .or_default();
        let committed = if cursor.0 == header.stream { cursor.1 } else { 0 };
        let override_outcome = self.behaviour.lock().unwrap().outcome;
        let outcome = override_outcome.unwrap_or_else(|| {
            if header.last_seq <= committed {
                SubmitOutcome::Duplicate
            } else if header.first_seq == committed + 1 {
                *cursor = (header.stream.clone(), header.last_seq);
                SubmitOutcome::Committed
            } else {
                SubmitOutcome::Gap
            }
        });
        SubmitResponse {
            id: request.id,
            outcome: outcome.into(),
            stream: cursor.0.clone(),
            committed_seq: cursor.1,
            detail: "said by a stand-in".to_owned(),
        }
    }
}

struct Service(Arc<State>);

#[tonic::async_trait]
impl Coordination for Service {
    type SessionStream = Answers<SessionResponse>;

    async fn session(
        &self,
        request: Request<Streaming<SessionRequest>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        let mut asked = request.into_inner();
        let (answers, stream) = mpsc::channel(16);
        self.0.sessions.lock().unwrap().push(answers.clone());
        let answers = answers.downgrade();
        let state = Arc::clone(&self.0);
        tokio::spawn(async move {
            while let Ok(Some(request)) = asked.message().await {
                let Some(answers) = answers.upgrade() else { return };
                match request.kind {
                    Some(Asked::Hello(hello)) => {
                        state.seen.lock().unwrap().hellos.push(hello);
                        let _ = answers.send(said(state.lease())).await;
                        let snapshot = state.behaviour.lock().unwrap().snapshot.clone();
                        let _ = answers.send(said(Said::Snapshot(snapshot))).await;
                    }
                    Some(Asked::Heartbeat(_)) => {
                        state.seen.lock().unwrap().heartbeats.push(Instant::now());
                        let answers_it = state.behaviour.lock().unwrap().answers_heartbeats;
                        if answers_it {
                            let _ = answers.send(said(state.lease())).await;
                        }
                    }
                    Some(Asked::Claims(claims)) => state.seen.lock().unwrap().claims.extend(claims.claims),
                    Some(Asked::Drain(_)) => state.seen.lock().unwrap().drained = true,
                    None => {}
                }
            }
            // The gateway has ended its side: so does the platform.
            state.sessions.lock().unwrap().clear();
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(stream))))
    }
}

#[tonic::async_trait]
impl Ingest for Service {
    type SubmitStream = Answers<SubmitResponse>;

    async fn submit(
        &self,
        request: Request<Streaming<SubmitRequest>>,
    ) -> Result<Response<Self::SubmitStream>, Status> {
        let mut asked = request.into_inner();
        let (answers, stream) = mpsc::channel(16);
        let state = Arc::clone(&self.0);
        tokio::spawn(async move {
            let mut hold = state.hold.subscribe();
            while let Ok(Some(request)) = asked.message().await {
                state.seen.lock().unwrap().submits.push(request.clone());
                let _ = hold.wait_for(|hold| !hold).await;
                let answer = state.submit(&request);
                let _ = answers.send(Ok(answer)).await;
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(stream))))
    }
}

#[tonic::async_trait]
impl Registry for Service {
    async fn issue_tenant_certificate(
        &self,
        request: Request<IssueTenantCertificateRequest>,
    ) -> Result<Response<IssueTenantCertificateResponse>, Status> {
        let request = request.into_inner();
        self.0
            .seen
            .lock()
            .unwrap()
            .certificates
            .push(request.tenant.clone());
        Ok(Response::new(
            self.0.authority.tenant_certificate(&request.tenant, &request.csr),
        ))
    }

    async fn get_agent(
        &self,
        request: Request<GetAgentRequest>,
    ) -> Result<Response<GetAgentResponse>, Status> {
        let GetAgentRequest { tenant, agent } = request.into_inner();
        let snapshot = self.0.behaviour.lock().unwrap().snapshot.clone();
        let is_asked =
            |a: &&picket_proto::platform::v1::AssignedAgent| a.tenant == tenant && a.agent == agent;
        let Some(found) = snapshot.agents.iter().find(is_asked) else {
            return Err(Status::not_found(format!("there is no agent {tenant}/{agent}")));
        };
        let trust = snapshot
            .tenants
            .iter()
            .find(|trust| trust.tenant == tenant)
            .unwrap();
        Ok(Response::new(GetAgentResponse {
            endpoint: found.endpoint.clone(),
            spiffe_id: found.spiffe_id.clone(),
            common_name: found.common_name.clone(),
            active_serials: found.active_serials.clone(),
            tenant_cas: trust.tenant_cas.clone(),
            roots: trust.roots.clone(),
        }))
    }

    async fn enroll_agent(
        &self,
        _request: Request<EnrollAgentRequest>,
    ) -> Result<Response<IssueAgentCertificateResponse>, Status> {
        Err(Status::unimplemented("this platform only acts"))
    }

    async fn renew_agent(
        &self,
        _request: Request<RenewAgentRequest>,
    ) -> Result<Response<IssueAgentCertificateResponse>, Status> {
        Err(Status::unimplemented("this platform only acts"))
    }

    async fn renew_gateway(
        &self,
        _request: Request<RenewGatewayRequest>,
    ) -> Result<Response<RenewGatewayResponse>, Status> {
        Err(Status::unimplemented("this platform only acts"))
    }
}
