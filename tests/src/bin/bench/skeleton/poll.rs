//! 100 simulated agents with 60 results a poll, through a real gateway and a real platform.

use std::time::{Duration, Instant};

use picket_tests::installation::Installation;
use picket_tests::simulated::SimulatedAgent;
use picket_tests::wait;

use crate::process::cpu_seconds;
use crate::rows::Row;

const AGENTS: u32 = 100;
const RESULTS: u32 = 60;
/// What every agent is polled at: more often than anybody would, so that the figure is the road's and not the clock's.
const INTERVAL: &str = "1s";
const WINDOW: Duration = Duration::from_secs(20);
/// The limit that we set the gateway, in microseconds of CPU a poll of 60 results.
const GATEWAY_LIMIT_US: f64 = 50.0;

pub(crate) async fn measure() -> anyhow::Result<Vec<Row>> {
    let installation = Installation::new()?;
    let platform = installation.start_platform("node-1")?;
    installation.add_tenant("acme")?;
    let gateway = installation.start_gateway("gw-1", platform.process.address("grpc")?)?;
    let mut agents = Vec::new();
    for number in 0..AGENTS {
        agents.push(
            installation
                .start_simulated_agent("acme", &format!("a{number}"), INTERVAL, RESULTS)
                .await?,
        );
    }
    wait::until("every agent to be polled twice", || async {
        Ok(agents.iter().all(|agent| agent.polls() >= 2).then_some(()))
    })
    .await?;

    let before = (
        polls(&agents),
        cpu_seconds(gateway.process.id())?,
        cpu_seconds(platform.process.id())?,
    );
    let started = Instant::now();
    tokio::time::sleep(WINDOW).await;
    let seconds = started.elapsed().as_secs_f64();
    let count = (polls(&agents) - before.0) as f64;
    let gateway_us = (cpu_seconds(gateway.process.id())? - before.1) * 1e6 / count;
    let platform_us = (cpu_seconds(platform.process.id())? - before.2) * 1e6 / count;
    Ok(vec![
        Row {
            what: "polls of 60 results per second, 100 agents at 1 s",
            unit: "1/s",
            ours: count / seconds,
            peer_name: "the schedule",
            peer: f64::from(AGENTS),
        },
        Row {
            what: "gateway, CPU per poll of 60 results",
            unit: "µs",
            ours: gateway_us,
            peer_name: "our limit",
            peer: GATEWAY_LIMIT_US,
        },
        Row {
            what: "polls per second and core, through the gateway",
            unit: "1/s",
            ours: 1e6 / gateway_us,
            peer_name: "our limit",
            peer: 1e6 / GATEWAY_LIMIT_US,
        },
        Row {
            what: "polls per second and core, gateway and platform",
            unit: "1/s",
            ours: 1e6 / (gateway_us + platform_us),
            peer_name: "the gateway alone",
            peer: 1e6 / gateway_us,
        },
    ])
}

fn polls(agents: &[SimulatedAgent]) -> u64 {
    agents.iter().map(SimulatedAgent::polls).sum()
}
