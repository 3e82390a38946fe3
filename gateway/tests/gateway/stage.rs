//! A platform, a gateway, and agents around them.

use std::sync::Arc;

use picket_gateway::app::{App, Running};
use picket_gateway::config::{Config, IdentitySource, Limits};
use picket_proto::platform::v1::{AssignedAgent, Assignment, Reachability, Shard};
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
        let (tls, id) = self.authority.agent_tls(tenant, name);
        FakeAgent::start(([127, 0, 0, 1], 0).into(), tls, &id, results).await
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
