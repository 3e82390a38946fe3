//! `agent.toml`: parsed whole, every problem reported.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::de::DeTable;

use super::problem::{Problems, Source};
use super::sandbox_section::{self, SandboxSettings};
use super::section::{Findings, Section};
use super::signatures::{self, SignatureSettings};

/// The least that the spool works with: one segment to write and one to give away.
pub const LEAST_QUOTA: u64 = 2 << 20;

/// Everything in `agent.toml`, with defaults filled in and paths made absolute or relative to the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentConfig {
    /// Where the file is.
    pub path: PathBuf,
    /// Where gateways connect to.
    pub listen: SocketAddr,
    /// Spool, compile cache, state.
    pub data_dir: PathBuf,
    /// Watched for `*.wasm`.
    pub checkers_dir: PathBuf,
    /// Watched for `*.toml`.
    pub checks_dir: PathBuf,
    /// Key, certificate, and whom to trust.
    pub identity_dir: PathBuf,
    /// One file for each secret.
    pub secrets_dir: PathBuf,
    /// Results that wait for a gateway.
    pub spool: SpoolSettings,
    /// How checkers are compiled and executed.
    pub sandbox: SandboxSettings,
    /// What one run and all runs together may use.
    pub limits: Limits,
    /// Whose checkers run here.
    pub signatures: SignatureSettings,
    /// Where metrics are served, if anywhere. Always a loopback address.
    pub metrics: Option<SocketAddr>,
}

/// `[spool]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpoolSettings {
    /// Bytes on disk; beyond it the oldest results go.
    pub quota: u64,
}

/// `[limits]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How many runs may be under way at once.
    pub concurrent_runs: usize,
    /// Bytes of linear memory a run may have.
    pub memory: u64,
    /// CPU time a run may have.
    pub cpu: Duration,
    /// Bytes a run may move over the network, in and out together.
    pub bytes: u64,
}

impl Default for SpoolSettings {
    fn default() -> Self {
        // About a month of a result a second at 100 bytes each.
        Self { quota: 256 << 20 }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            concurrent_runs: 32,
            memory: 64 << 20,
            cpu: Duration::from_secs(1),
            bytes: 64 << 20,
        }
    }
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file can't be read at all.
    #[error("can't read the configuration {}: {source}; `agent-host init` writes one, `--config` names another", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is read, and wrong.
    #[error("{0}")]
    Problems(Problems),
}

impl AgentConfig {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// The file can't be read, or anything in it is wrong: then everything that is.
    pub fn load(path: &Path) -> Result<Self, LoadError> {
        let text = std::fs::read_to_string(path).map_err(|source| LoadError::Read {
            path: path.to_path_buf(),
            source,
        })?;
        Self::parse(&Source::new(path, text)).map_err(LoadError::Problems)
    }

    /// Checks a text that was read from `source.path()`.
    ///
    /// # Errors
    /// Everything that is wrong in it.
    pub fn parse(source: &Source) -> Result<Self, Problems> {
        let findings = Findings::new(source);
        let (document, syntax) = DeTable::parse_recoverable(source.text());
        for error in syntax {
            findings.add_syntax(&error);
        }
        let base = source.path().parent().unwrap_or(Path::new("")).to_path_buf();
        let root = Section::new(&findings, document.get_ref(), 0..0, String::new());
        let config = read(root, &base, source.path());
        let problems: Problems = findings.into_problems().into_iter().collect();
        match config {
            Some(config) if problems.is_empty() => Ok(config),
            _ => Err(problems),
        }
    }
}

fn read(mut root: Section<'_>, base: &Path, path: &Path) -> Option<AgentConfig> {
    let listen = root.address("listen", "0.0.0.0:7443");
    root.missing("listen", "\"0.0.0.0:7443\"");
    let mut folder = |key, default| {
        let named = root.text(key, default).map_or(default, |at| at.value);
        base.join(named)
    };
    let data_dir = folder("data_dir", "data");
    let checkers_dir = folder("checkers_dir", "checkers");
    let checks_dir = folder("checks_dir", "checks.d");
    let identity_dir = folder("identity_dir", "identity");
    let secrets_dir = folder("secrets_dir", "secrets");
    let spool = root.section("spool").map(read_spool).unwrap_or_default();
    let sandbox = root
        .section("sandbox")
        .map(sandbox_section::read)
        .unwrap_or_default();
    let limits = root.section("limits").map(read_limits).unwrap_or_default();
    let signatures = root
        .section("signatures")
        .map(signatures::read)
        .unwrap_or_default();
    let metrics = root.section("metrics").and_then(read_metrics);
    root.finish();
    Some(AgentConfig {
        path: path.to_path_buf(),
        listen: listen?.value,
        data_dir,
        checkers_dir,
        checks_dir,
        identity_dir,
        secrets_dir,
        spool,
        sandbox,
        limits,
        signatures,
        metrics,
    })
}

fn read_spool(mut section: Section<'_>) -> SpoolSettings {
    let mut settings = SpoolSettings::default();
    if let Some(quota) = section.size("quota", "256 MiB") {
        if quota.value < LEAST_QUOTA {
            section.findings().add(
                quota.span,
                "`quota` of [spool] is too small; expected at least 2 MiB, two segments of the spool",
                "too small",
            );
        }
        settings.quota = quota.value;
    }
    section.finish();
    settings
}

fn read_limits(mut section: Section<'_>) -> Limits {
    let mut limits = Limits::default();
    // More than this many at once would need more memory maps than a usual kernel gives (vm.max_map_count).
    if let Some(runs) = section.whole_number("concurrent_runs", 1..1025) {
        limits.concurrent_runs = usize::try_from(runs.value).unwrap_or(limits.concurrent_runs);
    }
    if let Some(memory) = section.size("memory", "64 MiB") {
        if !((1 << 20)..=(4 << 30)).contains(&memory.value) {
            section.findings().add(
                memory.span,
                "`memory` of [limits] is out of range; expected 1 MiB to 4 GiB, what a 32-bit component can address",
                "out of range",
            );
        }
        limits.memory = memory.value;
    }
    if let Some(cpu) = section.duration("cpu", "1s") {
        if cpu.value < Duration::from_millis(10) {
            section.findings().add(
                cpu.span,
                "`cpu` of [limits] is too short; expected at least 10ms, the clock that stops a run",
                "too short",
            );
        }
        limits.cpu = cpu.value;
    }
    if let Some(bytes) = section.size("bytes", "64 MiB") {
        if bytes.value < 64 << 10 {
            section.findings().add(
                bytes.span,
                "`bytes` of [limits] is too small; expected at least 64 KiB, what a TLS handshake and a page take",
                "too small",
            );
        }
        limits.bytes = bytes.value;
    }
    section.finish();
    limits
}

fn read_metrics(mut section: Section<'_>) -> Option<SocketAddr> {
    let listen = section.address("listen", "127.0.0.1:9464");
    section.missing("listen", "\"127.0.0.1:9464\"");
    if let Some(at) = &listen
        && !at.value.ip().is_loopback()
    {
        section.findings().add_with_help(
            at.span.clone(),
            format!(
                "`listen` of [metrics] is {}, which others can reach; metrics are served on loopback only",
                at.value
            ),
            "not a loopback address",
            "write `listen = \"127.0.0.1:9464\"`, and let a scraper on this machine fetch it",
        );
    }
    section.finish();
    listen.map(|at| at.value)
}
