//! What `--check` waits for, and how it shows it.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{bail, ensure};
use http::StatusCode;
use picket_tests::installation::free_port;
use picket_tests::intruder::{Answer, Intruder};
use picket_tests::wait;
use serde_json::Value;

use crate::checks::{self, Expected};
use crate::scene::{OPTIONS, Scene};

/// Waits until every check of both tenants has the result that it should have, shows that a tenant can't pass for
/// another, and prints a table.
pub(crate) async fn check(scene: &mut Scene) -> anyhow::Result<()> {
    let mut rows = Vec::new();
    for index in 0..scene.agents.len() {
        let (tenant, agent) = (
            scene.agents[index].tenant.clone(),
            scene.agents[index].name.clone(),
        );
        for expected in checks::expected(&tenant) {
            rows.push(result(scene, &tenant, &agent, expected).await?);
        }
    }
    print_table(&rows);
    println!();
    pass_for_another_tenant(scene).await?;
    knock_at_the_platform(scene).await?;
    read_with_the_wrong_token(scene).await?;
    println!(
        "\n{} checks of 2 tenants have their results; every attempt to cross was refused.",
        rows.len()
    );
    Ok(())
}

/// Waits for one check's result and sees that it is the expected one.
async fn result(scene: &Scene, tenant: &str, agent: &str, expected: &Expected) -> anyhow::Result<Value> {
    let path = format!(
        "/api/v1/tenants/{tenant}/agents/{agent}/checks/{}",
        expected.check
    );
    wait::until(
        &format!("{tenant}/{agent}/{} to be {}", expected.check, expected.status),
        || async {
            let check = scene.platform.api.get(&path).await?;
            let failure = check["failure"].as_str().unwrap_or_default();
            match check["status"] == expected.status && failure == expected.failure {
                true => Ok(Some(check)),
                false => bail!("it is {} ({failure}): {}", check["status"], check["summary"]),
            }
        },
    )
    .await
}

/// Registers acme's agent `impostor` at the address where globex's real agent listens: the gateway dials it, and
/// refuses it.
async fn pass_for_another_tenant(scene: &mut Scene) -> anyhow::Result<()> {
    let globex = scene.agents[1].endpoint.clone();
    let elsewhere = format!("127.0.0.1:{}", free_port()?);
    scene
        .installation
        .add_agent_at("acme", "impostor", OPTIONS, &elsewhere, &globex)?;
    let path = "/api/v1/tenants/acme/agents/impostor";
    let alert = wait::until("the impostor to be refused", || async {
        let alerts = scene
            .platform
            .api
            .list("/api/v1/alerts?tenant=acme&state=open")
            .await?;
        let refused = alerts
            .iter()
            .find(|alert| alert["kind"] == "agent_refused" && alert["agent"] == "impostor");
        match refused {
            Some(alert) => Ok(Some(alert.clone())),
            None => bail!("the open alerts are {alerts:?}"),
        }
    })
    .await?;
    let agent = scene.platform.api.get(path).await?;
    ensure!(
        agent["cursor"]["committed_seq"].as_u64().unwrap_or(0) == 0,
        "something was stored: {agent}"
    );
    println!(
        "globex's agent at acme's address: refused ({})",
        text(&alert["cause"])
    );
    println!("    {}", text(&alert["summary"]));
    Ok(())
}

/// Dials the platform with an agent's certificate and key.
async fn knock_at_the_platform(scene: &Scene) -> anyhow::Result<()> {
    let thief = Intruder::from_identity_folder(&scene.agents[0].folder.join("identity"))?;
    match thief.try_door(scene.platform.process.address("grpc")?).await? {
        Answer::Refused(how) => println!("acme's agent at the platform's door: refused\n    {how}"),
        Answer::LetIn => bail!("the platform let an agent in"),
    }
    Ok(())
}

/// Reads acme's results with a token of globex.
async fn read_with_the_wrong_token(scene: &Scene) -> anyhow::Result<()> {
    let token = scene
        .installation
        .platform_command(&["token", "create", "--name", "globex", "--tenant", "globex"])?;
    let globex = scene.platform.api.with_token(token.trim());
    ensure!(
        globex.status("/api/v1/tenants/globex/agents/lyon-1").await? == StatusCode::OK,
        "globex can't read its own"
    );
    let status = globex.status("/api/v1/tenants/acme/agents/berlin-1").await?;
    ensure!(
        status == StatusCode::NOT_FOUND,
        "globex's token reads acme's agent: {status}"
    );
    println!("acme's results with globex's token: {status}");
    Ok(())
}

/// Sees that no program of the demo runs any more.
pub(crate) fn nothing_is_left(processes: &[u32]) -> anyhow::Result<()> {
    let left: BTreeSet<u32> = processes
        .iter()
        .copied()
        .filter(|process| Path::new(&format!("/proc/{process}")).exists())
        .collect();
    ensure!(left.is_empty(), "these processes are left: {left:?}");
    println!("All {} processes have ended.", processes.len());
    Ok(())
}

fn print_table(rows: &[Value]) {
    println!(
        "{:<8} {:<10} {:<14} {:<9} {:>9} {:>9}  SUMMARY",
        "TENANT", "AGENT", "CHECK", "STATUS", "CPU ms", "WALL ms"
    );
    for row in rows {
        println!(
            "{:<8} {:<10} {:<14} {:<9} {:>9.2} {:>9.2}  {}",
            text(&row["tenant"]),
            text(&row["agent"]),
            text(&row["name"]),
            text(&row["status"]),
            milliseconds(&row["usage"]["cpu_us"]),
            milliseconds(&row["usage"]["wall_us"]),
            text(&row["summary"]),
        );
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn milliseconds(microseconds: &Value) -> f64 {
    microseconds.as_f64().unwrap_or_default() / 1000.0
}
