//! A platform with tenants, gateways and agents, in a folder of its own, on free ports of this machine.

use std::net::TcpListener;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use picket_platform::authority::encryption::EncryptionKey;
use tempfile::TempDir;

use crate::api::Api;
use crate::process::{Process, command};

mod agent;
mod gateway;

pub use agent::{Agent, AgentOptions};
pub use gateway::Gateway;

/// The trust domain of every installation that is made here.
pub const TRUST_DOMAIN: &str = "picket.test";

/// The platform and where everything lives. Agents and gateways are values of their own, so that a test can end one.
#[derive(Debug)]
pub struct Installation {
    /// Dropped after everything else.
    folder: TempDir,
    config: PathBuf,
    token: String,
    root: PathBuf,
}

/// One running platform process.
#[derive(Debug)]
pub struct Platform {
    /// The process itself.
    pub process: Process,
    /// Its API.
    pub api: Api,
}

impl Installation {
    /// Makes the folder, the certificate authorities and the database; starts nothing.
    pub fn new() -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("picket-").tempdir()?;
        let data = folder.path().join("platform");
        let config = data.join("platform.toml");
        command(
            "platform",
            &["init", "--data-dir", path(&data)?, "--trust-domain", TRUST_DOMAIN],
        )?;
        edit(&config, |text| {
            text.replace("\"127.0.0.1:8443\"", "\"127.0.0.1:0\"")
                .replace("\"0.0.0.0:7600\"", "\"127.0.0.1:0\"")
        })?;
        let token = command(
            "platform",
            &["token", "create", "--name", "harness", "--config", path(&config)?],
        )?;
        let root = folder.path().join("root.pem");
        let shown = command("platform", &["ca", "show", "--config", path(&config)?])?;
        let at = shown
            .find("-----BEGIN")
            .context("`platform ca show` shows no root certificate")?;
        std::fs::write(&root, &shown[at..])?;
        Ok(Self {
            folder,
            config,
            token: token.trim().to_owned(),
            root,
        })
    }

    /// The folder that everything is in.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The bearer token of the API.
    #[must_use]
    pub fn token(&self) -> &str {
        &self.token
    }

    /// The platform root's certificate, PEM.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Starts the platform, or one more process of it under another name.
    pub fn start_platform(&self, node: &str) -> anyhow::Result<Platform> {
        let config = self.node_config(node, |text| text)?;
        self.start_platform_with(node, &config)
    }

    /// A copy of the configuration for one node, with changes.
    pub fn node_config(&self, node: &str, change: impl Fn(String) -> String) -> anyhow::Result<PathBuf> {
        let config = self.config.with_file_name(format!("{node}.toml"));
        let text = std::fs::read_to_string(&self.config)?;
        let text: String = text
            .lines()
            .map(|line| {
                if line.starts_with("node = ") {
                    format!("node = \"{node}\"\n")
                } else {
                    format!("{line}\n")
                }
            })
            .collect();
        std::fs::write(&config, change(text))?;
        Ok(config)
    }

    /// Starts a platform process with the given configuration.
    pub fn start_platform_with(&self, node: &str, config: &Path) -> anyhow::Result<Platform> {
        let process = Process::start(
            node,
            "platform",
            &["serve", "--config", path(config)?],
            self.folder(),
        )?;
        let api = Api::new(process.address("web")?, &self.root, &self.token)?;
        Ok(Platform { process, api })
    }

    /// A client of a running platform that trusts the roots which count now: after one took another's place.
    pub fn api_by_current_roots(&self, platform: &Platform) -> anyhow::Result<Api> {
        let exported = self.platform_command(&["ca", "export-root"])?;
        let at = exported
            .find("-----BEGIN")
            .context("`platform ca export-root` exports none")?;
        std::fs::write(&self.root, &exported[at..])?;
        Api::new(platform.process.address("web")?, &self.root, &self.token)
    }

    /// An enrolled agent, for what needs no platform beside it: those who enrolled it are gone again.
    pub fn lone_agent(&self, tenant: &str, name: &str) -> anyhow::Result<Agent> {
        let platform = self.start_platform("node-1")?;
        let _gateway = self.start_gateway("gw-1", platform.process.address("grpc")?)?;
        self.add_tenant(tenant)?;
        self.add_agent(tenant, name, AgentOptions::default())
    }

    /// Runs an administrative command of the platform.
    pub fn platform_command(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let mut all = arguments.to_vec();
        all.extend(["--config", path(&self.config)?]);
        command("platform", &all)
    }

    /// The key that the authorities' keys are encrypted by.
    pub(crate) fn encryption_key(&self) -> anyhow::Result<EncryptionKey> {
        let text = std::fs::read(self.encryption_key_file())?;
        EncryptionKey::parse(&text).context("not an encryption key")
    }

    /// Where that key is.
    #[must_use]
    pub fn encryption_key_file(&self) -> PathBuf {
        self.folder().join("platform-ca-key/ca.key")
    }

    /// Adds a tenant.
    pub fn add_tenant(&self, slug: &str) -> anyhow::Result<()> {
        self.platform_command(&["tenant", "add", slug]).map(|_| ())
    }
}

/// A port of 127.0.0.1 that was free a moment ago.
pub fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// A path as text, for a command line.
pub fn path(path: &Path) -> anyhow::Result<&str> {
    path.to_str()
        .with_context(|| format!("{} isn't text", path.display()))
}

/// Rewrites a text file.
pub fn edit(file: &Path, change: impl Fn(String) -> String) -> anyhow::Result<()> {
    let text = std::fs::read_to_string(file).with_context(|| format!("can't read {}", file.display()))?;
    std::fs::write(file, change(text))?;
    Ok(())
}
