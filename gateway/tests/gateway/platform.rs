//! A stand-in for the platform: a session, a cursor for each agent, and a CA.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use picket_identity::channel_binding::ChannelBinding;
use picket_identity::enrollment::verify_activation;
use picket_identity::serve::{PeerIdentity, Routes};
use picket_identity::spiffe::SpiffeId;
use picket_identity::tls::ServerTls;
use picket_issuing::PublicKey;
use picket_proto::agent::v1::{BatchHeader, IssuedCertificate, StepFailed};
use picket_proto::platform::v1::coordination_server::{Coordination, CoordinationServer};
use picket_proto::platform::v1::ingest_server::{Ingest, IngestServer};
use picket_proto::platform::v1::registry_server::{Registry, RegistryServer};
use picket_proto::platform::v1::session_request::Kind as Asked;
use picket_proto::platform::v1::session_response::Kind as Said;
use picket_proto::platform::v1::{
    AssignedAgent, Assignment, EnrollAgentRequest, GetAgentRequest, GetAgentResponse, Hello,
    IssueAgentCertificateResponse, IssueTenantCertificateRequest, IssueTenantCertificateResponse, Lease,
    Reachability, ReachabilityClaim, RenewAgentRequest, RenewGatewayRequest, RenewGatewayResponse,
    SessionRequest, SessionResponse, SubmitOutcome, SubmitRequest, SubmitResponse, TenantTrust,
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
    /// What was issued for it.
    pub(crate) tenant_leaves: Vec<Vec<u8>>,
    /// The serial numbers by which gateways said hello.
    pub(crate) hello_serials: Vec<String>,
    /// The trust sequence of the last heartbeat.
    pub(crate) trust_sequence: u64,
    pub(crate) enrolments: Vec<EnrollAgentRequest>,
    pub(crate) renewals: Vec<RenewAgentRequest>,
    pub(crate) own_renewals: usize,
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
    /// Why it issues nothing to agents.
    pub(crate) refusal: Option<&'static str>,
    /// How long its word takes after it has issued something.
    pub(crate) word_takes: Duration,
    /// The public halves of activation keys, by `tenant/agent`.
    pub(crate) activations: HashMap<String, Vec<u8>>,
    /// The sequence of its own trust.
    pub(crate) trust_sequence: u64,
}

struct State {
    authority: Arc<Authority>,
    seen: Mutex<Seen>,
    behaviour: Mutex<Behaviour>,
    cursors: Mutex<HashMap<(String, String), (String, u64)>>,
    sessions: Mutex<Vec<mpsc::Sender<Result<SessionResponse, Status>>>>,
    /// What was issued to whom: by agent, the request and the certificate.
    issued: Mutex<HashMap<String, (Vec<u8>, IssuedCertificate)>>,
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
                refusal: None,
                word_takes: Duration::ZERO,
                activations: HashMap::new(),
                trust_sequence: 1,
            }),
            issued: Mutex::default(),
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
        self.state.say(kind).await;
    }

    /// Assigns an agent, or changes one.
    pub(crate) async fn assign(&self, agent: AssignedAgent) {
        self.state
            .change(&agent.tenant.clone(), &agent.agent.clone(), |record| {
                *record = agent;
            })
            .await;
    }

    /// Says what to trust a tenant's agents by.
    pub(crate) async fn trust(&self, trust: TenantTrust) {
        let delta = {
            let mut behaviour = self.state.behaviour.lock().unwrap();
            let tenants = &mut behaviour.snapshot.tenants;
            tenants.retain(|known| known.tenant != trust.tenant);
            tenants.push(trust.clone());
            behaviour.snapshot.revision += 1;
            Assignment {
                revision: behaviour.snapshot.revision,
                tenants: vec![trust],
                ..Default::default()
            }
        };
        self.say(Said::Delta(delta)).await;
    }

    /// Shows another certificate, and accepts other gateways, from now on.
    pub(crate) fn publish(&self, tls: ServerTls) {
        self.server.publisher().send_replace(Arc::new(tls));
    }

    pub(crate) async fn stop(self) {
        self.server.stop().await;
    }
}

fn said(kind: Said) -> Result<SessionResponse, Status> {
    Ok(SessionResponse { kind: Some(kind) })
}

impl State {
    async fn say(&self, kind: Said) {
        let sessions = self.sessions.lock().unwrap().clone();
        for session in sessions {
            let _ = session.send(said(kind.clone())).await;
        }
    }

    /// Changes what is known of an agent, and tells every session.
    async fn change(&self, tenant: &str, agent: &str, change: impl FnOnce(&mut AssignedAgent)) {
        let delta = {
            let mut behaviour = self.behaviour.lock().unwrap();
            behaviour.snapshot.revision += 1;
            let revision = behaviour.snapshot.revision;
            let agents = &mut behaviour.snapshot.agents;
            let place = agents
                .iter()
                .position(|known| known.tenant == tenant && known.agent == agent)
                .unwrap_or_else(|| {
                    agents.push(AssignedAgent::default());
                    agents.len() - 1
                });
            change(&mut agents[place]);
            Assignment {
                revision,
                agents: vec![agents[place].clone()],
                ..Default::default()
            }
        };
        self.say(Said::Delta(delta)).await;
    }

    /// The registry's word after the issue, as the real platform says it: the new serial number counts at once, and what
    /// was to be done is done when it is seen in use.
    fn issue(self: &Arc<Self>, tenant: &str, agent: &str, csr: &[u8]) -> IssueAgentCertificateResponse {
        let issued = self.authority.issue_agent(tenant, agent, csr, Duration::ZERO);
        let certificate = IssuedCertificate {
            leaf: issued.certificate.to_vec().into(),
            issuer: issued.issuer.to_vec().into(),
            trust: None,
        };
        let key = format!("{tenant}/{agent}");
        self.issued
            .lock()
            .unwrap()
            .insert(key, (csr.to_vec(), certificate.clone()));
        let (state, takes) = (Arc::clone(self), self.behaviour.lock().unwrap().word_takes);
        let (tenant, agent) = (tenant.to_owned(), agent.to_owned());
        tokio::spawn(async move {
            tokio::time::sleep(takes).await;
            let serial = issued.serial.to_string();
            let add = |record: &mut AssignedAgent| {
                record.active_serials.push(serial);
                record.renew = false;
            };
            state.change(&tenant, &agent, add).await;
        });
        IssueAgentCertificateResponse {
            issued: Some(certificate),
            failed: None,
        }
    }

    /// A claim shows a certificate in use.
    async fn note(&self, claim: &ReachabilityClaim) {
        let is_awaited = self
            .behaviour
            .lock()
            .unwrap()
            .snapshot
            .agents
            .iter()
            .any(|known| {
                let is_meant = known.tenant == claim.tenant && known.agent == claim.agent;
                is_meant && known.work != 0 && known.active_serials.last() == Some(&claim.certificate_serial)
            });
        if is_awaited && claim.state() == Reachability::Reachable {
            let done = |record: &mut AssignedAgent| record.work = 0;
            self.change(&claim.tenant, &claim.agent, done).await;
        }
    }

    fn refuse(&self, step: &str) -> Option<IssueAgentCertificateResponse> {
        let refusal = self.behaviour.lock().unwrap().refusal?;
        Some(refused(step, refusal))
    }

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

fn refused(step: &str, cause: &str) -> IssueAgentCertificateResponse {
    IssueAgentCertificateResponse {
        issued: None,
        failed: Some(StepFailed {
            step: step.to_owned(),
            cause: cause.to_owned(),
            detail: format!("a stand-in refuses: {cause}"),
        }),
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
        let peer = request.extensions().get::<PeerIdentity>().unwrap();
        let serial = peer.verified().serial().to_string();
        self.0.seen.lock().unwrap().hello_serials.push(serial);
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
                    Some(Asked::Heartbeat(heartbeat)) => {
                        {
                            let mut seen = state.seen.lock().unwrap();
                            seen.heartbeats.push(Instant::now());
                            seen.trust_sequence = heartbeat.trust_sequence;
                        }
                        let answers_it = state.behaviour.lock().unwrap().answers_heartbeats;
                        if answers_it {
                            let _ = answers.send(said(state.lease())).await;
                        }
                    }
                    Some(Asked::Claims(claims)) => {
                        for claim in &claims.claims {
                            state.note(claim).await;
                        }
                        state.seen.lock().unwrap().claims.extend(claims.claims);
                    }
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
        let issued = self
            .0
            .authority
            .tenant_certificate("gw-1", &request.tenant, &request.csr);
        let leaf = issued.certificate.to_vec();
        self.0.seen.lock().unwrap().tenant_leaves.push(leaf);
        Ok(Response::new(IssueTenantCertificateResponse {
            leaf: issued.certificate.to_vec().into(),
            issuer: issued.issuer.to_vec().into(),
            not_after_unix_s: issued.not_after.as_secs(),
        }))
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
        request: Request<EnrollAgentRequest>,
    ) -> Result<Response<IssueAgentCertificateResponse>, Status> {
        let request = request.into_inner();
        self.0.seen.lock().unwrap().enrolments.push(request.clone());
        if let Some(refused) = self.0.refuse("issue") {
            return Ok(Response::new(refused));
        }
        let key = format!("{}/{}", request.tenant, request.agent);
        let public = self.0.behaviour.lock().unwrap().activations.get(&key).cloned();
        let Some(public) = public else {
            return Ok(Response::new(refused("issue", "activation_unknown")));
        };
        let id: SpiffeId = format!(
            "spiffe://{}.picket.example/agent/{}",
            request.tenant, request.agent
        )
        .parse()
        .unwrap();
        let binding = ChannelBinding::from_bytes(&request.channel_binding).unwrap();
        if verify_activation(&public, &binding, &request.csr, &id, &request.signature).is_err() {
            return Ok(Response::new(refused("issue", "bad_signature")));
        }
        let before = self.0.issued.lock().unwrap().get(&key).cloned();
        let response = match before {
            Some((csr, issued)) if same_key(&csr, &request.csr) => IssueAgentCertificateResponse {
                issued: Some(issued),
                failed: None,
            },
            Some(_) => refused("issue", "activation_reuse"),
            None => self.0.issue(&request.tenant, &request.agent, &request.csr),
        };
        Ok(Response::new(response))
    }

    async fn renew_agent(
        &self,
        request: Request<RenewAgentRequest>,
    ) -> Result<Response<IssueAgentCertificateResponse>, Status> {
        let request = request.into_inner();
        self.0.seen.lock().unwrap().renewals.push(request.clone());
        if let Some(refused) = self.0.refuse("issue") {
            return Ok(Response::new(refused));
        }
        let known = self.0.authority.serials(&request.tenant, &request.agent);
        if !known.contains(&request.presented_serial) {
            return Ok(Response::new(refused("issue", "not_verified")));
        }
        let issued = self.0.issue(&request.tenant, &request.agent, &request.csr);
        Ok(Response::new(issued))
    }

    async fn renew_gateway(
        &self,
        request: Request<RenewGatewayRequest>,
    ) -> Result<Response<RenewGatewayResponse>, Status> {
        let request = request.into_inner();
        self.0.seen.lock().unwrap().own_renewals += 1;
        if let Some(refusal) = self.0.behaviour.lock().unwrap().refusal {
            return Err(Status::permission_denied(refusal));
        }
        let authority = &self.0.authority;
        let issued = authority.issue_gateway(&request.csr, "gw-1", Duration::ZERO);
        let sequence = self.0.behaviour.lock().unwrap().trust_sequence;
        Ok(Response::new(RenewGatewayResponse {
            leaf: issued.certificate.to_vec().into(),
            issuer: issued.issuer.to_vec().into(),
            trust: Some(authority.platform_trust(sequence, false)),
        }))
    }
}

fn same_key(one: &[u8], other: &[u8]) -> bool {
    let spki = |csr| PublicKey::from_request(csr).unwrap().spki().to_vec();
    spki(one) == spki(other)
}
