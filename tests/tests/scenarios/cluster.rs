//! Internal cluster: what the platform's processes share, and that no agent is part of it.

use std::collections::BTreeMap;

use http::Method;
use http_body_util::BodyExt as _;
use picket_tests::installation::Platform;
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
    // No more than a quarter off the ideal half.
    let shares = shards(&setting, |shares| {
        let all: u64 = shares.values().sum();
        shares.len() == 2 && shares.values().all(|shards| *shards * 8 >= all * 3)
    })
    .await?;
    let all: u64 = shares.values().sum();

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
    let job = setting
        .installation
        .platform_command(&["job", "run", "certificate-expiry"])?;
    finished(&second, job.trim(), &["node-1", "node-2"]).await?;

    setting.platform.process.kill()?;
    let job = setting
        .installation
        .platform_command(&["job", "run", "certificate-expiry"])?;
    finished(&second, job.trim(), &["node-2"]).await?;

    // None is left to run it, and it waits for the next one that comes.
    drop(second);
    let job = setting
        .installation
        .platform_command(&["job", "run", "certificate-expiry"])?;
    let third = setting.installation.start_platform("node-3")?;
    finished(&third, job.trim(), &["node-3"]).await?;
    Ok(())
}

/// Waits for a job to be completed, and sees who has run it.
async fn finished(platform: &Platform, id: &str, nodes: &[&str]) -> anyhow::Result<()> {
    let job = wait::until(&format!("the job {id} to be completed"), || async {
        let jobs = platform.api.list("/api/v1/jobs?state=completed").await?;
        Ok(jobs.into_iter().find(|job| job["id"] == id))
    })
    .await?;
    let node = job["node"].as_str().unwrap_or_default();
    assert!(
        nodes.contains(&node),
        "{job} should have been run by one of {nodes:?}"
    );
    Ok(())
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
