//! What a check costs in the sandbox, beside the same probe without one and beside a plugin in a process of its own.
//!
//! - [`probe`]: our checkers, each with its grants, run as the agent runs them;
//! - [`native`]: the same probes without a sandbox;
//! - [`forked`]: the same probes by monitoring-plugins, a process each;
//! - [`meter`]: CPU and wall time of a round;
//! - [`single`]: all of these against the same server, in turns;
//! - [`allocation`]: the no-op in each place that instances can live in;
//! - [`checks`]: checks as a customer writes them;
//! - [`agent`]: a real agent with many checkers and checks, and what its metrics say;
//! - [`loaded`]: its memory, and its start to the first result;
//! - [`concurrent`]: its memory with a thousand runs under way;
//! - [`scheduled`]: its CPU for a result, with scheduling and spooling.

mod agent;
mod allocation;
mod checks;
mod concurrent;
mod forked;
mod loaded;
mod meter;
mod native;
mod probe;
mod scheduled;
mod single;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use checks::Targets;
use picket_tests::servers::{NameServer, Nginx};

use crate::rows::Row;

/// Measures one after the other, so that none disturbs another.
pub(crate) async fn measure() -> anyhow::Result<Vec<Row>> {
    let folder = tempfile::Builder::new().prefix("picket-bench-").tempdir()?;
    let web = Nginx::start(folder.path()).await?;
    let known = BTreeMap::from([("www.acme.test".to_owned(), Ipv4Addr::LOCALHOST)]);
    let names = NameServer::start(known).await?;
    let targets = Targets {
        web: web.plain,
        names: names.address(),
    };
    let mut rows = single::measure(targets.web).await?;
    rows.extend(allocation::measure().await?);
    rows.extend(scheduled::measure(targets).await?);
    rows.extend(loaded::measure(targets).await?);
    rows.extend(concurrent::measure().await?);
    Ok(rows)
}
