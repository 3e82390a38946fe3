//! What most scenarios begin with: a platform, a gateway, tenants and agents with a check each.

use picket_tests::installation::{Agent, AgentOptions, Gateway, Installation, Platform};
use picket_tests::wait;
use serde_json::Value;

/// Dropped in this order: the folder last.
pub(crate) struct Setting {
    pub(crate) agents: Vec<Agent>,
    pub(crate) gateway: Gateway,
    pub(crate) platform: Platform,
    pub(crate) installation: Installation,
}

/// A check that always succeeds and asks for nothing.
pub(crate) const NOOP: &str = r#"
[check.heartbeat]
checker = "noop"
interval = "1s"
jitter = "0s"
timeout = "5s"
"#;

/// A platform, a gateway, and for each tenant one running agent named `edge` with the check `heartbeat`.
pub(crate) async fn with_agents_of(tenants: &[&str]) -> anyhow::Result<Setting> {
    let installation = Installation::new()?;
    let platform = installation.start_platform("node-1")?;
    // The gateway first: it is what enrols the agents.
    let gateway = installation.start_gateway("gw-1", platform.process.address("grpc")?)?;
    let mut agents = Vec::new();
    for tenant in tenants {
        installation.add_tenant(tenant)?;
        let mut agent = installation.add_agent(tenant, "edge", AgentOptions::default())?;
        agent.install_guest("noop")?;
        agent.write_checks("heartbeat", NOOP)?;
        agent.start()?;
        agents.push(agent);
    }
    Ok(Setting {
        agents,
        gateway,
        platform,
        installation,
    })
}

impl Setting {
    /// Waits until the platform has so many results of `edge/heartbeat`, newest first.
    pub(crate) async fn results(&self, tenant: &str, least: usize) -> anyhow::Result<Vec<Value>> {
        results(&self.platform, tenant, "edge", "heartbeat", least).await
    }

    /// Waits until the platform says so of the agent `edge`.
    pub(crate) async fn reachability(&self, tenant: &str, state: &str) -> anyhow::Result<Value> {
        let path = format!("/api/v1/tenants/{tenant}/agents/edge");
        wait::until(&format!("{tenant}/edge to be {state}"), || async {
            let agent = self.platform.api.get(&path).await?;
            match agent["reachability"]["state"] == state {
                true => Ok(Some(agent)),
                false => anyhow::bail!("it is {}", agent["reachability"]),
            }
        })
        .await
    }

    /// Waits for an alert of this kind about the tenant's agent `edge`, open or resolved.
    pub(crate) async fn alert(&self, tenant: &str, kind: &str, state: &str) -> anyhow::Result<Value> {
        let path = format!("/api/v1/alerts?tenant={tenant}&state={state}");
        wait::until(&format!("{tenant} to have a {state} alert {kind}"), || async {
            let alerts = self.platform.api.list(&path).await?;
            match alerts.iter().find(|alert| alert["kind"] == kind) {
                Some(alert) => Ok(Some(alert.clone())),
                None => anyhow::bail!("its {state} alerts are {alerts:?}"),
            }
        })
        .await
    }
}

/// Waits until the platform has so many results of one check, newest first.
pub(crate) async fn results(
    platform: &Platform,
    tenant: &str,
    agent: &str,
    check: &str,
    least: usize,
) -> anyhow::Result<Vec<Value>> {
    let path = format!("/api/v1/tenants/{tenant}/agents/{agent}/checks/{check}/results?limit=200");
    wait::until(
        &format!("{least} results of {tenant}/{agent}/{check}"),
        || async {
            let results = platform.api.list(&path).await?;
            match results.len() >= least {
                true => Ok(Some(results)),
                false => anyhow::bail!("it has {}", results.len()),
            }
        },
    )
    .await
}
