//! What a run is given, and what comes of it.

use std::sync::Arc;
use std::time::Duration;

use crate::grant::GrantSet;
use crate::host::secret::SecretSource;
use crate::host::state::StateStore;
use crate::report::Report;
use crate::run::Failure;

/// One run of one check.
#[derive(Clone)]
pub struct RunSpec {
    /// The check's name on this agent.
    pub check: String,
    /// The configuration: a JSON object.
    pub config: String,
    /// What the check may reach.
    pub grants: Arc<GrantSet>,
    /// What the run may use up.
    pub limits: Limits,
    /// Where `state` keeps its values.
    pub state: Arc<dyn StateStore>,
    /// Where granted secrets come from.
    pub secrets: Arc<dyn SecretSource>,
    /// When the run was due, in milliseconds since 1970.
    pub scheduled_at_unix_ms: u64,
}

/// What one run may use up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// CPU time, of the guest and of the host calls that it makes.
    pub cpu: Duration,
    /// Wall time, from the instantiation to the report.
    pub wall: Duration,
    /// Linear memory of all its instances, in bytes; the engine's own limit holds as well.
    pub memory: usize,
    /// Bytes over the network, in and out together, as [`Usage`] counts them.
    pub bytes: u64,
}

impl Default for Limits {
    /// 1 s of CPU, 10 s of wall time, 64 MiB of memory, 64 MiB over the network.
    fn default() -> Self {
        Self {
            cpu: Duration::from_secs(1),
            wall: Duration::from_secs(10),
            memory: 64 << 20,
            bytes: 64 << 20,
        }
    }
}

/// What a run used up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// CPU time.
    pub cpu: Duration,
    /// Wall time.
    pub wall: Duration,
    /// The most linear memory that it had at one time, in bytes.
    pub peak_memory: u64,
    /// Calls of this crate's host interfaces, name look-ups, connections and datagrams. WASI's streams and clocks aren't
    /// counted.
    pub host_calls: u64,
    /// Bytes received for it: those of TCP connections as they came over the wire, so that what TLS and HTTP add is in
    /// it, and the payloads of datagrams and of echo replies. The host's own look-ups of names aren't counted.
    pub bytes_in: u64,
    /// Bytes sent for it, counted likewise.
    pub bytes_out: u64,
}

/// How grave a log line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LogLevel {
    /// For the checker's author.
    Debug,
    /// Worth knowing.
    Info,
    /// Worth a look.
    Warn,
    /// Something failed.
    Error,
}

/// One line that a checker logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// How grave it is.
    pub level: LogLevel,
    /// The text.
    pub message: String,
    /// Structured fields.
    pub fields: Vec<(String, String)>,
}

/// What a checker said on the side. At most 64 KiB of log lines and 16 KiB of standard error are kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Logs {
    /// In order.
    pub lines: Vec<LogLine>,
    /// Lines that were counted, not kept.
    pub dropped: u64,
    /// Standard error, where panics write; invalid UTF-8 is replaced.
    pub stderr: String,
}

/// What came of a run.
#[derive(Debug, Clone)]
pub struct RunOutcome {
    /// The report, or why there is none.
    pub result: Result<Report, Failure>,
    /// What it used up.
    pub usage: Usage,
    /// What it said on the side.
    pub logs: Logs,
    /// The sentences of everything that the host refused, once each, at most 16.
    pub denials: Vec<String>,
    /// What it used beyond its grants, where it was to [learn](crate::grant::GrantSet::learning) what it needs; as narrow as it
    /// was used. Empty for every other run.
    pub learned: Vec<crate::grant::Grant>,
    /// When it started, in milliseconds since 1970.
    pub started_at_unix_ms: u64,
}

impl RunOutcome {
    /// Of a run that didn't begin.
    pub(super) fn refused(failure: Failure) -> Self {
        Self {
            result: Err(failure),
            usage: Usage::default(),
            logs: Logs::default(),
            denials: Vec::new(),
            learned: Vec::new(),
            started_at_unix_ms: super::call::unix_ms(),
        }
    }
}
