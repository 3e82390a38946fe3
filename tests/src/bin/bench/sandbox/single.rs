//! One run: ours, without a sandbox, and forked, in turns against the same server, one at a time on one thread.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::runtime::{Builder, Handle};

use super::forked::Plugin;
use super::meter::{Cost, Meter, medians};
use super::native;
use super::probe::{self, Probe};
use crate::rows::Row;

const ROUNDS: usize = 7;
/// Runs of a round without a process: enough that a round takes longer than the machine's moods.
const RUNS: u32 = 3_000;
/// A process takes so much longer that fewer will do.
const FORKS: u32 = 300;
/// Before the first round, so that no round pays for pages, caches or a lazy start.
const WARM_UP: u32 = 500;

/// What does the probes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    NoOp,
    Tcp,
    Http,
    NativeTcp,
    NativeHttp,
    Dummy,
    ForkedTcp,
    ForkedHttp,
}

const KINDS: [Kind; 8] = [
    Kind::NoOp,
    Kind::Tcp,
    Kind::Http,
    Kind::NativeTcp,
    Kind::NativeHttp,
    Kind::Dummy,
    Kind::ForkedTcp,
    Kind::ForkedHttp,
];

impl Kind {
    fn runs(self) -> u32 {
        match self {
            Self::Dummy | Self::ForkedTcp | Self::ForkedHttp => FORKS,
            _ => RUNS,
        }
    }
}

struct Bench {
    peer: SocketAddr,
    no_op: Probe,
    tcp: Probe,
    http: Probe,
}

impl Bench {
    fn new(peer: SocketAddr) -> anyhow::Result<Self> {
        let engine = probe::engine(None)?;
        Ok(Self {
            peer,
            no_op: Probe::no_op(&engine)?,
            tcp: Probe::tcp(&engine, peer)?,
            http: Probe::http(&engine, peer)?,
        })
    }

    async fn round(&self, kind: Kind, runs: u32) -> anyhow::Result<Cost> {
        let (dummy, tcp, http) = (Plugin::dummy(), Plugin::tcp(self.peer), Plugin::http(self.peer));
        let meter = Meter::start()?;
        for _ in 0..runs {
            match kind {
                Kind::NoOp => self.no_op.run().await?,
                Kind::Tcp => self.tcp.run().await?,
                Kind::Http => self.http.run().await?,
                Kind::NativeTcp => native::expect_ok(native::tcp(self.peer).await)?,
                Kind::NativeHttp => native::expect_ok(native::http(self.peer).await)?,
                Kind::Dummy => dummy.run()?,
                Kind::ForkedTcp => tcp.run()?,
                Kind::ForkedHttp => http.run()?,
            }
        }
        meter.stop(runs)
    }
}

pub(crate) async fn measure(peer: SocketAddr) -> anyhow::Result<Vec<Row>> {
    // As the agent's runtime for guests, with one thread: what is measured shares it with nothing.
    let runtime = Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    let costs = all_rounds(runtime.handle(), peer).await;
    runtime.shutdown_background();
    let costs = costs?;
    let of = |wanted: Kind| {
        let index = KINDS.iter().position(|kind| *kind == wanted).unwrap_or_default();
        medians(&costs[index])
    };
    let (no_op, tcp, http) = (of(Kind::NoOp), of(Kind::Tcp), of(Kind::Http));
    let (native_tcp, native_http) = (of(Kind::NativeTcp), of(Kind::NativeHttp));
    let (dummy, forked_tcp, forked_http) = (of(Kind::Dummy), of(Kind::ForkedTcp), of(Kind::ForkedHttp));
    Ok(vec![
        cpu("no-op vs fork+exec check_dummy", no_op, "check_dummy", dummy),
        cpu("tcp vs fork+exec check_tcp", tcp, "check_tcp", forked_tcp),
        cpu("http vs fork+exec check_http", http, "check_http", forked_http),
        cpu("tcp vs native tokio", tcp, "native tokio", native_tcp),
        cpu("http vs native tokio", http, "native tokio", native_http),
        wall("no-op, wall time per run", no_op, "check_dummy", dummy),
        wall("tcp, wall time per run", tcp, "check_tcp", forked_tcp),
        wall("http, wall time per run", http, "check_http", forked_http),
        wall("tcp, wall time per run, native", tcp, "native tokio", native_tcp),
        wall(
            "http, wall time per run, native",
            http,
            "native tokio",
            native_http,
        ),
        rate("no-op checks per second and core", no_op, "check_dummy", dummy),
        rate("tcp checks per second and core", tcp, "check_tcp", forked_tcp),
        rate("http checks per second and core", http, "check_http", forked_http),
    ])
}

/// The rounds of each kind, in the order of [`KINDS`].
async fn all_rounds(runtime: &Handle, peer: SocketAddr) -> anyhow::Result<[Vec<Cost>; KINDS.len()]> {
    let bench = Arc::new(Bench::new(peer)?);
    let round = async |kind: Kind, runs: u32| {
        let bench = Arc::clone(&bench);
        runtime
            .spawn(async move { bench.round(kind, runs).await })
            .await?
    };
    let mut costs: [Vec<Cost>; KINDS.len()] = Default::default();
    for kind in KINDS {
        round(kind, WARM_UP.min(kind.runs())).await?;
    }
    for _ in 0..ROUNDS {
        for (costs, kind) in costs.iter_mut().zip(KINDS) {
            costs.push(round(kind, kind.runs()).await?);
        }
    }
    Ok(costs)
}

fn cpu(what: &'static str, ours: Cost, peer_name: &'static str, peer: Cost) -> Row {
    Row {
        what,
        unit: "µs",
        ours: ours.cpu_us,
        peer_name,
        peer: peer.cpu_us,
    }
}

fn wall(what: &'static str, ours: Cost, peer_name: &'static str, peer: Cost) -> Row {
    Row {
        what,
        unit: "µs",
        ours: ours.wall_us,
        peer_name,
        peer: peer.wall_us,
    }
}

fn rate(what: &'static str, ours: Cost, peer_name: &'static str, peer: Cost) -> Row {
    Row {
        what,
        unit: "1/s",
        ours: 1e6 / ours.cpu_us,
        peer_name,
        peer: 1e6 / peer.cpu_us,
    }
}
