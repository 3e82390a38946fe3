//! An agent with 25 checkers and 1,000 checks: its memory, and its start to the first result.

use super::agent::BenchAgent;
use super::checks::{Targets, check};
use crate::process::resident_mebibytes;
use crate::rows::{Row, median};

/// Four files of each first-party checker and the no-op make 25.
const CHECKERS: [&str; 6] = ["http", "tcp", "dns", "cpu", "memory", "disk"];
const COPIES: u32 = 4;
const CHECKS_EACH: u32 = 40;
const INTERVAL: &str = "30s";
const COLD_STARTS: usize = 3;
const CACHED_STARTS: usize = 5;
const MEMORY_LIMIT_MEBIBYTES: f64 = 40.0;
const CACHED_START_LIMIT_MS: f64 = 300.0;

pub(crate) async fn measure(targets: Targets) -> anyhow::Result<Vec<Row>> {
    let agent = agent(targets)?;
    let (mut cold, mut cached) = (Vec::new(), Vec::new());
    for _ in 0..COLD_STARTS {
        agent.forget()?;
        cold.push(first_result_ms(&agent).await?);
    }
    for _ in 0..CACHED_STARTS {
        cached.push(first_result_ms(&agent).await?);
    }
    let started = agent.start().await?;
    // Each check has run at least once then.
    started.more_results(1_100).await?;
    let resident = resident_mebibytes(started.id())?;
    started.stop()?;
    let (cold, cached) = (median(cold), median(cached));
    Ok(vec![
        Row {
            what: "agent, 25 checkers and 1,000 checks, resident",
            unit: "MiB",
            ours: resident,
            peer_name: "limit",
            peer: MEMORY_LIMIT_MEBIBYTES,
        },
        Row {
            what: "agent, cached start to the first result",
            unit: "ms",
            ours: cached,
            peer_name: "limit",
            peer: CACHED_START_LIMIT_MS,
        },
        Row {
            what: "agent, cold start to the first result",
            unit: "ms",
            ours: cold,
            peer_name: "cached",
            peer: cached,
        },
    ])
}

fn agent(targets: Targets) -> anyhow::Result<BenchAgent> {
    let agent = BenchAgent::new(32)?;
    let mut checks = String::new();
    let copies = CHECKERS
        .iter()
        .flat_map(|base| (0..COPIES).map(move |copy| (*base, format!("{base}-{copy}"))))
        .chain([("noop", "noop".to_owned())]);
    for (base, checker) in copies {
        agent.add_checker(base, &checker)?;
        for number in 0..CHECKS_EACH {
            checks += &check(&format!("{checker}-{number}"), &checker, base, INTERVAL, targets);
        }
    }
    agent.write_checks(&checks)?;
    Ok(agent)
}

async fn first_result_ms(agent: &BenchAgent) -> anyhow::Result<f64> {
    let started = agent.start().await?;
    let first_result = started.first_result;
    started.stop()?;
    Ok(first_result.as_secs_f64() * 1e3)
}
