//! One tenant, one agent whose certificate is in use, and one gateway that owns it.

use picket_identity::credential::PrivateKey;
use picket_identity::profile::Leaf;
use picket_identity::verify::{AgentExpectation, Serials, Trust, verify_agent};
use picket_issuing::Role;
use picket_platform::authority::rotation::Standing;
use picket_platform::authority::rotation::decision::Decision;
use picket_platform::authority::unix_time;
use picket_platform::coordination::assignment::View;
use picket_platform::coordination::{claims, lease};
use picket_platform::store;
use picket_proto::agent::v1::IssuedCertificate;
use picket_proto::platform::v1::{Reachability, ReachabilityClaim, RenewAgentRequest};
use rustls::pki_types::CertificateDer;
use sqlx::Row as _;

use crate::site::{Agent, Site};

pub(crate) struct Bench {
    pub(crate) site: Site,
    pub(crate) agent: Agent,
}

impl Bench {
    pub(crate) async fn new() -> Self {
        let site = Site::new().await;
        site.tenant("acme").await;
        let agent = site.agent("acme", "berlin-1").await;
        site.gateway("gw-1").await;
        site.join("gw-1", "boot").await;
        Self { site, agent }
    }

    pub(crate) fn acme() -> Role {
        Role::Tenant("acme".parse().unwrap())
    }

    pub(crate) async fn prepare(&self, role: &Role) {
        let authority = &self.site.services.authority;
        authority.prepare_rotation(role, "test").await.unwrap();
    }

    /// One round of the job; the lease of the gateway goes on.
    pub(crate) async fn round(&self) -> bool {
        self.site.services.authority.advance_rotations().await.unwrap()
    }

    /// Lets the overlap pass.
    pub(crate) async fn pass(&self, ms: i64) {
        self.site.clock.advance(ms);
        self.site.join("gw-1", "boot").await;
        self.gateway_catches_up().await;
    }

    pub(crate) async fn sequence(&self) -> u64 {
        let mut read = self.site.services.store.read().await.unwrap();
        let sequence = store::installation::trust_sequence(&mut read).await.unwrap();
        u64::try_from(sequence).unwrap()
    }

    pub(crate) async fn gateway_catches_up(&self) {
        let sequence = self.sequence().await;
        assert!(
            lease::renew(&self.site.services, "gw-1", "boot", 1, sequence)
                .await
                .unwrap()
        );
    }

    pub(crate) async fn agent_catches_up(&self) {
        let sequence = self.sequence().await;
        self.claim(&self.agent.serial, sequence).await;
    }

    async fn claim(&self, serial: &str, trust_sequence: u64) {
        let (shard, epoch) = self.site.shard_of("acme", "berlin-1").await;
        let claim = ReachabilityClaim {
            tenant: "acme".into(),
            agent: "berlin-1".into(),
            shard,
            epoch,
            state: Reachability::Reachable.into(),
            certificate_serial: serial.into(),
            trust_sequence,
            ..ReachabilityClaim::default()
        };
        claims::take(&self.site.services, "gw-1", "boot", "shared", &[claim])
            .await
            .unwrap();
    }

    /// The agent gets its next certificate, and is seen with it. Returns what was issued.
    pub(crate) async fn renew(&mut self) -> IssuedCertificate {
        let key = PrivateKey::generate().unwrap();
        let (shard, epoch) = self.site.shard(&self.agent).await;
        let request = RenewAgentRequest {
            tenant: "acme".into(),
            agent: "berlin-1".into(),
            shard,
            epoch,
            instance: "boot".into(),
            correlation_id: "attempt".into(),
            csr: key.csr("x").unwrap().into(),
            presented_serial: self.agent.serial.clone(),
            recovery: false,
        };
        let authority = &self.site.services.authority;
        let issued = authority.renew_agent("gw-1", &request).await.unwrap().unwrap();
        self.agent.serial = Leaf::parse(&issued.leaf).unwrap().serial.to_string();
        let sequence = self.sequence().await;
        self.claim(&self.agent.serial, sequence).await;
        issued
    }

    pub(crate) async fn view(&self) -> View {
        View::read(&self.site.services, "shared", "gw-1", "boot")
            .await
            .unwrap()
            .1
    }

    /// Whether an agent with this leaf is taken by who trusts what acme's gateway is told to.
    pub(crate) async fn is_taken(&self, leaf: &[u8]) -> bool {
        let view = self.view().await;
        let trust = &view.tenants["acme"];
        let der = |certificate: &bytes::Bytes| CertificateDer::from(certificate.to_vec());
        accepts(
            leaf,
            trust.roots.iter().map(der).collect(),
            trust.tenant_cas.iter().map(der).collect(),
            self.site.clock.now(),
        )
    }

    pub(crate) async fn standings(&self, kind: &str) -> Vec<Standing> {
        let all = self.site.services.authority.standings().await.unwrap();
        all.into_iter()
            .filter(|standing| standing.ca.kind == kind)
            .collect()
    }

    /// The states of a kind's authorities, oldest first.
    pub(crate) async fn states(&self, kind: &str) -> Vec<String> {
        let standings = self.standings(kind).await;
        standings.into_iter().map(|standing| standing.ca.state).collect()
    }

    /// What the newest authority of a kind in this state waits for, as it is said.
    pub(crate) async fn waits_for(&self, kind: &str, state: &str) -> String {
        let standings = self.standings(kind).await;
        let standing = standings
            .iter()
            .rfind(|standing| standing.ca.state == state)
            .unwrap();
        match &standing.next {
            Decision::Wait(reasons) => reasons
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join("; "),
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn has_key(&self, key_ref: &str) -> bool {
        let keys = self.site.folder.path().join("keys");
        keys.join(format!("{key_ref}.key")).exists()
    }

    pub(crate) async fn number(&self, sql: &'static str) -> i64 {
        let mut read = self.site.services.store.read().await.unwrap();
        sqlx::query(sql).fetch_one(&mut *read).await.unwrap().get(0)
    }

    pub(crate) async fn acts(&self) -> Vec<String> {
        let mut read = self.site.services.store.read().await.unwrap();
        let acts = store::audit::newest(&mut read, 1000).await.unwrap();
        acts.into_iter().rev().map(|act| act.action).collect()
    }
}

/// Whether `berlin-1` of acme is accepted with this leaf, by these roots and authorities.
pub(crate) fn accepts(
    leaf: &[u8],
    roots: Vec<CertificateDer<'static>>,
    cas: Vec<CertificateDer<'static>>,
    now: i64,
) -> bool {
    let expected = AgentExpectation {
        platform: "picket.test".parse().unwrap(),
        tenant: "acme".parse().unwrap(),
        agent: "berlin-1".parse().unwrap(),
        trust: Trust::with_roots(roots, cas).unwrap(),
        serials: Serials::default(),
    };
    verify_agent(&[CertificateDer::from(leaf.to_vec())], &expected, unix_time(now)).is_ok()
}
