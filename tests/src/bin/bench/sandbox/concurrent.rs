//! An agent's memory with a thousand runs under way: all of them wait for a server that says nothing.

use std::io::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use picket_tests::wait;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::agent::BenchAgent;
use crate::process::resident_mebibytes;
use crate::rows::Row;

const RUNS: usize = 1_000;
const LIMIT_KIBIBYTES: f64 = 100.0;
/// What a state's last connection still sets in motion.
const SETTLE: Duration = Duration::from_secs(3);

/// Greets at first, which lets checks end well; later it accepts and says nothing.
struct Server {
    address: SocketAddr,
    silent: AtomicBool,
    greeted: AtomicUsize,
    held: AtomicUsize,
}

impl Server {
    fn start() -> anyhow::Result<Arc<Self>> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let server = Arc::new(Self {
            address: listener.local_addr()?,
            silent: AtomicBool::new(false),
            greeted: AtomicUsize::new(0),
            held: AtomicUsize::new(0),
        });
        let serving = Arc::clone(&server);
        // Ends with the process.
        std::thread::spawn(move || serving.serve(&listener));
        Ok(server)
    }

    fn serve(&self, listener: &TcpListener) {
        let mut held = Vec::new();
        for mut stream in listener.incoming().flatten() {
            if self.silent.load(Ordering::Relaxed) {
                held.push(stream);
                self.held.store(held.len(), Ordering::Relaxed);
            } else if stream.write_all(b"hello\r\n").is_ok() {
                self.greeted.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

pub(crate) async fn measure() -> anyhow::Result<Vec<Row>> {
    // Each run has a socket here and one in the agent, which inherits this.
    let limit = getrlimit(Resource::Nofile);
    setrlimit(
        Resource::Nofile,
        Rlimit {
            current: limit.maximum,
            ..limit
        },
    )?;
    let server = Server::start()?;
    let agent = BenchAgent::new(u32::try_from(RUNS)?)?;
    agent.add_checker("tcp", "tcp")?;
    let (host, port) = (server.address.ip(), server.address.port());
    let checks: String = (0..RUNS)
        .map(|number| {
            format!(
                "[check.c{number}]\nchecker = \"tcp\"\ninterval = \"10s\"\ntimeout = \"10m\"\n\
                 allow = [\"tcp:{host}:{port}\"]\n[check.c{number}.config]\nhost = \"{host}\"\nport = {port}\n\
                 expect = \"hello\"\n"
            )
        })
        .collect();
    agent.write_checks(&checks)?;
    let started = agent.start().await?;
    wait::until("every check to have run", || async {
        Ok((server.greeted.load(Ordering::Relaxed) > 2 * RUNS).then_some(()))
    })
    .await?;
    tokio::time::sleep(SETTLE).await;
    started.results().await?;
    let before = resident_mebibytes(started.id())?;
    server.silent.store(true, Ordering::Relaxed);
    wait::until("a thousand runs to be under way", || async {
        Ok((server.held.load(Ordering::Relaxed) >= RUNS).then_some(()))
    })
    .await?;
    tokio::time::sleep(SETTLE).await;
    let during = resident_mebibytes(started.id())?;
    // It would wait for its runs, which have ten minutes.
    drop(started);
    Ok(vec![
        Row {
            what: "agent, 1,000 runs under way, memory of each",
            unit: "KiB",
            ours: (during - before) * 1024.0 / RUNS as f64,
            peer_name: "limit",
            peer: LIMIT_KIBIBYTES,
        },
        Row {
            what: "agent, 1,000 runs under way, resident",
            unit: "MiB",
            ours: during,
            peer_name: "the same, idle",
            peer: before,
        },
    ])
}
