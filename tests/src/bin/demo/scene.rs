//! What the demo starts.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, TcpListener};

use picket_tests::installation::{Agent, AgentOptions, Gateway, Installation, Platform};
use picket_tests::servers::NameServer;

use crate::checks::{self, Targets};

/// Two tenants, and an agent of each. Dropped in this order.
pub(crate) struct Scene {
    pub(crate) agents: Vec<Agent>,
    gateway: Gateway,
    pub(crate) platform: Platform,
    _names: NameServer,
    pub(crate) installation: Installation,
    pub(crate) sign_in_token: String,
}

/// Every two seconds, so that a person who watches sees it move; away for ten means unreachable.
pub(crate) const OPTIONS: AgentOptions = AgentOptions {
    interval: "2s",
    unreachable_after: "10s",
};

impl Scene {
    /// Starts all of it.
    pub(crate) async fn start(port: u16) -> anyhow::Result<Self> {
        let installation = Installation::new()?;
        // The port is kept where it is free, so that a bookmark stays good.
        let port = if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            port
        } else {
            0
        };
        let config = installation.node_config("node-1", |text| {
            let (head, web) = text.split_once("[web]").unwrap_or(("", &text));
            format!(
                "{head}[web]{}",
                web.replacen("127.0.0.1:0", &format!("127.0.0.1:{port}"), 1)
            )
        })?;
        let platform = installation.start_platform_with("node-1", &config)?;
        let sign_in_token = installation
            .platform_command(&["signin-token"])?
            .trim()
            .to_owned();
        let grpc = platform.process.address("grpc")?;
        let gateway = installation.start_gateway("gw-1", grpc)?;

        let names = BTreeMap::from([
            ("www.acme.test".to_owned(), Ipv4Addr::new(192, 0, 2, 10)),
            ("www.globex.test".to_owned(), Ipv4Addr::new(192, 0, 2, 20)),
        ]);
        let names = NameServer::start(names).await?;
        let targets = Targets {
            pages: platform.api.address(),
            root: std::fs::read_to_string(installation.root())?,
            gateways: grpc,
            names: names.address(),
        };

        let mut agents = Vec::new();
        for (tenant, agent) in [("acme", "berlin-1"), ("globex", "lyon-1")] {
            installation.add_tenant(tenant)?;
            let mut agent = installation.add_agent(tenant, agent, OPTIONS)?;
            for checker in checks::CHECKERS {
                agent.install_checker(checker)?;
            }
            agent.install_guest("spin")?;
            agent.write_checks("demo", &checks::of(tenant, &targets)?)?;
            agent.start()?;
            agents.push(agent);
        }
        Ok(Self {
            agents,
            gateway,
            platform,
            _names: names,
            installation,
            sign_in_token,
        })
    }

    /// The numbers of all processes that were started.
    pub(crate) fn processes(&mut self) -> Vec<u32> {
        let mut processes = vec![self.platform.process.id(), self.gateway.process.id()];
        processes.extend(
            self.agents
                .iter_mut()
                .filter_map(|agent| Some(agent.process().ok()?.id())),
        );
        processes
    }
}
