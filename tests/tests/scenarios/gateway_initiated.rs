//! Gateway-Initiated Communication: agents are dialled and never dial.

use picket_tests::installation::{AgentOptions, Installation};
use picket_tests::wait;

use crate::setting::{self, NOOP};

/// "Gateway polls agent on schedule": results arrive round after round, each once, in order and without a hole.
#[tokio::test]
async fn polls_on_schedule() -> anyhow::Result<()> {
    let setting = setting::with_agents_of(&["acme"]).await?;
    let path = "/api/v1/tenants/acme/agents/edge";
    let mut cursors = Vec::new();
    while cursors.len() < 4 {
        let known = cursors.last().copied().unwrap_or(0);
        let cursor = wait::until("the next round", || async {
            let agent = setting.platform.api.get(path).await?;
            Ok(agent["cursor"]["committed_seq"]
                .as_u64()
                .filter(|cursor| *cursor > known))
        })
        .await?;
        cursors.push(cursor);
    }
    let results = setting.results("acme", 5).await?;
    let mut numbers: Vec<u64> = results
        .iter()
        .filter_map(|result| result["seq"].as_u64())
        .collect();
    numbers.reverse();
    let expected: Vec<u64> = (numbers[0]..numbers[0] + numbers.len() as u64).collect();
    assert_eq!(numbers, expected, "sequence numbers have a hole or a double");
    for result in &results {
        assert_eq!(result["status"], "ok", "{result}");
    }
    Ok(())
}

/// "Agent registration via platform API": the platform knows an agent's endpoint from its registration, and the gateway,
/// which runs already, learns of it from the platform.
#[tokio::test]
async fn registers_through_onboarding() -> anyhow::Result<()> {
    let installation = Installation::new()?;
    let platform = installation.start_platform("node-1")?;
    installation.add_tenant("acme")?;
    let _gateway = installation.start_gateway("gw-1", platform.process.address("grpc")?)?;
    assert_eq!(platform.api.list("/api/v1/agents?tenant=acme").await?.len(), 0);

    let mut agent = installation.add_agent("acme", "edge", AgentOptions::default())?;
    agent.install_guest("noop")?;
    agent.write_checks("heartbeat", NOOP)?;
    agent.start()?;

    setting::results(&platform, "acme", "edge", "heartbeat", 2).await?;
    let registered = platform.api.get("/api/v1/tenants/acme/agents/edge").await?;
    assert_eq!(registered["endpoint"], agent.endpoint.as_str());
    assert_eq!(registered["spiffe_id"], "spiffe://acme.picket.test/agent/edge");
    Ok(())
}

/// "Agent unreachable handling": a dead agent becomes unreachable with its cause and raises an alert; its checks don't
/// turn critical; when it is back, the alert is resolved and the results made before are there.
#[tokio::test]
async fn marks_unreachable_and_alerts() -> anyhow::Result<()> {
    let mut setting = setting::with_agents_of(&["acme"]).await?;
    setting.results("acme", 2).await?;
    setting.agents[0].kill()?;

    let agent = setting.reachability("acme", "unreachable").await?;
    assert_eq!(agent["reachability"]["cause"], "refused", "{agent}");
    let alert = setting.alert("acme", "agent_unreachable", "open").await?;
    assert_eq!(alert["agent"], "edge");
    let check = setting
        .platform
        .api
        .get("/api/v1/tenants/acme/agents/edge/checks/heartbeat")
        .await?;
    assert_eq!(
        check["status"], "ok",
        "an unreachable agent says nothing about its checks: {check}"
    );

    setting.agents[0].start()?;
    setting.reachability("acme", "reachable").await?;
    setting.alert("acme", "agent_unreachable", "resolved").await?;
    let open = setting
        .platform
        .api
        .list("/api/v1/alerts?tenant=acme&state=open")
        .await?;
    assert!(
        !open.iter().any(|alert| alert["kind"] == "agent_unreachable"),
        "{open:?}"
    );
    setting.platform.process.stop()?;
    Ok(())
}
