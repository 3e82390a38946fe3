//! The no-op in each place that instances can live in: what a machine without address space to spare pays.

use picket_sandbox::engine::Allocation;

use super::meter::{Cost, Meter, medians};
use super::probe::{self, Probe};
use crate::rows::Row;

const ROUNDS: usize = 5;
const RUNS: u32 = 5_000;
const WARM_UP: u32 = 500;

pub(crate) async fn measure() -> anyhow::Result<Vec<Row>> {
    let pool = cost(Allocation::Pool).await?;
    let beside_pool = |what, ours: Cost| Row {
        what,
        unit: "µs",
        ours: ours.cpu_us,
        peer_name: "the pool",
        peer: pool.cpu_us,
    };
    Ok(vec![
        beside_pool(
            "no-op, CPU per run, small reservations",
            cost(Allocation::SmallReservations).await?,
        ),
        beside_pool("no-op, CPU per run, on demand", cost(Allocation::OnDemand).await?),
    ])
}

async fn cost(allocation: Allocation) -> anyhow::Result<Cost> {
    let probe = Probe::no_op(&probe::engine(Some(allocation))?)?;
    let round = async |runs: u32| {
        let probe = probe.clone();
        tokio::spawn(async move {
            let meter = Meter::start()?;
            for _ in 0..runs {
                probe.run().await?;
            }
            meter.stop(runs)
        })
        .await?
    };
    round(WARM_UP).await?;
    let mut costs = Vec::new();
    for _ in 0..ROUNDS {
        costs.push(round(RUNS).await?);
    }
    Ok(medians(&costs))
}
