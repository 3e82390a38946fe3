//! A real agent with many checkers and checks, and what its metrics say.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use picket_tests::installation::{Agent, Installation, edit, free_port, path};
use picket_tests::process::Process;
use picket_tests::{programs, wait};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// How often the metrics are looked at: the error of a start's time.
const LOOK: Duration = Duration::from_millis(3);

/// One agent with its folder. Nobody polls it: what is measured is the agent.
pub(crate) struct BenchAgent {
    installation: Installation,
    agent: Agent,
    metrics: SocketAddr,
}

/// An agent that runs.
pub(crate) struct Started {
    process: Process,
    /// From the process's start to the first result.
    pub(crate) first_result: Duration,
    metrics: SocketAddr,
}

impl BenchAgent {
    /// Makes an agent with no checkers and no checks.
    pub(crate) fn new(concurrent_runs: u32) -> anyhow::Result<Self> {
        let installation = Installation::new()?;
        let agent = installation.lone_agent("acme", "edge")?;
        let metrics = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
        edit(&agent.config(), |text| {
            let text = text.replace(
                "concurrent_runs = 32",
                &format!("concurrent_runs = {concurrent_runs}"),
            );
            format!("{text}\n[metrics]\nlisten = \"{metrics}\"\n")
        })?;
        Ok(Self {
            installation,
            agent,
            metrics,
        })
    }

    /// Drops a checker in under a name, as a file of its own: what sets it apart is a custom section with its name, so
    /// that neither the agent nor its cache takes two copies for one.
    pub(crate) fn add_checker(&self, base: &str, name: &str) -> anyhow::Result<()> {
        let file = match base {
            "noop" => programs::guest(base)?,
            _ => programs::checker(base)?,
        };
        let mut bytes = std::fs::read(file)?;
        // A custom section: id 0, its size, its name's length, its name, no content.
        let length = u8::try_from(name.len())?;
        anyhow::ensure!(length < 0x7f, "one byte of LEB128 is enough for a short name");
        bytes.extend([0, length + 1, length]);
        bytes.extend(name.as_bytes());
        std::fs::write(
            self.agent.folder.join("checkers").join(format!("{name}.wasm")),
            bytes,
        )?;
        Ok(())
    }

    /// Writes all checks.
    pub(crate) fn write_checks(&self, toml: &str) -> anyhow::Result<()> {
        self.agent.write_checks("bench", toml)
    }

    /// Forgets what was compiled, and everything else that the agent keeps.
    pub(crate) fn forget(&self) -> anyhow::Result<()> {
        Ok(std::fs::remove_dir_all(self.agent.folder.join("data"))?)
    }

    /// Starts it and waits for the first result.
    pub(crate) async fn start(&self) -> anyhow::Result<Started> {
        let began = Instant::now();
        let mut process = Process::spawn(
            "agent",
            "agent-host",
            &["run", "--config", path(&self.agent.config())?],
            self.installation.folder(),
        )?;
        while results(self.metrics).await.map_or(0, |results| results.all) == 0 {
            anyhow::ensure!(
                process.is_running()? && began.elapsed() < wait::DEADLINE,
                "the agent gave no result:\n{}",
                process.log()
            );
            tokio::time::sleep(LOOK).await;
        }
        Ok(Started {
            process,
            first_result: began.elapsed(),
            metrics: self.metrics,
        })
    }
}

impl Started {
    /// Its process number.
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// The results so far, all of which must be well.
    pub(crate) async fn results(&self) -> anyhow::Result<u64> {
        let results = results(self.metrics).await?;
        anyhow::ensure!(
            results.ok == results.all,
            "{} of {} results aren't ok:\n{}",
            results.all - results.ok,
            results.all,
            self.process.log()
        );
        Ok(results.all)
    }

    /// Waits until there are so many more results.
    pub(crate) async fn more_results(&self, more: u64) -> anyhow::Result<()> {
        let wanted = self.results().await? + more;
        wait::until("results", || async {
            Ok((self.results().await? >= wanted).then_some(()))
        })
        .await
    }

    /// Ends it in order.
    pub(crate) fn stop(mut self) -> anyhow::Result<()> {
        let status = self.process.stop()?;
        anyhow::ensure!(
            status.success(),
            "the agent ended with {status}:\n{}",
            self.process.log()
        );
        Ok(())
    }
}

struct Results {
    all: u64,
    ok: u64,
}

/// Reads the agent's metrics.
async fn results(metrics: SocketAddr) -> anyhow::Result<Results> {
    let mut stream = TcpStream::connect(metrics).await?;
    stream
        .write_all(b"GET /metrics HTTP/1.1\r\nhost: bench\r\n\r\n")
        .await?;
    let mut text = String::new();
    stream.read_to_string(&mut text).await?;
    let mut results = Results { all: 0, ok: 0 };
    for line in text
        .lines()
        .filter(|line| line.starts_with("picket_agent_runs_total{"))
    {
        let (labels, count) = line.rsplit_once(' ').context("a sample without a value")?;
        let count: u64 = count.parse()?;
        results.all += count;
        if labels.contains("status=\"ok\"") {
            results.ok += count;
        }
    }
    Ok(results)
}
