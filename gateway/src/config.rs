//! `gateway.toml`: read whole, every problem reported at once with its line, unknown keys refused.

use std::net::SocketAddr;
use std::ops::Range;
use std::path::{Path, PathBuf};

use miette::{Diagnostic, LabeledSpan, NamedSource};
use picket_identity::name::GatewayName;
use picket_identity::spiffe::{SpiffeId, TrustDomain};
use picket_workload::Socket;
use toml::de::{DeTable, DeValue};

use self::section::{Section, text, unsigned};

mod section;

/// What a gateway is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Its name; the one in its certificate.
    pub name: GatewayName,
    /// The platform's address, `host:port`.
    pub platform: String,
    /// Where its key and certificate come from.
    pub identity: IdentitySource,
    /// Where given, the trust domain that its certificate must be in.
    pub trust_domain: Option<TrustDomain>,
    /// Where it stands, for the platform's planner; empty where that doesn't matter.
    pub zone: String,
    /// How many agents it takes in proportion to others.
    pub weight: u32,
    /// What it does at once.
    pub limits: Limits,
    /// Where `/metrics` is served, a loopback address; not at all where absent.
    pub metrics: Option<SocketAddr>,
}

/// Where a gateway's key and certificate come from, and what it trusts the platform by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IdentitySource {
    /// A folder, filled by `gateway enroll` and by renewals.
    Folder(PathBuf),
    /// The socket of a Workload API. Nothing of it is written to a disk.
    WorkloadApi {
        /// Where it is.
        socket: Socket,
        /// Who this gateway has to be there.
        id: SpiffeId,
    },
}

impl IdentitySource {
    /// The folder, where it is one.
    pub fn folder(&self) -> Option<&Path> {
        match self {
            Self::Folder(folder) => Some(folder),
            Self::WorkloadApi { .. } => None,
        }
    }
}

/// Caps on what a gateway does at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Polls in flight. Each holds at most a few batches of 256 KiB.
    pub polls: usize,
    /// Dials in flight. A full mutual handshake costs about 0.2 ms of CPU here, a dead address a socket for seconds.
    pub dials: usize,
    /// Batches that the platform hasn't answered yet; what bounds the gateway's memory.
    pub submits: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            polls: 512,
            dials: 64,
            submits: 128,
        }
    }
}

/// Everything that is wrong with a configuration file.
#[derive(Debug, thiserror::Error)]
#[error("{} can't be used: {}", .path.display(), count(.problems.len()))]
pub struct ConfigError {
    path: PathBuf,
    source_code: NamedSource<String>,
    problems: Vec<Problem>,
}

fn count(problems: usize) -> String {
    match problems {
        1 => "1 problem".to_owned(),
        many => format!("{many} problems"),
    }
}

impl ConfigError {
    /// The problems, in the order of the file.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

impl Diagnostic for ConfigError {
    fn source_code(&self) -> Option<&dyn miette::SourceCode> {
        Some(&self.source_code)
    }

    fn related<'a>(&'a self) -> Option<Box<dyn Iterator<Item = &'a dyn Diagnostic> + 'a>> {
        Some(Box::new(
            self.problems.iter().map(|problem| problem as &dyn Diagnostic),
        ))
    }
}

/// One problem in a configuration file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Problem {
    /// What is wrong.
    pub message: String,
    /// What to do, where that isn't plain from the message.
    pub help: Option<String>,
    /// Where, in bytes; absent where there is no file to point into.
    pub span: Option<Range<usize>>,
}

impl Diagnostic for Problem {
    fn help<'a>(&'a self) -> Option<Box<dyn std::fmt::Display + 'a>> {
        self.help
            .as_ref()
            .map(|help| Box::new(help) as Box<dyn std::fmt::Display>)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let span = self.span.clone()?;
        Some(Box::new(std::iter::once(LabeledSpan::new_with_span(
            Some("here".to_owned()),
            span,
        ))))
    }
}

const KEYS: &[&str] = &[
    "name",
    "platform",
    "identity_dir",
    "identity",
    "trust_domain",
    "zone",
    "weight",
    "limits",
    "metrics",
];

impl Config {
    /// Reads the file at `path`.
    ///
    /// # Errors
    /// Everything that is wrong with it, at once.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        match std::fs::read_to_string(path) {
            Ok(source) => Self::parse(&source, path),
            Err(error) => Err(ConfigError {
                path: path.to_owned(),
                source_code: NamedSource::new(path.display().to_string(), String::new()),
                problems: vec![Problem {
                    message: format!("the file can't be read: {error}"),
                    help: Some("name another with --config, or make one with `gateway init`".to_owned()),
                    span: None,
                }],
            }),
        }
    }

    /// Reads `source`; `path` is where it is from, and what relative paths in it are relative to.
    ///
    /// # Errors
    /// Everything that is wrong with it, at once.
    pub fn parse(source: &str, path: &Path) -> Result<Self, ConfigError> {
        let (table, syntax) = DeTable::parse_recoverable(source);
        let mut problems: Vec<Problem> = syntax
            .iter()
            .map(|error| Problem {
                message: error.message().to_owned(),
                help: None,
                span: error.span(),
            })
            .collect();
        // A table that was only half understood would be reported as one that lacks keys.
        let config = if problems.is_empty() {
            let folder = path.parent().unwrap_or(Path::new(""));
            read(table.get_ref(), folder, &mut problems)
        } else {
            None
        };
        match config {
            Some(config) if problems.is_empty() => Ok(config),
            _ => {
                problems.sort_by_key(|problem| problem.span.as_ref().map(|span| span.start));
                Err(ConfigError {
                    path: path.to_owned(),
                    source_code: NamedSource::new(path.display().to_string(), source.to_owned()),
                    problems,
                })
            }
        }
    }
}

/// `None` only where a problem was reported.
fn read(table: &DeTable<'_>, folder: &Path, problems: &mut Vec<Problem>) -> Option<Config> {
    let mut root = Section::root(table, KEYS, problems);
    let name = root.required("name", |value| text(value)?.parse().map_err(|e| format!("{e}")));
    let platform = root.required("platform", |value| host_and_port(text(value)?));
    let mut identity = root.table("identity", &["workload_api"]);
    let by_workload_api = identity.is_present();
    let socket: Option<Socket> = if by_workload_api {
        identity.required("workload_api", |value| {
            text(value)?.parse().map_err(|e| format!("{e}"))
        })
    } else {
        None
    };
    let identity_dir = if by_workload_api {
        // Which of the two would be in force, nobody should have to guess.
        root.optional("identity_dir", |_| {
            Err::<PathBuf, _>(
                "key and certificate come from [identity] workload_api; leave one of the two out".to_owned(),
            )
        })
    } else {
        root.required("identity_dir", |value| Ok(folder.join(text(value)?)))
    };
    let read_domain = |value: &DeValue<'_>| text(value)?.parse().map_err(|e| format!("{e}"));
    let trust_domain: Option<TrustDomain> = if by_workload_api {
        // No bundle of the platform's says it.
        root.required("trust_domain", read_domain)
    } else {
        root.optional("trust_domain", read_domain)
    };
    let zone = root.optional("zone", |value| Ok(text(value)?.to_owned()));
    let weight = root.optional("weight", |value| unsigned(value, 1, 1000));

    let default = Limits::default();
    let mut limits = root.table("limits", &["polls", "dials", "submits"]);
    let polls = limits.optional("polls", |value| unsigned(value, 1, 100_000));
    let dials = limits.optional("dials", |value| unsigned(value, 1, 10_000));
    let submits = limits.optional("submits", |value| unsigned(value, 1, 10_000));

    let mut metrics = root.table("metrics", &["listen"]);
    let listen = if metrics.is_present() {
        metrics.required("listen", |value| loopback(text(value)?))
    } else {
        None
    };
    let name: GatewayName = name?;
    let identity = if by_workload_api {
        IdentitySource::WorkloadApi {
            socket: socket?,
            id: SpiffeId::Gateway {
                platform: trust_domain.clone()?,
                gateway: name.clone(),
            },
        }
    } else {
        IdentitySource::Folder(identity_dir?)
    };
    Some(Config {
        name,
        platform: platform?,
        identity,
        trust_domain,
        zone: zone.unwrap_or_default(),
        weight: weight.unwrap_or(1),
        limits: Limits {
            polls: polls.map_or(default.polls, |n: u32| n as usize),
            dials: dials.map_or(default.dials, |n: u32| n as usize),
            submits: submits.map_or(default.submits, |n: u32| n as usize),
        },
        metrics: listen,
    })
}

/// Checks that a text is `host:port`, with an IPv6 address in brackets.
///
/// # Errors
/// A sentence with what was found and what was expected.
pub fn host_and_port(text: &str) -> Result<String, String> {
    let wrong = |why: &str| {
        Err(format!(
            "`{text}` {why}; expected HOST:PORT, for example \"platform.example:7600\" or \"[2001:db8::1]:7600\""
        ))
    };
    let Some((host, port)) = text.rsplit_once(':') else {
        return wrong("has no port");
    };
    if !port.parse::<u16>().is_ok_and(|port| port > 0) {
        return wrong("has no port from 1 to 65535 after its last colon");
    }
    let bracketed = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let is_host = match bracketed {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            !host.is_empty()
                && host
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
        }
    };
    if is_host {
        Ok(text.to_owned())
    } else {
        wrong("has no host name or address before its port")
    }
}

/// Metrics tell who our customers are: they are served to this machine only.
fn loopback(text: &str) -> Result<SocketAddr, String> {
    let address: SocketAddr = text
        .parse()
        .map_err(|_| format!("`{text}` isn't an address; expected one such as \"127.0.0.1:9465\""))?;
    if address.ip().is_loopback() {
        Ok(address)
    } else {
        Err(format!(
            "`{text}` isn't a loopback address; expected one such as \"127.0.0.1:9465\", behind a proxy that asks \
             who is there"
        ))
    }
}

#[cfg(test)]
mod tests;
