//! One agent host.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde_json::Value;

use super::{Installation, free_port, path};
use crate::process::{Process, command};
use crate::programs;
use crate::wait;

/// An agent that was enrolled, running or not.
#[derive(Debug)]
pub struct Agent {
    /// The tenant's slug.
    pub tenant: String,
    /// The agent's name.
    pub name: String,
    /// Its folder, as the customer would have it.
    pub folder: PathBuf,
    /// host:port.
    pub endpoint: String,
    logs: PathBuf,
    process: Option<Process>,
}

/// How an agent is registered.
#[derive(Debug, Clone, Copy)]
pub struct AgentOptions {
    /// How often it is polled.
    pub interval: &'static str,
    /// How long it may stay away.
    pub unreachable_after: &'static str,
}

impl Default for AgentOptions {
    fn default() -> Self {
        Self {
            interval: "1s",
            unreachable_after: "3s",
        }
    }
}

impl Installation {
    /// Makes an agent's folder, registers it with the platform, and waits until a gateway has enrolled it: platform and
    /// gateway have to run.
    pub fn add_agent(&self, tenant: &str, name: &str, options: AgentOptions) -> anyhow::Result<Agent> {
        let endpoint = format!("127.0.0.1:{}", free_port()?);
        self.add_agent_at(tenant, name, options, &endpoint, &endpoint)
    }

    /// [`Installation::add_agent`] where the platform is told another address than the agent listens on.
    pub fn add_agent_at(
        &self,
        tenant: &str,
        name: &str,
        options: AgentOptions,
        listen: &str,
        endpoint: &str,
    ) -> anyhow::Result<Agent> {
        let mut agent = Agent::init(self.folder(), tenant, name, listen)?;
        let file = self.register_agent(tenant, name, listen, options)?;
        agent.enroll(&file)?;
        if endpoint != listen {
            // It is known by its certificate once that was seen in use.
            agent.start()?;
            self.wait_until_reachable(tenant, name)?;
            agent.stop()?;
            self.move_agent(tenant, name, endpoint)?;
            endpoint.clone_into(&mut agent.endpoint);
        }
        Ok(agent)
    }

    /// Waits until the platform says that an agent answers.
    pub fn wait_until_reachable(&self, tenant: &str, name: &str) -> anyhow::Result<()> {
        let end = Instant::now() + wait::DEADLINE;
        loop {
            let listed = self.platform_command(&["agent", "list", "--tenant", tenant, "-o", "json"])?;
            let listed: Value = serde_json::from_str(&listed)?;
            let agents = listed["items"].as_array().context("no list of agents")?;
            let agent = agents.iter().find(|agent| agent["name"] == name);
            if agent.is_some_and(|agent| agent["reachability"] == "reachable") {
                return Ok(());
            }
            anyhow::ensure!(
                Instant::now() < end,
                "{tenant}/{name} was never reached: {agent:?}"
            );
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// Registers an agent, and returns the file for it to enrol with.
    pub fn register_agent(
        &self,
        tenant: &str,
        name: &str,
        endpoint: &str,
        options: AgentOptions,
    ) -> anyhow::Result<PathBuf> {
        let file = self.folder().join(format!("{tenant}-{name}.enroll"));
        self.platform_command(&[
            "agent",
            "add",
            "--tenant",
            tenant,
            "--name",
            name,
            "--endpoint",
            endpoint,
            "--out",
            path(&file)?,
            "--interval",
            options.interval,
            "--unreachable-after",
            options.unreachable_after,
        ])?;
        Ok(file)
    }

    /// Tells the platform another address of an agent.
    pub fn move_agent(&self, tenant: &str, name: &str, endpoint: &str) -> anyhow::Result<()> {
        let agent = format!("{tenant}/{name}");
        self.platform_command(&["agent", "set", &agent, "--endpoint", endpoint])
            .map(|_| ())
    }
}

impl Agent {
    /// Makes an agent's folder below `folder`, where its log will be too.
    pub fn init(folder: &Path, tenant: &str, name: &str, listen: &str) -> anyhow::Result<Self> {
        let own = folder.join(format!("{tenant}-{name}"));
        command(
            "agent-host",
            &[
                "init",
                "--tenant",
                tenant,
                "--name",
                name,
                "--dir",
                path(&own)?,
                "--listen",
                listen,
            ],
        )?;
        Ok(Self {
            tenant: tenant.to_owned(),
            name: name.to_owned(),
            folder: own,
            endpoint: listen.to_owned(),
            logs: folder.to_path_buf(),
            process: None,
        })
    }

    /// Waits for a gateway to enrol it.
    pub fn enroll(&self, file: &Path) -> anyhow::Result<()> {
        let config = self.config();
        let arguments = [
            "enroll",
            path(file)?,
            "--config",
            path(&config)?,
            "--timeout",
            "60s",
        ];
        command("agent-host", &arguments).map(|_| ())
    }

    /// Waits for a gateway to enrol it once more, in place of the identity that it has.
    pub fn enroll_again(&self, file: &Path) -> anyhow::Result<()> {
        let config = self.config();
        let arguments = [
            "enroll",
            path(file)?,
            "--config",
            path(&config)?,
            "--replace",
            "--timeout",
            "60s",
        ];
        command("agent-host", &arguments).map(|_| ())
    }

    /// Its configuration file.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.folder.join("agent.toml")
    }

    /// Drops a first-party checker in.
    pub fn install_checker(&self, name: &str) -> anyhow::Result<()> {
        self.install(&programs::checker(name)?, name)
    }

    /// Drops a test guest in.
    pub fn install_guest(&self, name: &str) -> anyhow::Result<()> {
        self.install(&programs::guest(name)?, name)
    }

    /// Drops a component in that isn't in any file.
    pub fn install_component(&self, name: &str, component: &[u8]) -> anyhow::Result<()> {
        let part = self.folder.join(format!("{name}.part"));
        std::fs::write(&part, component)?;
        self.install(&part, name)?;
        std::fs::remove_file(part)?;
        Ok(())
    }

    /// Copies beside and renames, as an installer should: the agent never sees half a file.
    fn install(&self, from: &Path, name: &str) -> anyhow::Result<()> {
        let folder = self.folder.join("checkers");
        std::fs::create_dir_all(&folder)?;
        let part = folder.join(format!(".{name}.part"));
        std::fs::copy(from, &part)?;
        std::fs::rename(part, folder.join(format!("{name}.wasm")))?;
        Ok(())
    }

    /// Writes a file of checks.
    pub fn write_checks(&self, file: &str, toml: &str) -> anyhow::Result<()> {
        let folder = self.folder.join("checks.d");
        std::fs::create_dir_all(&folder)?;
        std::fs::write(folder.join(format!("{file}.toml")), toml)?;
        Ok(())
    }

    /// Starts it and waits until it listens.
    pub fn start(&mut self) -> anyhow::Result<&mut Process> {
        let name = format!("{}-{}", self.tenant, self.name);
        let process = Process::start(
            &name,
            "agent-host",
            &["run", "--config", path(&self.config())?],
            &self.logs,
        )?;
        Ok(self.process.insert(process))
    }

    /// The running process.
    pub fn process(&mut self) -> anyhow::Result<&mut Process> {
        self.process
            .as_mut()
            .ok_or_else(|| anyhow::anyhow!("the agent {} isn't running", self.name))
    }

    /// Everything that it has printed, in all its lives.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.logs.join(format!("{}-{}.log", self.tenant, self.name)))
            .unwrap_or_default()
    }

    /// Ends it in order.
    pub fn stop(&mut self) -> anyhow::Result<()> {
        self.process()?.stop()?;
        self.process = None;
        Ok(())
    }

    /// Ends it at once.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        self.process()?.kill()?;
        self.process = None;
        Ok(())
    }
}
