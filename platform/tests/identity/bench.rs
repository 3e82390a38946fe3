//! One tenant and one gateway that owns everything.

use picket_identity::Serial;
use picket_identity::credential::PrivateKey;
use picket_identity::enrollment::EnrollFile;
use picket_identity::profile::Leaf;
use picket_platform::authority::step::Refused;
use picket_platform::coordination::assignment::View;
use picket_platform::coordination::claims;
use picket_platform::store;
use picket_proto::agent::v1::IssuedCertificate;
use picket_proto::platform::v1::{
    AgentWork, AssignedAgent, EnrollAgentRequest, Reachability, ReachabilityClaim, RenewAgentRequest,
};
use sqlx::Row as _;

use crate::site::{Agent, Site};

pub(crate) const DAY_MS: i64 = 86_400_000;
pub(crate) const MINUTE_MS: i64 = 60_000;

pub(crate) struct Bench {
    pub(crate) site: Site,
}

impl Bench {
    pub(crate) async fn new() -> Self {
        let site = Site::new().await;
        site.tenant("acme").await;
        site.gateway("gw-1").await;
        site.join("gw-1", "boot").await;
        Self { site }
    }

    /// With `berlin-1`, whose certificate is in use.
    pub(crate) async fn with_agent() -> (Self, Agent) {
        let site = Site::new().await;
        site.tenant("acme").await;
        let agent = site.agent("acme", "berlin-1").await;
        site.gateway("gw-1").await;
        site.join("gw-1", "boot").await;
        (Self { site }, agent)
    }

    /// Lets time pass, as if the gateway had renewed its lease all the while.
    pub(crate) async fn pass(&self, ms: i64) {
        self.site.clock.advance(ms);
        self.site.join("gw-1", "boot").await;
    }

    pub(crate) async fn ask(&self, file: &EnrollFile, key: &PrivateKey) -> EnrollAgentRequest {
        let (name, tenant) = file.common_name.split_once('.').unwrap();
        let at = self.site.shard_of(tenant, name).await;
        self.site.enroll_request(file, key, "boot", at)
    }

    pub(crate) async fn enroll(&self, request: &EnrollAgentRequest) -> Result<IssuedCertificate, Refused> {
        let authority = &self.site.services.authority;
        authority.enroll_agent("gw-1", request).await.unwrap()
    }

    pub(crate) async fn renewal(&self, agent: &Agent, key: &PrivateKey) -> RenewAgentRequest {
        let (shard, epoch) = self.site.shard(agent).await;
        RenewAgentRequest {
            tenant: agent.tenant.clone(),
            agent: agent.name.clone(),
            shard,
            epoch,
            instance: "boot".into(),
            correlation_id: "attempt-2".into(),
            csr: key.csr("x").unwrap().into(),
            presented_serial: agent.serial.clone(),
            recovery: false,
        }
    }

    pub(crate) async fn renew(&self, request: &RenewAgentRequest) -> Result<IssuedCertificate, Refused> {
        let authority = &self.site.services.authority;
        authority.renew_agent("gw-1", request).await.unwrap()
    }

    /// The gateway says how the agent is, and by which certificate it verified it.
    pub(crate) async fn claim(&self, state: Reachability, cause: &str, serial: &str) {
        let (shard, epoch) = self.site.shard_of("acme", "berlin-1").await;
        let claim = ReachabilityClaim {
            tenant: "acme".into(),
            agent: "berlin-1".into(),
            shard,
            epoch,
            state: state.into(),
            cause: cause.into(),
            certificate_serial: serial.into(),
            trust_sequence: 7,
            ..ReachabilityClaim::default()
        };
        claims::take(&self.site.services, "gw-1", "boot", "shared", &[claim])
            .await
            .unwrap();
    }

    pub(crate) async fn view(&self) -> View {
        View::read(&self.site.services, "shared", "gw-1", "boot")
            .await
            .unwrap()
            .1
    }

    /// What the gateway is told of `berlin-1`.
    pub(crate) async fn assigned(&self) -> AssignedAgent {
        let key = ("acme".to_owned(), "berlin-1".to_owned());
        self.view().await.agents.remove(&key).unwrap()
    }

    pub(crate) async fn work(&self) -> AgentWork {
        self.assigned().await.work()
    }

    /// The state of a certificate of `berlin-1`.
    pub(crate) async fn state(&self, serial: &str) -> String {
        let mut read = self.site.services.store.read().await.unwrap();
        store::certificates::find_of_agent(&mut read, "acme", "berlin-1", serial)
            .await
            .unwrap()
            .unwrap()
            .state
    }

    pub(crate) async fn number(&self, sql: &'static str) -> i64 {
        let mut read = self.site.services.store.read().await.unwrap();
        sqlx::query(sql).fetch_one(&mut *read).await.unwrap().get(0)
    }

    pub(crate) async fn text(&self, sql: &'static str) -> String {
        let mut read = self.site.services.store.read().await.unwrap();
        sqlx::query(sql).fetch_one(&mut *read).await.unwrap().get(0)
    }

    pub(crate) async fn certificates(&self) -> i64 {
        self.number("SELECT COUNT(*) FROM certificate WHERE subject_kind = 'agent'")
            .await
    }

    /// Acts in the audit log.
    pub(crate) async fn acts(&self, action: &str) -> usize {
        let mut read = self.site.services.store.read().await.unwrap();
        let acts = store::audit::newest(&mut read, 1000).await.unwrap();
        acts.iter().filter(|act| act.action == action).count()
    }

    pub(crate) async fn suspend(&self) {
        let mut write = self.site.services.store.write().await.unwrap();
        store::tenants::set_state(&mut write, "acme", "suspended")
            .await
            .unwrap();
        write.commit().await.unwrap();
    }
}

pub(crate) fn key() -> PrivateKey {
    PrivateKey::generate().unwrap()
}

pub(crate) fn serial(issued: &IssuedCertificate) -> String {
    let serial: Serial = Leaf::parse(&issued.leaf).unwrap().serial;
    serial.to_string()
}

/// Why it was refused; "ok" where it wasn't.
pub(crate) fn cause<T>(outcome: &Result<T, Refused>) -> &'static str {
    match outcome {
        Ok(_) => "ok",
        Err(refused) => refused.cause.as_str(),
    }
}
