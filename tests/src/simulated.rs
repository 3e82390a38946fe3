//! Agents that speak the real protocol over real mutual TLS, with made-up results in place of a sandbox and a spool: for
//! measuring gateways and platforms with more agents than this machine could run.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Context as _;
use futures_util::Stream;
use picket_identity::bundle::Identity;
use picket_identity::credential::Credential;
use picket_identity::serve::{Limits, LogObserver, Routes, serve};
use picket_identity::tls;
use picket_identity::verify;
use picket_proto::agent::v1::agent_server::{Agent, AgentServer};
use picket_proto::agent::v1::{
    BatchHeader, BatchPayload, CheckResult, Codec, DescribeRequest, DescribeResponse, Metric, PullIdle,
    PullRequest, PullResponse, RunCheckRequest, RunCheckResponse, SealedBatch, SpoolStatus, Status, Usage,
    pull_request, pull_response,
};
use prost::Message as _;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Streaming};

use crate::enrolling;
use crate::installation::{AgentOptions, Installation};

/// What an agent's key signs a batch's header with.
const BATCH_CONTEXT: &[u8] = b"picket-batch-1";

/// One simulated agent; it ends when it is dropped.
#[derive(Debug)]
pub struct SimulatedAgent {
    shutdown: CancellationToken,
    server: Option<JoinHandle<()>>,
    _publish: watch::Sender<Arc<tls::ServerTls>>,
    polls: Arc<AtomicU64>,
}

impl Installation {
    /// Registers, enrols and starts an agent that gives `results` new results at every poll. Platform and gateway have to
    /// run.
    pub async fn start_simulated_agent(
        &self,
        tenant: &str,
        name: &str,
        interval: &'static str,
        results: u32,
    ) -> anyhow::Result<SimulatedAgent> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let endpoint = listener.local_addr()?;
        let options = AgentOptions {
            interval,
            ..AgentOptions::default()
        };
        let file = self.register_agent(tenant, name, &endpoint.to_string(), options)?;
        let identity = enrolling::enroll(listener, &file).await?;
        let listener = TcpListener::bind(endpoint).await?;
        SimulatedAgent::start(listener, &identity, results)
    }
}

impl SimulatedAgent {
    /// Starts an agent with this identity, which gives `results` new results at every poll.
    pub fn start(listener: TcpListener, identity: &Identity, results: u32) -> anyhow::Result<Self> {
        let expected = identity
            .gateway_expectation()
            .context("not an agent's identity")?;
        let config = tls::agent_serving_gateways(identity.credential(), expected)?;
        let (publish, snapshots) = watch::channel(Arc::new(config));
        let shutdown = CancellationToken::new();
        let polls = Arc::new(AtomicU64::new(0));
        let service = Simulation {
            polls: Arc::clone(&polls),
            ..Simulation::new(identity.credential(), results)
        };
        let server = tokio::spawn({
            let shutdown = shutdown.clone();
            let routes = Routes::new().add(AgentServer::new(service));
            async move {
                serve(
                    listener,
                    snapshots,
                    routes,
                    Limits::default(),
                    Arc::new(LogObserver),
                    shutdown,
                )
                .await;
            }
        });
        Ok(Self {
            shutdown,
            server: Some(server),
            _publish: publish,
            polls,
        })
    }
}

impl SimulatedAgent {
    /// How often it was polled to the end: its batch was acknowledged.
    #[must_use]
    pub fn polls(&self) -> u64 {
        self.polls.load(Ordering::Relaxed)
    }
}

impl SimulatedAgent {
    /// Ends it, and waits until its port is free.
    pub async fn end(mut self) -> anyhow::Result<()> {
        self.shutdown.cancel();
        if let Some(server) = self.server.take() {
            server.await?;
        }
        Ok(())
    }
}

impl Drop for SimulatedAgent {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

pub(crate) struct Simulation {
    credential: Credential,
    stream: String,
    results: u64,
    polls: Arc<AtomicU64>,
}

impl Simulation {
    /// An agent that seals with this credential and gives so many results at each poll.
    pub(crate) fn new(credential: &Credential, results: u32) -> Self {
        Self {
            credential: credential.clone(),
            stream: format!("{}-simulated", credential.id().common_name()),
            results: u64::from(results),
            polls: Arc::default(),
        }
    }

    /// The batch that follows the platform's cursor.
    fn batch(&self, committed: u64) -> anyhow::Result<SealedBatch> {
        let now = now_unix_ms();
        let results = (0..self.results).map(|index| made_up(index, now)).collect();
        let opened = BatchPayload { results }.encode_to_vec();
        let payload = zstd::bulk::compress(&opened, 1)?;
        let header = BatchHeader {
            spiffe_id: self.credential.id().to_string(),
            stream: self.stream.clone(),
            first_seq: committed + 1,
            last_seq: committed + self.results,
            codec: Codec::Zstd.into(),
            opened_size: opened.len() as u64,
            payload_sha256: digest(&payload).into(),
            sealed_at_unix_ms: now,
            certificate_serial: self.credential.leaf().serial.to_string(),
            lost: Vec::new(),
        }
        .encode_to_vec();
        let signature = self.credential.key().sign(BATCH_CONTEXT, &header)?;
        Ok(SealedBatch {
            header: header.into(),
            payload: payload.into(),
            signature: signature.into(),
        })
    }

    fn spool(&self, committed: u64) -> SpoolStatus {
        SpoolStatus {
            stream: self.stream.clone(),
            first_seq: committed + 1,
            last_seq: committed + self.results,
            bytes: 0,
            quota_bytes: 1 << 28,
            dropped: 0,
        }
    }
}

/// Milliseconds since 1970.
fn now_unix_ms() -> u64 {
    verify::unix_millis(verify::now()).unsigned_abs()
}

fn digest(bytes: &[u8]) -> Vec<u8> {
    aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes)
        .as_ref()
        .to_vec()
}

/// Of about the size that a real one has.
fn made_up(index: u64, now: u64) -> CheckResult {
    CheckResult {
        check: format!("check-{index}"),
        checker: "simulated".to_owned(),
        checker_version: "0.1.0".to_owned(),
        status: Status::Ok.into(),
        summary: "connected to 192.0.2.10:443 in 12.3 ms".to_owned(),
        metrics: vec![Metric {
            name: "connect_time".to_owned(),
            value: 0.0123 + (now % 1000) as f64 / 1e6,
            unit: "s".to_owned(),
            ..Metric::default()
        }],
        scheduled_at_unix_ms: now,
        started_at_unix_ms: now,
        usage: Some(Usage {
            cpu_us: 120,
            wall_us: 12_500,
            peak_memory_bytes: 1 << 20,
            ..Usage::default()
        }),
        interval_ms: 60_000,
        ..CheckResult::default()
    }
}

type Responses = Pin<Box<dyn Stream<Item = Result<PullResponse, tonic::Status>> + Send>>;

#[tonic::async_trait]
impl Agent for Simulation {
    type PullStream = Responses;

    async fn describe(
        &self,
        _: Request<DescribeRequest>,
    ) -> Result<Response<DescribeResponse>, tonic::Status> {
        let now = now_unix_ms();
        Ok(Response::new(DescribeResponse {
            spiffe_id: self.credential.id().to_string(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            boot_id: self.stream.clone(),
            started_at_unix_ms: now,
            now_unix_ms: now,
            spool: Some(self.spool(0)),
            ..DescribeResponse::default()
        }))
    }

    /// One batch, and the end of the poll once it is acknowledged.
    async fn pull(
        &self,
        request: Request<Streaming<PullRequest>>,
    ) -> Result<Response<Responses>, tonic::Status> {
        let mut requests = request.into_inner();
        let first = requests
            .next()
            .await
            .transpose()?
            .and_then(|request| request.kind);
        let Some(pull_request::Kind::Start(start)) = first else {
            return Err(tonic::Status::invalid_argument("expected start"));
        };
        let committed = if start.stream == self.stream {
            start.committed_seq
        } else {
            0
        };
        let batch = match self.results {
            0 => None,
            _ => Some(
                self.batch(committed)
                    .map_err(|error| tonic::Status::internal(error.to_string()))?,
            ),
        };
        let idle = PullIdle {
            spool: Some(self.spool(committed + self.results)),
            now_unix_ms: now_unix_ms(),
        };
        let (sender, responses) = mpsc::channel(2);
        let polls = Arc::clone(&self.polls);
        tokio::spawn(async move {
            let batch = batch.map(pull_response::Kind::Batch);
            for kind in batch.into_iter().chain([pull_response::Kind::Idle(idle)]) {
                if sender.send(Ok(PullResponse { kind: Some(kind) })).await.is_err() {
                    return;
                }
            }
            while let Some(Ok(request)) = requests.next().await {
                if matches!(request.kind, Some(pull_request::Kind::Acknowledge(_))) {
                    polls.fetch_add(1, Ordering::Relaxed);
                    return;
                }
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(responses))))
    }

    async fn run_check(
        &self,
        _: Request<RunCheckRequest>,
    ) -> Result<Response<RunCheckResponse>, tonic::Status> {
        Err(tonic::Status::not_found("a simulated agent has no checks to run"))
    }
}
