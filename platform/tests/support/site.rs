//! An installation in a temporary folder: a real database, real authorities, agents that seal real batches.

#![expect(clippy::unwrap_used, reason = "a test that can't go on fails")]
#![allow(
    dead_code,
    unreachable_pub,
    clippy::allow_attributes,
    reason = "each test program uses another part of it"
)]

use std::path::PathBuf;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use picket_identity::channel_binding::ChannelBinding;
use picket_identity::credential::PrivateKey;
use picket_identity::enrollment::EnrollFile;
use picket_identity::profile::Leaf;
use picket_identity::spiffe::TrustDomain;
use picket_platform::app::Services;
use picket_platform::authority::encryption::{Sources, source};
use picket_platform::authority::keys::KeyFolder;
use picket_platform::authority::onboarding::NewAgent;
use picket_platform::authority::{Authority, unix_time};
use picket_platform::clock::{Clock, ManualClock, system_now};
use picket_platform::coordination::{claims, lease, reconcile};
use picket_platform::events::EventBus;
use picket_platform::metrics::Metrics;
use picket_platform::store::gateways::Joining;
use picket_platform::store::{self, Store};
use picket_proto::agent::v1::IssuedCertificate;
use picket_proto::agent::v1::{
    BatchHeader, BatchPayload, CheckResult, Codec, LostRange, SealedBatch, Status,
};
use picket_proto::platform::v1::{EnrollAgentRequest, Reachability, ReachabilityClaim, SubmitRequest};
use prost::Message as _;

pub struct Site {
    pub folder: tempfile::TempDir,
    /// Where the encryption key is: outside of the data folder.
    pub outside: tempfile::TempDir,
    pub clock: ManualClock,
    pub services: Services,
}

pub struct Agent {
    pub tenant: String,
    pub name: String,
    pub spiffe_id: String,
    pub key: PrivateKey,
    pub serial: String,
    pub issued: IssuedCertificate,
}

/// The gateway through which agents are enrolled before the test begins; nothing of it stays.
const ENROLLER: &str = "enroller";

impl Site {
    pub async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = ManualClock::at(system_now());
        let store = Store::create_with_clock(&folder.path().join("picket.db"), Clock::Manual(clock.clone()))
            .await
            .unwrap();
        let domain: TrustDomain = "picket.test".parse().unwrap();
        let outside = tempfile::tempdir().unwrap();
        let file = outside.path().join("key").join("ca.key");
        source::make_file(&file).unwrap();
        let keys = key_folder(folder.path(), file);
        Authority::initialise(&store, &keys, &domain, "test")
            .await
            .unwrap();
        let services = Self::services(store, keys).await;
        Self {
            folder,
            outside,
            clock,
            services,
        }
    }

    async fn services(store: Store, keys: KeyFolder) -> Services {
        let events = EventBus::default();
        let domain: TrustDomain = "picket.test".parse().unwrap();
        let authority = Authority::open(store.clone(), events.clone(), keys, &domain)
            .await
            .unwrap();
        Services {
            store,
            events,
            authority,
            metrics: Metrics::install().unwrap(),
        }
    }

    pub fn encryption_key_file(&self) -> PathBuf {
        self.outside.path().join("key").join("ca.key")
    }

    pub fn database(&self) -> PathBuf {
        self.folder.path().join("picket.db")
    }

    /// What another process of the platform would have: its own connections to the same file.
    pub async fn another_node(&self) -> Services {
        let store = Store::create_with_clock(&self.database(), Clock::Manual(self.clock.clone()))
            .await
            .unwrap();
        Self::services(store, key_folder(self.folder.path(), self.encryption_key_file())).await
    }

    pub async fn tenant(&self, slug: &str) {
        self.services
            .authority
            .add_tenant(&slug.parse().unwrap(), slug, "test")
            .await
            .unwrap();
    }

    /// An agent whose certificate is in use.
    pub async fn agent(&self, tenant: &str, name: &str) -> Agent {
        let file = self.register(tenant, name, false).await;
        self.enrolled(tenant, name, &file).await
    }

    /// What `platform agent add` does.
    pub async fn register(&self, tenant: &str, name: &str, replace: bool) -> EnrollFile {
        let new = NewAgent {
            tenant: tenant.parse().unwrap(),
            name: name.parse().unwrap(),
            endpoint: "127.0.0.1:7443".into(),
            interval: Duration::from_secs(1),
            unreachable_after: Duration::from_secs(5),
            replace,
        };
        self.services.authority.add_agent(&new, "test").await.unwrap()
    }

    /// What a gateway asks after an agent with this file and this key has answered it.
    pub fn enroll_request(
        &self,
        file: &EnrollFile,
        key: &PrivateKey,
        instance: &str,
        (shard, epoch): (u32, u64),
    ) -> EnrollAgentRequest {
        let enrollment = file.verify(unix_time(self.clock.now())).unwrap();
        let binding = ChannelBinding::from_bytes(&[7; 32]).unwrap();
        let csr = key.csr("CA:TRUE, please").unwrap();
        let signature = enrollment.activation_key().sign(&binding, &csr, &file.spiffe_id);
        let (agent, tenant) = file.common_name.split_once('.').unwrap();
        EnrollAgentRequest {
            tenant: tenant.into(),
            agent: agent.into(),
            shard,
            epoch,
            instance: instance.into(),
            correlation_id: "attempt-1".into(),
            csr: csr.into(),
            signature: signature.into(),
            channel_binding: binding.as_bytes().to_vec().into(),
        }
    }

    /// Enrols an agent, and has it seen with its certificate, through a gateway that is gone afterwards.
    pub async fn enrolled(&self, tenant: &str, name: &str, file: &EnrollFile) -> Agent {
        let key = PrivateKey::generate().unwrap();
        let (shard, before) = self.shard_of(tenant, name).await;
        let mut write = self.services.store.write().await.unwrap();
        let now = write.now();
        store::gateways::insert(
            &mut write,
            ENROLLER,
            "shared",
            "spiffe://picket.test/gateway/enroller",
            now,
        )
        .await
        .unwrap();
        let at = (i64::from(shard), i64::try_from(before).unwrap());
        store::shards::reassign(&mut write, "shared", at.0, at.1, ENROLLER, "boot")
            .await
            .unwrap();
        write.commit().await.unwrap();
        let request = self.enroll_request(file, &key, "boot", (shard, before + 1));
        let issued = self
            .services
            .authority
            .enroll_agent(ENROLLER, &request)
            .await
            .unwrap()
            .unwrap();
        let leaf = Leaf::parse(&issued.leaf).unwrap();
        let seen = ReachabilityClaim {
            tenant: tenant.into(),
            agent: name.into(),
            shard,
            epoch: before + 1,
            state: Reachability::Pending.into(),
            certificate_serial: leaf.serial.to_string(),
            ..ReachabilityClaim::default()
        };
        claims::take(&self.services, ENROLLER, "boot", "shared", &[seen])
            .await
            .unwrap();
        let mut write = self.services.store.write().await.unwrap();
        for gone in [
            "UPDATE shard SET owner = NULL, owner_instance = NULL, epoch = epoch - 1 WHERE owner = 'enroller'",
            "DELETE FROM gateway WHERE name = 'enroller'",
            "DELETE FROM agent_reach WHERE gateway = 'enroller'",
        ] {
            sqlx::query(gone).execute(&mut *write).await.unwrap();
        }
        write.commit().await.unwrap();
        Agent {
            tenant: tenant.into(),
            name: name.into(),
            spiffe_id: leaf.uri.clone(),
            key,
            serial: leaf.serial.to_string(),
            issued,
        }
    }

    pub async fn gateway(&self, name: &str) -> PrivateKey {
        let key = PrivateKey::generate().unwrap();
        let request = key.csr("gateway").unwrap();
        self.services
            .authority
            .add_gateway(&name.parse().unwrap(), &request, false, "test")
            .await
            .unwrap();
        key
    }

    /// Gives a process the gateway's lease, and the pool's shards with it.
    pub async fn join(&self, gateway: &str, instance: &str) -> lease::Joined {
        let joining = Joining {
            instance,
            version: "0",
            weight: 1,
            zone: "",
            trust_sequence: 0,
        };
        let joined = lease::join(&self.services, gateway, &joining).await.unwrap();
        reconcile::all(&self.services).await.unwrap();
        joined
    }

    /// The agent's shard and its epoch.
    pub async fn shard(&self, agent: &Agent) -> (u32, u64) {
        self.shard_of(&agent.tenant, &agent.name).await
    }

    /// As [`Site::shard`], of an agent that has no certificate yet.
    pub async fn shard_of(&self, tenant: &str, name: &str) -> (u32, u64) {
        let mut read = self.services.store.read().await.unwrap();
        let row = store::agents::find(&mut read, tenant, name)
            .await
            .unwrap()
            .unwrap();
        let shards = store::shards::of_pool(&mut read, &row.pool).await.unwrap();
        let shard = shards.iter().find(|shard| shard.number == row.shard).unwrap();
        (
            u32::try_from(shard.number).unwrap(),
            u64::try_from(shard.epoch).unwrap(),
        )
    }

    pub async fn request(&self, agent: &Agent, instance: &str, batch: SealedBatch) -> SubmitRequest {
        let (shard, epoch) = self.shard(agent).await;
        SubmitRequest {
            id: 1,
            tenant: agent.tenant.clone(),
            agent: agent.name.clone(),
            shard,
            epoch,
            instance: instance.into(),
            batch: Some(batch),
        }
    }
}

/// The key folder of the data folder `data`, whose encryption key is in `file`.
fn key_folder(data: &std::path::Path, file: PathBuf) -> KeyFolder {
    let sources = Sources {
        file: Some(file),
        ..Sources::default()
    };
    KeyFolder::new(&data.join("keys"), sources)
}

/// One result of a check named `web`, started at `seq` seconds after the epoch.
pub fn result(seq: u64, status: Status) -> CheckResult {
    CheckResult {
        check: "web".into(),
        checker: "http".into(),
        checker_version: "1.0.0".into(),
        status: status.into(),
        summary: format!("result {seq}"),
        started_at_unix_ms: seq * 1000,
        interval_ms: 1000,
        ..CheckResult::default()
    }
}

pub fn results(first: u64, statuses: &[Status]) -> Vec<CheckResult> {
    (first..)
        .zip(statuses)
        .map(|(seq, status)| result(seq, *status))
        .collect()
}

impl Agent {
    pub fn seal(&self, stream: &str, first: u64, results: Vec<CheckResult>) -> SealedBatch {
        self.seal_as(stream, first, results, Vec::new(), |_| {})
    }

    /// Seals results behind a header that `change` may falsify before it is signed.
    pub fn seal_as(
        &self,
        stream: &str,
        first: u64,
        results: Vec<CheckResult>,
        lost: Vec<LostRange>,
        change: impl FnOnce(&mut BatchHeader),
    ) -> SealedBatch {
        let last = first + results.len() as u64 - 1;
        let opened = BatchPayload { results }.encode_to_vec();
        let payload = zstd::encode_all(opened.as_slice(), 3).unwrap();
        let mut header = BatchHeader {
            spiffe_id: self.spiffe_id.clone(),
            stream: stream.into(),
            first_seq: first,
            last_seq: last,
            codec: Codec::Zstd.into(),
            opened_size: opened.len() as u64,
            payload_sha256: digest(&SHA256, &payload).as_ref().to_vec().into(),
            sealed_at_unix_ms: 1,
            certificate_serial: self.serial.clone(),
            lost,
        };
        change(&mut header);
        self.sign(&header, payload)
    }

    pub fn sign(&self, header: &BatchHeader, payload: Vec<u8>) -> SealedBatch {
        let header = header.encode_to_vec();
        let signature = self.key.sign(b"picket-batch-1", &header).unwrap();
        SealedBatch {
            header: header.into(),
            payload: payload.into(),
            signature: signature.into(),
        }
    }
}
