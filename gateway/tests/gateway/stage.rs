//! A platform, a gateway, and agents around them.

use std::sync::Arc;

use picket_gateway::app::{App, Running};
use picket_gateway::config::{Config, IdentitySource, Limits};
use picket_proto::platform::v1::{
    AssignedAgent, Assignment, Reachability, ReachabilityClaim, Shard, TenantTrust,
};
use tempfile::TempDir;

use crate::agent::FakeAgent;
use crate::authority::Authority;
use crate::platform::FakePlatform;
use crate::wait;

/// Everything but the gateway.
pub(crate) struct Stage {
    pub(crate) authority: Arc<Authority>,
    pub(crate) platform: FakePlatform,
    pub(crate) config: Config,
    _folder: TempDir,
}

impl Stage {
    pub(crate) async fn set() -> Self {
        let authority = Arc::new(Authority::new(&["acme", "globex"]));
        let platform = FakePlatform::start(
            Arc::clone(&authority),
            authority.platform_tls(),
            snapshot(&authority, Vec::new()),
        )
        .await;
        // A folder below: the temporary one itself may be looked into by others.
        let folder = tempfile::tempdir().unwrap();
        let identity_dir = folder.path().join("identity");
        authority.install_gateway(&identity_dir);
        let config = Config {
            name: "gw-1".parse().unwrap(),
            platform: platform.address().to_string(),
            identity: IdentitySource::Folder(identity_dir),
            trust_domain: None,
            zone: String::new(),
            weight: 1,
            limits: Limits::default(),
            metrics: None,
        };
        Self {
            authority,
            platform,
            config,
            _folder: folder,
        }
    }

    /// Starts an agent and registers it.
    pub(crate) async fn agent(&self, tenant: &str, name: &str, results: u64) -> FakeAgent {
        let agent = self.unregistered(tenant, name, results).await;
        self.register(self.assigned(tenant, name, &agent.address().to_string()));
        agent
    }

    /// Starts an agent that the registry doesn't know.
    pub(crate) async fn unregistered(&self, tenant: &str, name: &str, results: u64) -> FakeAgent {
        let identity = self.authority.agent(tenant, name);
        FakeAgent::start(([127, 0, 0, 1], 0).into(), identity, results).await
    }

    /// The registration of an agent at an endpoint.
    pub(crate) fn assigned(&self, tenant: &str, name: &str, endpoint: &str) -> AssignedAgent {
        AssignedAgent {
            tenant: tenant.to_owned(),
            agent: name.to_owned(),
            shard: 0,
            endpoint: endpoint.to_owned(),
            spiffe_id: format!("spiffe://{tenant}.picket.example/agent/{name}"),
            common_name: format!("{name}.{tenant}"),
            interval_ms: 500,
            active_serials: self.authority.serials(tenant, name),
            reachability: Reachability::Pending.into(),
            unreachable_after_ms: 60_000,
            ..Default::default()
        }
    }

    /// Puts an agent into the snapshot of the sessions to come.
    pub(crate) fn register(&self, agent: AssignedAgent) {
        self.platform
            .behave(|platform| platform.snapshot.agents.push(agent));
    }

    /// Tells the gateway of an agent, now and in the sessions to come.
    pub(crate) async fn tell(&self, agent: AssignedAgent) {
        self.platform.assign(agent).await;
    }

    /// Tells the gateway what to trust a tenant's agents by, and they themselves, now and in the sessions to come.
    pub(crate) async fn tell_trust(&self, trust: TenantTrust) {
        self.platform.trust(trust).await;
    }

    /// The newest claim about an agent.
    pub(crate) fn claim(&self, agent: &str) -> ReachabilityClaim {
        let claim = self.platform.seen(|seen| seen.claim(agent).cloned());
        claim.expect("a claim")
    }

    /// Waits for a claim about an agent with this cause.
    pub(crate) async fn claimed_because(&self, agent: &str, cause: &str) -> ReachabilityClaim {
        let what = format!("a claim that {agent} is so because of {cause}");
        wait::until(&what, || {
            self.platform
                .seen(|seen| seen.claim(agent).filter(|claim| claim.cause == cause).cloned())
        })
        .await
    }

    /// The states in which an agent was claimed to be, without repetitions.
    pub(crate) fn states(&self, agent: &str) -> Vec<Reachability> {
        let mut states: Vec<_> = self.platform.seen(|seen| {
            let claims = seen.claims.iter().filter(|claim| claim.agent == agent);
            claims.map(|claim| claim.state()).collect()
        });
        states.dedup();
        states
    }

    /// Starts the gateway and waits until it has joined.
    pub(crate) async fn gateway(&self) -> Running {
        let running = App::start(self.config.clone()).await.unwrap();
        let mut joined = running.joined();
        tokio::time::timeout(
            std::time::Duration::from_secs(20),
            joined.wait_for(|joined| *joined),
        )
        .await
        .expect("the gateway joins")
        .unwrap();
        running
    }

    /// Waits until the platform has been told that an agent is so.
    pub(crate) async fn claimed(&self, agent: &str, state: Reachability) {
        let what = format!("a claim that {agent} is {state:?}");
        wait::until_true(&what, || {
            self.platform
                .seen(|seen| seen.claim(agent).is_some_and(|claim| claim.state() == state))
        })
        .await;
    }
}

fn snapshot(authority: &Authority, agents: Vec<AssignedAgent>) -> Assignment {
    Assignment {
        revision: 1,
        shards: vec![Shard { number: 0, epoch: 3 }],
        agents,
        tenants: authority.trust(),
        ..Default::default()
    }
}
