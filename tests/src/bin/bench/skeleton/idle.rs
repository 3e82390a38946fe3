//! An agent with the six checkers and nothing to do; and how long it takes to its first result, with and without its
//! compile cache.

use std::time::{Duration, Instant};

use picket_tests::installation::{Agent, Installation};
use picket_tests::wait;

use crate::process::resident_mebibytes;
use crate::rows::{Row, median};

const CHECKERS: [&str; 6] = ["http", "tcp", "dns", "cpu", "memory", "disk"];
const STARTS: usize = 5;
/// How often the log is looked at: the error of a start's time.
const LOOK: Duration = Duration::from_millis(2);
/// Our limit for an agent with 25 checkers and 1,000 checks.
const MEMORY_LIMIT_MEBIBYTES: f64 = 40.0;
/// Our limit for a start from the cache.
const START_LIMIT_MS: f64 = 300.0;

pub(crate) async fn measure() -> anyhow::Result<Vec<Row>> {
    let installation = Installation::new()?;
    let mut agent = installation.lone_agent("acme", "edge")?;
    for checker in CHECKERS {
        agent.install_checker(checker)?;
    }
    let (mut cold, mut warm) = (Vec::new(), Vec::new());
    for _ in 0..STARTS {
        let data = agent.folder.join("data");
        if data.exists() {
            std::fs::remove_dir_all(&data)?;
        }
        cold.push(start(&mut agent).await?);
        agent.stop()?;
        warm.push(start(&mut agent).await?);
        agent.stop()?;
    }
    start(&mut agent).await?;
    // What start-up needed and idling doesn't goes back to the kernel meanwhile.
    tokio::time::sleep(Duration::from_secs(5)).await;
    let resident = resident_mebibytes(agent.process()?.id())?;
    agent.stop()?;
    let limit = |what, ours| Row {
        what,
        unit: "ms",
        ours,
        peer_name: "our limit",
        peer: START_LIMIT_MS,
    };
    Ok(vec![
        Row {
            what: "agent, idle with six checkers, resident memory",
            unit: "MiB",
            ours: resident,
            peer_name: "our limit",
            peer: MEMORY_LIMIT_MEBIBYTES,
        },
        limit("agent, start to six checkers loaded, warm cache", median(warm)),
        limit("agent, start to six checkers loaded, cold", median(cold)),
    ])
}

/// Milliseconds from the start of the process to all checkers being loaded, as its log says.
async fn start(agent: &mut Agent) -> anyhow::Result<f64> {
    let before = agent.log().len();
    let started = Instant::now();
    agent.start()?;
    loop {
        let log = agent.log();
        let lines = log.get(before..).unwrap_or_default().lines();
        if lines.filter(|line| line.contains("checker loaded")).count() >= CHECKERS.len() {
            break;
        }
        anyhow::ensure!(
            started.elapsed() < wait::DEADLINE,
            "not all checkers were loaded:\n{log}"
        );
        tokio::time::sleep(LOOK).await;
    }
    Ok(started.elapsed().as_secs_f64() * 1e3)
}
