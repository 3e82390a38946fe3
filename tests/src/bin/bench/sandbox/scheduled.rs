//! What a result costs the whole agent: scheduling, the run, the result's form, the spool and its syncs, metrics, idling.

use std::time::Duration;

use super::agent::BenchAgent;
use super::checks::{Targets, check};
use crate::process::cpu_seconds;
use crate::rows::Row;

/// So many checks, each once a second: the rate of 30,000 checks every 30 s. It is high so that the figure is a result's
/// and not the idle process's.
const CHECKS: u32 = 1_000;
const INTERVAL: &str = "1s";
/// Pools, caches and the allocator find their size.
const WARM_UP: Duration = Duration::from_secs(5);
const WINDOW: Duration = Duration::from_secs(20);

pub(crate) async fn measure(targets: Targets) -> anyhow::Result<Vec<Row>> {
    let row = |what, ours, limit| Row {
        what,
        unit: "µs",
        ours,
        peer_name: "limit",
        peer: limit,
    };
    Ok(vec![
        row(
            "no-op, agent's CPU per result",
            cost("noop", targets).await?,
            20.0,
        ),
        row("tcp, agent's CPU per result", cost("tcp", targets).await?, 80.0),
        row(
            "http, agent's CPU per result",
            cost("http", targets).await?,
            150.0,
        ),
    ])
}

/// Microseconds of CPU.
async fn cost(checker: &str, targets: Targets) -> anyhow::Result<f64> {
    let agent = BenchAgent::new(32)?;
    agent.add_checker(checker, checker)?;
    let checks: String = (0..CHECKS)
        .map(|number| check(&format!("c{number}"), checker, checker, INTERVAL, targets))
        .collect();
    agent.write_checks(&checks)?;
    let started = agent.start().await?;
    tokio::time::sleep(WARM_UP).await;
    let before = (started.results().await?, cpu_seconds(started.id())?);
    tokio::time::sleep(WINDOW).await;
    let results = started.results().await? - before.0;
    let cpu = cpu_seconds(started.id())? - before.1;
    started.stop()?;
    let expected = f64::from(CHECKS) * WINDOW.as_secs_f64();
    anyhow::ensure!(
        results as f64 > expected / 2.0,
        "{results} results where about {expected} were due: the machine is too busy to measure on"
    );
    Ok(cpu * 1e6 / results as f64)
}
