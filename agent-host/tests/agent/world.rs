//! A platform's certificate authorities, one agent's folders, and gateways that dial it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use picket_agent_host::app::{App, Running, StartError};
use picket_agent_host::config::AgentConfig;
use picket_identity::bundle::{self, IdentityBundle};
use picket_identity::connect::{Connection, DialError, DialLimits, connect};
use picket_identity::credential::{Credential, PrivateKey};
use picket_identity::name::TenantSlug;
use picket_identity::spiffe::{SpiffeId, TrustDomain};
use picket_identity::tls;
use picket_identity::verify::{AgentExpectation, Serials, Trust, UnixTime, now};
use picket_issuing::{CertificateAuthority, Intermediate, Issued, PublicKey};
use picket_proto::agent::v1::agent_client::AgentClient;
use picket_proto::agent::v1::pull_request::Kind as Ask;
use picket_proto::agent::v1::pull_response::Kind as Answer;
use picket_proto::agent::v1::{
    BatchHeader, BatchPayload, CheckResult, DescribeRequest, DescribeResponse, PullAcknowledge, PullRequest,
    PullStart, SealedBatch,
};
use picket_sandbox::component::{ChildCompiler, Compiler};
use prost::Message;
use tonic::transport::Channel;

const HOUR: Duration = Duration::from_secs(3_600);

/// Where the guests are that tests run.
pub(crate) fn guest(name: &str) -> PathBuf {
    component("PICKET_GUESTS_DIR", "guests", name)
}

fn component(variable: &str, built: &str, name: &str) -> PathBuf {
    let folder = std::env::var_os(variable).map_or_else(
        || {
            Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("../target")
                .join(built)
        },
        PathBuf::from,
    );
    let path = folder.join(format!("{name}.wasm"));
    assert!(
        path.exists(),
        "{} is missing: build it with `cargo xtask checkers`, or name its folder in {variable}",
        path.display()
    );
    path
}

pub(crate) struct World {
    folder: tempfile::TempDir,
    pub(crate) platform: TrustDomain,
    pub(crate) root: CertificateAuthority,
    pub(crate) gateway_ca: CertificateAuthority,
    pub(crate) platform_ca: CertificateAuthority,
    pub(crate) tenant_ca: CertificateAuthority,
    pub(crate) tenant: TenantSlug,
}

impl World {
    /// An enrolled agent `berlin-1` of `acme`, with no checks.
    pub(crate) fn new() -> Self {
        let world = Self::not_enrolled();
        world.enroll();
        world
    }

    pub(crate) fn not_enrolled() -> Self {
        Self::at(now())
    }

    /// Not enrolled; its authorities were made at that time.
    pub(crate) fn at(at: UnixTime) -> Self {
        let platform: TrustDomain = "picket.example".parse().unwrap();
        let tenant: TenantSlug = "acme".parse().unwrap();
        let root = CertificateAuthority::new_root(&platform, at).unwrap();
        let gateway_ca = root.new_intermediate(Intermediate::Gateway, at).unwrap();
        let platform_ca = root.new_intermediate(Intermediate::Platform, at).unwrap();
        let tenant_ca = root
            .new_intermediate(Intermediate::Tenant(tenant.clone()), at)
            .unwrap();
        let world = Self {
            folder: tempfile::tempdir().unwrap(),
            platform,
            root,
            gateway_ca,
            platform_ca,
            tenant_ca,
            tenant,
        };
        for folder in ["checkers", "checks.d"] {
            std::fs::create_dir(world.path(folder)).unwrap();
        }
        world.write(
            "agent.toml",
            "listen = \"127.0.0.1:0\"\n[metrics]\nlisten = \"127.0.0.1:0\"\n",
        );
        world
    }

    /// A new key with a certificate, installed as an embedder would: in process.
    pub(crate) fn enroll(&self) {
        let (key, public) = key();
        let issued = self
            .tenant_ca
            .issue_agent(&public, &"berlin-1".parse().unwrap(), 24 * HOUR, now())
            .unwrap();
        self.install_identity(&key, &issued, now());
    }

    /// As of a time: an identity whose certificate has ended by now was installed while it was good.
    pub(crate) fn install_identity(&self, key: &PrivateKey, issued: &Issued, at: UnixTime) {
        let bundle = IdentityBundle::for_agent(
            self.agent_id(),
            &issued.certificate,
            &issued.issuer,
            std::slice::from_ref(self.root.certificate_der()),
            &[self.gateway_ca.certificate_der().clone()],
        );
        bundle::install_with_key(&self.path("identity"), &bundle, key, at).unwrap();
    }

    pub(crate) fn agent_id(&self) -> SpiffeId {
        SpiffeId::Agent {
            platform: self.platform.clone(),
            tenant: self.tenant.clone(),
            agent: "berlin-1".parse().unwrap(),
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    pub(crate) fn install_guest(&self, name: &str) {
        self.install(name, &guest(name));
    }

    /// One of the first-party checkers.
    pub(crate) fn install_checker(&self, name: &str) {
        self.install(name, &component("PICKET_CHECKERS_DIR", "checkers", name));
    }

    fn install(&self, name: &str, file: &Path) {
        // Renamed into place, as a careful customer would: no half-copied file is ever seen.
        let temporary = self.path("checkers").join(format!(".{name}"));
        std::fs::copy(file, &temporary).unwrap();
        std::fs::rename(temporary, self.path("checkers").join(format!("{name}.wasm"))).unwrap();
    }

    pub(crate) fn add_check(&self, name: &str, checker: &str, more: &str) {
        let text =
            format!("[check.{name}]\nchecker = \"{checker}\"\ninterval = \"1s\"\njitter = \"0s\"\n{more}\n");
        self.write(&format!("checks.d/{name}.toml"), &text);
    }

    pub(crate) fn config(&self) -> AgentConfig {
        AgentConfig::load(&self.path("agent.toml")).unwrap()
    }

    /// A test's own program is no compiler; the agent's is.
    pub(crate) fn compiler(&self) -> Compiler {
        let program = PathBuf::from(env!("CARGO_BIN_EXE_agent-host"));
        Compiler::Child(ChildCompiler::new(program, self.config().sandbox.compile))
    }

    pub(crate) async fn try_start(&self) -> Result<Running, StartError> {
        App::start(self.config(), self.compiler()).await
    }

    pub(crate) async fn start(&self) -> Running {
        self.try_start().await.unwrap()
    }

    /// A gateway of this platform for a tenant.
    pub(crate) fn gateway_for(&self, tenant: &str) -> Credential {
        self.gateway_named("gw-1", tenant)
    }

    pub(crate) fn gateway_named(&self, name: &str, tenant: &str) -> Credential {
        let (key, public) = key();
        let (name, tenant) = (name.parse().unwrap(), tenant.parse().unwrap());
        let issued = self
            .gateway_ca
            .issue_gateway_for_tenant(&public, &name, &tenant, HOUR, now())
            .unwrap();
        credential(key, issued)
    }

    /// Another agent of the same tenant, as a client.
    pub(crate) fn other_agent(&self) -> Credential {
        let (key, public) = key();
        credential(
            key,
            self.tenant_ca
                .issue_agent(&public, &"paris-1".parse().unwrap(), HOUR, now())
                .unwrap(),
        )
    }

    /// What gateways expect at the agent's address.
    pub(crate) fn expected(&self) -> AgentExpectation {
        let trust = Trust::new(
            self.root.certificate_der().clone(),
            [self.tenant_ca.certificate_der().clone()],
        )
        .unwrap();
        AgentExpectation {
            platform: self.platform.clone(),
            tenant: self.tenant.clone(),
            agent: "berlin-1".parse().unwrap(),
            trust,
            serials: Serials::default(),
        }
    }

    pub(crate) async fn dial(
        &self,
        running: &Running,
        credential: &Credential,
    ) -> Result<Connection, DialError> {
        self.dial_at(running.addresses().grpc, credential).await
    }

    pub(crate) async fn dial_at(
        &self,
        address: SocketAddr,
        credential: &Credential,
    ) -> Result<Connection, DialError> {
        let tls = tls::gateway_dialling_agent(credential, self.expected()).unwrap();
        connect(&address.to_string(), &tls, &DialLimits::default()).await
    }

    pub(crate) async fn gateway(&self, running: &Running) -> Gateway {
        let connection = self.dial(running, &self.gateway_for("acme")).await.unwrap();
        Gateway {
            client: AgentClient::new(connection.channel.clone()),
            connection,
        }
    }
}

pub(crate) fn key() -> (PrivateKey, PublicKey) {
    let key = PrivateKey::generate().unwrap();
    let public = PublicKey::from_request(&key.csr("x").unwrap()).unwrap();
    (key, public)
}

pub(crate) fn credential(key: PrivateKey, issued: Issued) -> Credential {
    Credential::new(key, vec![issued.certificate, issued.issuer]).unwrap()
}

/// A connected gateway.
pub(crate) struct Gateway {
    pub(crate) client: AgentClient<Channel>,
    pub(crate) connection: Connection,
}

/// An opened batch, with everything about it checked as the platform would.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) header: BatchHeader,
    pub(crate) results: Vec<CheckResult>,
}

/// A pull's start.
pub(crate) fn start(stream: &str, committed_seq: u64, follow: bool) -> PullStart {
    PullStart {
        stream: stream.to_owned(),
        committed_seq,
        follow,
        credit: 100,
        max_batch_bytes: 1 << 20,
    }
}

pub(crate) fn ask(kind: Ask) -> PullRequest {
    PullRequest { kind: Some(kind) }
}

pub(crate) fn acknowledge(stream: &str, seq: u64) -> PullRequest {
    ask(Ask::Acknowledge(PullAcknowledge {
        stream: stream.to_owned(),
        seq,
    }))
}

impl Gateway {
    pub(crate) async fn describe(&mut self) -> DescribeResponse {
        self.client
            .describe(DescribeRequest {})
            .await
            .unwrap()
            .into_inner()
    }

    /// One poll: the batches, up to idle and the end of the stream.
    pub(crate) async fn poll(&mut self, start: PullStart) -> Vec<Opened> {
        let mut answers = self
            .client
            .pull(tokio_stream::iter([ask(Ask::Start(start))]))
            .await
            .unwrap()
            .into_inner();
        let mut batches = Vec::new();
        let mut is_idle = false;
        while let Some(answer) = answers.message().await.unwrap() {
            assert!(!is_idle, "idle is the last answer of a poll");
            match answer.kind.unwrap() {
                Answer::Batch(batch) => batches.push(self.open(&batch)),
                Answer::Idle(idle) => {
                    assert!(idle.now_unix_ms > 0 && idle.spool.is_some());
                    is_idle = true;
                }
            }
        }
        assert!(is_idle, "a poll ends with idle");
        batches
    }

    pub(crate) fn open(&self, batch: &SealedBatch) -> Opened {
        let leaf = self.connection.verified.leaf();
        picket_identity::credential::verify_signature(
            leaf,
            b"picket-batch-1",
            &batch.header,
            &batch.signature,
        )
        .unwrap();
        let header = BatchHeader::decode(batch.header.clone()).unwrap();
        assert_eq!(header.spiffe_id, self.connection.verified.id().to_string());
        assert_eq!(
            header.certificate_serial,
            self.connection.verified.serial().to_string()
        );
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &batch.payload);
        assert_eq!(header.payload_sha256, digest.as_ref());
        let opened = zstd::bulk::decompress(&batch.payload, header.opened_size as usize).unwrap();
        assert_eq!(opened.len() as u64, header.opened_size);
        let results = BatchPayload::decode(opened.as_slice()).unwrap().results;
        assert_eq!(results.len() as u64, header.last_seq - header.first_seq + 1);
        Opened { header, results }
    }
}

/// Waits for a thing, up to a deadline.
pub(crate) async fn eventually<T, F: Future<Output = Option<T>>>(
    what: &str,
    mut look: impl FnMut() -> F,
) -> T {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(
            tokio::time::Instant::now() < deadline,
            "waited too long for {what}"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Waits until the spool holds so many results.
pub(crate) async fn results(running: &Running, count: u64) {
    eventually("results", || async {
        (running.spool().view().last_seq() >= count).then_some(())
    })
    .await;
}
