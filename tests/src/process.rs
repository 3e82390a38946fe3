//! One running program.

use std::fs::File;
use std::net::SocketAddr;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::programs;

/// How long a program may take to listen, and to end when it is asked to.
const PATIENCE: Duration = Duration::from_secs(60);

/// A program that was started and is ended with this value.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
    ready_file: PathBuf,
}

impl Process {
    /// Starts one of ours with `--ready-file`, its log in `folder`, and waits until it says that it listens.
    pub fn start(name: &str, program: &str, arguments: &[&str], folder: &Path) -> anyhow::Result<Self> {
        let mut process = Self::spawn(name, program, arguments, folder)?;
        process.wait_until_ready()?;
        Ok(process)
    }

    /// [`Process::start`] without the waiting.
    pub fn spawn(name: &str, program: &str, arguments: &[&str], folder: &Path) -> anyhow::Result<Self> {
        let log = folder.join(format!("{name}.log"));
        let ready_file = folder.join(format!("{name}.ready"));
        if ready_file.exists() {
            std::fs::remove_file(&ready_file)?;
        }
        let output = File::options().create(true).append(true).open(&log)?;
        let child = Command::new(programs::program(program)?)
            .args(arguments)
            .arg("--ready-file")
            .arg(&ready_file)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .env("NO_COLOR", "1")
            // A group of its own: Ctrl-C in a terminal reaches the demo alone, which ends its programs in order.
            .process_group(0)
            .spawn()
            .with_context(|| format!("can't start {program}"))?;
        Ok(Self {
            name: name.to_owned(),
            child,
            log,
            ready_file,
        })
    }

    /// Waits until the program says that it listens.
    pub fn wait_until_ready(&mut self) -> anyhow::Result<()> {
        let end = Instant::now() + PATIENCE;
        while !self.ready_file.exists() {
            if let Some(status) = self.child.try_wait()? {
                bail!(
                    "{} ended ({status}) before it was ready:\n{}",
                    self.name,
                    self.log_tail()
                );
            }
            if Instant::now() >= end {
                bail!(
                    "{} isn't ready after {PATIENCE:?}:\n{}",
                    self.name,
                    self.log_tail()
                );
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// An address from the ready file: `grpc`, `web` or `metrics`.
    pub fn address(&self, name: &str) -> anyhow::Result<SocketAddr> {
        let text = std::fs::read_to_string(&self.ready_file)?;
        let ready: serde_json::Value = serde_json::from_str(&text)?;
        let address = ready["addresses"][name].as_str();
        let address = address
            .with_context(|| format!("{} names no address {name}: {text}", self.ready_file.display()))?;
        Ok(address.parse()?)
    }

    /// The program's process number.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Everything that it has printed.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(25)..].join("\n")
    }

    /// Asks it to end (SIGTERM) and waits until it has.
    pub fn stop(&mut self) -> anyhow::Result<ExitStatus> {
        self.signal(Signal::TERM)?;
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            if Instant::now() >= end {
                self.kill()?;
                bail!(
                    "{} didn't end within {PATIENCE:?} of SIGTERM:\n{}",
                    self.name,
                    self.log_tail()
                );
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits for a program that should end by itself, and gives its exit code and what it printed.
    pub fn wait_for_end(&mut self) -> anyhow::Result<(Option<i32>, String)> {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok((status.code(), self.log()));
            }
            if Instant::now() >= end {
                bail!(
                    "{} still runs after {PATIENCE:?}:\n{}",
                    self.name,
                    self.log_tail()
                );
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Ends it at once (SIGKILL), as a power cut would.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Sends a signal, for example `STOP` and `CONT`.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        kill_process(pid.context("not a process number")?, signal)
            .with_context(|| format!("can't signal {}", self.name))
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> anyhow::Result<bool> {
        Ok(self.child.try_wait()?.is_none())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|status| status.is_none()) && self.stop().is_err() {
            // Nothing is left to do about a program that can't be ended; the test's own failure is what counts.
            let _ = self.child.kill();
        }
    }
}

/// Runs a command of one of our programs to its end and gives its standard output.
pub fn command(program: &str, arguments: &[&str]) -> anyhow::Result<String> {
    let output = output(program, arguments)?;
    if !output.status.success() {
        let error = String::from_utf8_lossy(&output.stderr);
        bail!("{program} {} ({}):\n{error}", arguments.join(" "), output.status);
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// Runs a command of one of our programs to its end, whatever that is.
pub fn output(program: &str, arguments: &[&str]) -> anyhow::Result<std::process::Output> {
    Command::new(programs::program(program)?)
        .args(arguments)
        .stdin(Stdio::null())
        .env("NO_COLOR", "1")
        .output()
        .with_context(|| format!("can't start {program}"))
}
