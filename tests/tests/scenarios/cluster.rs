//! Internal cluster: what the platform's processes share, and that no agent is part of it.

use std::collections::BTreeMap;

use http::Method;
use http_body_util::BodyExt as _;
use picket_tests::intruder::{Answer, Intruder};
use picket_tests::wait;
use serde_json::Value;

use crate::setting;

/// "Horde registry for gateways": two gateways share the work, and one takes over when the other dies.
#[tokio::test]
async fn work_is_distributed() -> anyhow::Result<()> {
    let mut setting = setting::with_agents_of(&["acme", "globex"]).await?;
    setting.results("acme", 1).await?;
    let mut second = setting
        .installation
        .start_gateway("gw-2", setting.platform.process.address("grpc")?)?;
    let shares = shards(&setting, |shares| {
        shares.len() == 2 && shares.values().all(|shards| *shards > 0)
    })
    .await?;
    let all: u64 = shares.values().sum();
    assert!(
        shares.values().all(|shards| *shards >= all / 4),
        "one gateway has most of it: {shares:?}"
    );

    setting.gateway.process.kill()?;
    shards(&setting, |shares| shares.get("gw-2") == Some(&all)).await?;
    let before = setting.results("acme", 1).await?.len();
    setting.results("acme", before + 3).await?;
    let before = setting.results("globex", 1).await?.len();
    setting.results("globex", before + 3).await?;
    second.process.stop()?;
    Ok(())
}

/// Waits until the shards that each live gateway owns are as expected.
async fn shards(
    setting: &setting::Setting,
    expected: impl Fn(&BTreeMap<String, u64>) -> bool,
) -> anyhow::Result<BTreeMap<String, u64>> {
    wait::until("the shards to be shared out", || async {
        let gateways = setting.platform.api.list("/api/v1/gateways").await?;
        let shares: BTreeMap<String, u64> = gateways
            .iter()
            .filter(|gateway| gateway["state"] == "live")
            .filter_map(|gateway| Some((gateway["name"].as_str()?.to_owned(), gateway["shards"].as_u64()?)))
            .collect();
        match expected(&shares) {
            true => Ok(Some(shares)),
            false => anyhow::bail!("they are {shares:?} of {gateways:?}"),
        }
    })
    .await
}

/// "Only platform nodes participate": an agent's certificate opens no session, and an agent appears in no list of
/// members.
#[tokio::test]
async fn edge_is_not_a_member() -> anyhow::Result<()> {
    let setting = setting::with_agents_of(&["acme"]).await?;
    setting.results("acme", 1).await?;
    let door = setting.platform.process.address("grpc")?;
    let agent = Intruder::from_identity_folder(&setting.agents[0].folder.join("identity"))?;
    assert!(matches!(agent.try_door(door).await?, Answer::Refused(_)));
    let gateway = Intruder::from_identity_folder(&setting.gateway.folder.join("identity"))?;
    assert_eq!(
        gateway.try_door(door).await?,
        Answer::LetIn,
        "the door is open to a gateway, so the refusal means something"
    );
    let members = setting.platform.api.list("/api/v1/gateways").await?;
    let names: Vec<&Value> = members.iter().map(|member| &member["name"]).collect();
    assert_eq!(names, ["gw-1"]);
    Ok(())
}

/// "Oban job scheduling across nodes": scheduled jobs run on whichever platform process is there; when one dies, the
/// other runs them.
#[tokio::test]
async fn jobs_run_on_available_nodes() -> anyhow::Result<()> {
    let mut setting = setting::with_agents_of(&[]).await?;
    let second = setting.installation.start_platform("node-2")?;
    finished_by(&setting, &["node-1", "node-2"], 0).await?;

    let jobs = second.api.list("/api/v1/jobs?state=completed").await?;
    let newest = jobs
        .iter()
        .filter_map(|job| job["finished_at_unix_ms"].as_u64())
        .max()
        .unwrap_or(0);
    setting.platform.process.kill()?;
    setting.platform = second;
    finished_by(&setting, &["node-2"], newest).await?;
    Ok(())
}

/// Waits for a job that one of the nodes finished after `since`.
async fn finished_by(setting: &setting::Setting, nodes: &[&str], since: u64) -> anyhow::Result<()> {
    wait::until(&format!("a job to be finished by one of {nodes:?}"), || async {
        let jobs = setting.platform.api.list("/api/v1/jobs?state=completed").await?;
        let done = jobs.iter().any(|job| {
            job["finished_at_unix_ms"].as_u64().is_some_and(|at| at > since)
                && job["node"].as_str().is_some_and(|node| nodes.contains(&node))
        });
        match done {
            true => Ok(Some(())),
            false => anyhow::bail!("the jobs are {jobs:?}"),
        }
    })
    .await
}

/// "Phoenix PubSub for real-time updates": a stream of server-sent events tells of a new result that a gateway handed to
/// another platform process.
#[tokio::test]
async fn web_receives_realtime_updates() -> anyhow::Result<()> {
    let setting = setting::with_agents_of(&["acme"]).await?;
    setting.results("acme", 1).await?;
    let second = setting.installation.start_platform("node-2")?;
    for platform in [&setting.platform, &second] {
        let response = platform
            .api
            .request(Method::GET, "/api/v1/events", &[], bytes::Bytes::new())
            .await?;
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let mut body = response.into_body();
        let mut text = String::new();
        let read = async {
            // The snapshot comes first; what follows it is news.
            while text.matches("heartbeat").count() < 3 {
                let Some(frame) = body.frame().await else {
                    anyhow::bail!("the stream ended after {text:?}")
                };
                if let Ok(data) = frame?.into_data() {
                    text.push_str(&String::from_utf8_lossy(&data));
                }
            }
            Ok(())
        };
        match tokio::time::timeout(wait::DEADLINE, read).await {
            Ok(result) => result?,
            Err(_) => anyhow::bail!("no news in {:?}: {text:?}", wait::DEADLINE),
        }
    }
    Ok(())
}
