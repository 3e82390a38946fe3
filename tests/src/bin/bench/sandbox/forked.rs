//! The same probes by monitoring-plugins: a process each, whose exit code and line are read, as every engine of that
//! family does it.

use std::net::SocketAddr;
use std::process::{Command, Stdio};

use anyhow::Context as _;

/// Where Debian's package `monitoring-plugins-basic` has them.
const FOLDER: &str = "/usr/lib/nagios/plugins";

/// One plugin with its arguments.
pub(crate) struct Plugin {
    name: &'static str,
    arguments: Vec<String>,
}

impl Plugin {
    /// Says what it is told.
    pub(crate) fn dummy() -> Self {
        Self::new(
            "check_dummy",
            ["0", "nothing was done"].map(str::to_owned).to_vec(),
        )
    }

    /// Connects.
    pub(crate) fn tcp(peer: SocketAddr) -> Self {
        Self::new("check_tcp", Self::target("-H", peer))
    }

    /// Gets a page.
    pub(crate) fn http(peer: SocketAddr) -> Self {
        Self::new("check_http", Self::target("-I", peer))
    }

    fn target(host: &str, peer: SocketAddr) -> Vec<String> {
        [
            host,
            &peer.ip().to_string(),
            "-p",
            &peer.port().to_string(),
            "-t",
            "10",
        ]
        .map(str::to_owned)
        .to_vec()
    }

    fn new(name: &'static str, arguments: Vec<String>) -> Self {
        Self { name, arguments }
    }

    /// One run, which must be well.
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        let output = Command::new(format!("{FOLDER}/{}", self.name))
            .args(&self.arguments)
            .stdin(Stdio::null())
            .output()
            .with_context(|| {
                format!(
                    "can't start {} (Debian package monitoring-plugins-basic)",
                    self.name
                )
            })?;
        let line = String::from_utf8_lossy(&output.stdout);
        anyhow::ensure!(output.status.success(), "{}: {line}", self.name);
        anyhow::ensure!(!line.trim().is_empty(), "{} said nothing", self.name);
        Ok(())
    }
}
