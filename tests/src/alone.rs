//! One agent without a platform: the certificate authorities are the test's, and so is the gateway that dials it.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail};
use picket_identity::bundle::{self, IdentityBundle};
use picket_identity::connect::{Connection, DialLimits, connect};
use picket_identity::credential::{Credential, PrivateKey};
use picket_identity::name::{AgentName, TenantSlug};
use picket_identity::spiffe::{SpiffeId, TrustDomain};
use picket_identity::tls;
use picket_identity::verify::{AgentExpectation, Serials, Trust, now};
use picket_issuing::{CertificateAuthority, Intermediate, PublicKey, days};
use picket_proto::agent::v1::agent_client::AgentClient;
use picket_proto::agent::v1::{
    BatchHeader, BatchPayload, CheckResult, DescribeRequest, DescribeResponse, PullRequest, PullStart,
    RunCheckRequest, pull_request, pull_response,
};
use prost::Message as _;
use tempfile::TempDir;
use tonic::transport::Channel;

use crate::installation::{Agent, TRUST_DOMAIN};

const TENANT: &str = "acme";
const NAME: &str = "edge";

/// The agent, and those who vouch for it and for its gateways.
#[derive(Debug)]
pub struct Alone {
    /// The agent; it isn't started yet.
    pub agent: Agent,
    root: CertificateAuthority,
    gateways: CertificateAuthority,
    tenant: CertificateAuthority,
    /// Dropped after everything else.
    folder: TempDir,
}

impl Alone {
    /// Makes the authorities and an enrolled agent `acme/edge`.
    pub fn new() -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("picket-").tempdir()?;
        let platform: TrustDomain = TRUST_DOMAIN.parse()?;
        let root = CertificateAuthority::new_root(&platform, now())?;
        let gateways = root.new_intermediate(Intermediate::Gateway, now())?;
        let tenant = root.new_intermediate(Intermediate::Tenant(TENANT.parse()?), now())?;
        let agent = Agent::init(folder.path(), TENANT, NAME, "127.0.0.1:0")?;
        let alone = Self {
            agent,
            root,
            gateways,
            tenant,
            folder,
        };
        alone.enroll()?;
        Ok(alone)
    }

    fn enroll(&self) -> anyhow::Result<()> {
        let key = PrivateKey::generate()?;
        let public = PublicKey::from_request(&key.csr(NAME)?)?;
        let name: AgentName = NAME.parse()?;
        let issued = self.tenant.issue_agent(&public, &name, days(1), now())?;
        let id = SpiffeId::Agent {
            platform: TRUST_DOMAIN.parse()?,
            tenant: TENANT.parse()?,
            agent: name,
        };
        let bundle = IdentityBundle::for_agent(
            id,
            &issued.certificate,
            &issued.issuer,
            std::slice::from_ref(self.root.certificate_der()),
            &[self.gateways.certificate_der().clone()],
        );
        bundle::install_with_key(&self.agent.folder.join("identity"), &bundle, &key, now())?;
        Ok(())
    }

    /// The root, whose key the test has.
    #[must_use]
    pub fn root(&self) -> &CertificateAuthority {
        &self.root
    }

    /// The gateway CA, whose key the test has.
    #[must_use]
    pub fn gateways(&self) -> &CertificateAuthority {
        &self.gateways
    }

    /// The tenant's CA, whose key the test has.
    #[must_use]
    pub fn tenant(&self) -> &CertificateAuthority {
        &self.tenant
    }

    /// The folder that everything is in.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Dials the running agent as a gateway for its tenant.
    pub async fn dial(&mut self) -> anyhow::Result<Dialled> {
        let key = PrivateKey::generate()?;
        let public = PublicKey::from_request(&key.csr("gw-1")?)?;
        let tenant: TenantSlug = TENANT.parse()?;
        let issued = self.gateways.issue_gateway_for_tenant(
            &public,
            &"gw-1".parse()?,
            &tenant,
            Duration::from_secs(3_600),
            now(),
        )?;
        let credential = Credential::new(key, vec![issued.certificate, issued.issuer])?;
        let expected = AgentExpectation {
            platform: TRUST_DOMAIN.parse()?,
            tenant,
            agent: NAME.parse()?,
            trust: Trust::new(
                self.root.certificate_der().clone(),
                [self.tenant.certificate_der().clone()],
            )?,
            serials: Serials::default(),
        };
        let tls = tls::gateway_dialling_agent(&credential, expected)?;
        let address = self.agent.process()?.address("grpc")?.to_string();
        let connection = connect(&address, &tls, &DialLimits::default()).await?;
        Ok(Dialled {
            client: AgentClient::new(connection.channel.clone()),
            _connection: connection,
        })
    }
}

/// A connection to the agent.
#[derive(Debug)]
pub struct Dialled {
    client: AgentClient<Channel>,
    _connection: Connection,
}

impl Dialled {
    /// What the agent says of itself.
    pub async fn describe(&mut self) -> anyhow::Result<DescribeResponse> {
        Ok(self.client.describe(DescribeRequest {}).await?.into_inner())
    }

    /// Runs a check now, whatever its schedule says. `false` where the agent refuses, because it is running for example.
    pub async fn run_check(&self, check: &str) -> bool {
        let request = RunCheckRequest {
            check: check.to_owned(),
        };
        self.client.clone().run_check(request).await.is_ok()
    }

    /// Everything in its spool, in order. Nothing is acknowledged.
    pub async fn results(&mut self) -> anyhow::Result<Vec<CheckResult>> {
        let start = PullStart {
            credit: 10_000,
            max_batch_bytes: 1 << 20,
            ..PullStart::default()
        };
        let request = PullRequest {
            kind: Some(pull_request::Kind::Start(start)),
        };
        let mut answers = self
            .client
            .pull(tokio_stream::iter([request]))
            .await?
            .into_inner();
        let mut results = Vec::new();
        while let Some(answer) = answers.message().await? {
            let Some(pull_response::Kind::Batch(batch)) = answer.kind else {
                continue;
            };
            let header = BatchHeader::decode(batch.header)?;
            let size = usize::try_from(header.opened_size)?;
            let opened =
                zstd::bulk::decompress(&batch.payload, size).context("a payload that doesn't open")?;
            let payload = BatchPayload::decode(opened.as_slice())?;
            if header.first_seq != results.len() as u64 + 1 || !header.lost.is_empty() {
                bail!(
                    "results are missing: {} of them, then {}",
                    results.len(),
                    header.first_seq
                );
            }
            results.extend(payload.results);
        }
        Ok(results)
    }
}
