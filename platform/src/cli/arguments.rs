//! What can be said on the command line.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use picket_identity::Serial;
use picket_identity::name::{AgentName, GatewayName, TenantSlug};
use picket_identity::spiffe::TrustDomain;

/// The platform: tenants, onboarding and CA, coordination, ingest, alerts, API and web UI.
#[derive(Debug, Parser)]
#[command(name = "platform", version)]
pub struct Arguments {
    /// How log lines on standard error are written. What is logged is set by `RUST_LOG`.
    #[arg(long, global = true, value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// How data is written to standard output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Table,
    /// One JSON document.
    Json,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a new installation: configuration, database, root, gateway CA and platform CA.
    Init(Init),
    /// Serve gateways, browsers and programs.
    Serve(Serve),
    /// Add, suspend, delete and list tenants.
    #[command(subcommand)]
    Tenant(TenantCommand),
    /// Register and list agents.
    #[command(subcommand)]
    Agent(AgentCommand),
    /// Register and list gateways.
    #[command(subcommand)]
    Gateway(GatewayCommand),
    /// Make bearer tokens for the API.
    #[command(subcommand)]
    Token(TokenCommand),
    /// Make a one-time token to sign in to the web UI with.
    SigninToken(At),
    /// Show and rotate the certificate authorities.
    #[command(subcommand)]
    Ca(CaCommand),
    /// List jobs, and have one done now.
    #[command(subcommand)]
    Job(JobCommand),
}

/// On which installation.
#[derive(Debug, Args)]
pub struct At {
    /// The configuration.
    #[arg(long, default_value = "platform.toml", env = "PICKET_PLATFORM_CONFIG")]
    pub config: PathBuf,
}

/// On which installation, and how to show it.
#[derive(Debug, Args)]
pub struct Listing {
    #[command(flatten)]
    /// On which installation.
    pub at: At,
    /// How to show it.
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    pub output: Format,
}

/// `init`.
#[derive(Debug, Args)]
pub struct Init {
    /// Where configuration, database and keys will be.
    #[arg(long)]
    pub data_dir: PathBuf,
    /// The platform's SPIFFE trust domain, for example `picket.example`. It never changes.
    #[arg(long)]
    pub trust_domain: TrustDomain,
    /// A name or address by which browsers reach the platform, besides localhost. May be given several times.
    #[arg(long = "name")]
    pub names: Vec<String>,
    /// The file with the key that the authorities' keys are encrypted with: made where there is none. Never inside of the
    /// data folder; beside it where nothing is said, or none at all where PICKET_CA_KEY or a systemd credential gives it.
    #[arg(long)]
    pub encryption_key_file: Option<PathBuf>,
}

/// `serve`.
#[derive(Debug, Args)]
pub struct Serve {
    #[command(flatten)]
    /// On which installation.
    pub at: At,
    /// A JSON file with process id and addresses, written once everything listens.
    #[arg(long)]
    pub ready_file: Option<PathBuf>,
}

/// `tenant`.
#[derive(Debug, Subcommand)]
pub enum TenantCommand {
    /// Add a tenant and make its certificate authority.
    Add {
        /// Its slug: part of all its identities.
        slug: TenantSlug,
        /// What people call it; the slug where it isn't given.
        #[arg(long)]
        name: Option<String>,
        /// The file of the root's key, where that was moved out of the key folder.
        #[arg(long)]
        root_key: Option<PathBuf>,
        #[command(flatten)]
        /// On which installation.
        at: At,
    },
    /// Stop all work for a tenant, until it is resumed: its agents are polled no more, nothing is issued for it, its results
    /// are refused.
    Suspend {
        /// Its slug.
        slug: TenantSlug,
        #[command(flatten)]
        /// On which installation.
        at: At,
    },
    /// Take up the work for a suspended tenant again.
    Resume {
        /// Its slug.
        slug: TenantSlug,
        #[command(flatten)]
        /// On which installation.
        at: At,
    },
    /// Delete a tenant for good: revoke its authority and certificates, destroy its keys, remove its data. Its slug can
    /// never be used again.
    Delete {
        /// Its slug.
        slug: TenantSlug,
        /// Yes, really: nothing brings it back.
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        /// On which installation.
        at: At,
    },
    /// List tenants.
    List(Listing),
}

/// An agent, as it is named everywhere: TENANT/AGENT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentPath {
    /// Whose it is.
    pub tenant: TenantSlug,
    /// Its name.
    pub name: AgentName,
}

impl FromStr for AgentPath {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (tenant, name) = text
            .split_once('/')
            .ok_or_else(|| "expected TENANT/AGENT, for example acme/berlin-1".to_owned())?;
        Ok(Self {
            tenant: tenant.parse().map_err(|error| format!("{error}"))?,
            name: name.parse().map_err(|error| format!("{error}"))?,
        })
    }
}

impl fmt::Display for AgentPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.tenant, self.name)
    }
}

/// `agent`.
#[derive(Debug, Subcommand)]
pub enum AgentCommand {
    /// Register an agent, and write the file that it enrols with.
    Add(AgentAdd),
    /// Change where an agent is found, or how often it is polled. Its certificate stays.
    Set(AgentSet),
    /// Revoke an agent's certificates: it is refused from now on, and cut off within seconds.
    Revoke {
        /// Which: TENANT/AGENT.
        agent: AgentPath,
        /// Only the certificate with this serial number.
        #[arg(long)]
        serial: Option<Serial>,
        #[command(flatten)]
        /// On which installation.
        at: At,
    },
    /// Approve that an agent whose certificate has expired gets another.
    Approve {
        /// Which: TENANT/AGENT.
        agent: AgentPath,
        #[command(flatten)]
        /// On which installation.
        at: At,
    },
    /// List agents.
    List {
        /// Only this tenant's.
        #[arg(long)]
        tenant: Option<TenantSlug>,
        #[command(flatten)]
        /// On which installation, and how to show it.
        listing: Listing,
    },
}

/// `agent add`.
#[derive(Debug, Args)]
pub struct AgentAdd {
    /// Whose it is.
    #[arg(long)]
    pub tenant: TenantSlug,
    /// Its name.
    #[arg(long)]
    pub name: AgentName,
    /// Where gateways find it: HOST:PORT.
    #[arg(long)]
    pub endpoint: String,
    /// The file for it to enrol with. It holds a one-time key, good for 24 hours: a secret until it is used.
    #[arg(long)]
    pub out: PathBuf,
    /// How often it is polled.
    #[arg(long, default_value = "10s", value_parser = humantime::parse_duration)]
    pub interval: Duration,
    /// How long it may stay away before it is called unreachable.
    #[arg(long, default_value = "60s", value_parser = humantime::parse_duration)]
    pub unreachable_after: Duration,
    /// It is registered already: give it this endpoint, and another file to enrol with. Its certificates stay good until
    /// the new one is in use; `agent revoke` ends them at once.
    #[arg(long)]
    pub replace: bool,
    #[command(flatten)]
    /// On which installation.
    pub at: At,
}

/// `agent set`.
#[derive(Debug, Args)]
#[group(id = "change", required = true, multiple = true, args = ["endpoint", "interval", "unreachable_after"])]
pub struct AgentSet {
    /// Which: TENANT/AGENT.
    pub agent: AgentPath,
    /// Where gateways find it: HOST:PORT.
    #[arg(long)]
    pub endpoint: Option<String>,
    /// How often it is polled.
    #[arg(long, value_parser = humantime::parse_duration)]
    pub interval: Option<Duration>,
    /// How long it may stay away before it is called unreachable.
    #[arg(long, value_parser = humantime::parse_duration)]
    pub unreachable_after: Option<Duration>,
    #[command(flatten)]
    /// On which installation.
    pub at: At,
}

/// `gateway`.
#[derive(Debug, Subcommand)]
pub enum GatewayCommand {
    /// Register a gateway and issue its certificate.
    Add {
        /// Its name.
        #[arg(long)]
        name: GatewayName,
        /// Its request (`gateway init` makes one), PEM or DER.
        #[arg(long, required_unless_present = "workload_api", requires = "out")]
        csr: Option<PathBuf>,
        /// The file for it to enrol with.
        #[arg(long, requires = "csr")]
        out: Option<PathBuf>,
        /// Its certificates come from a Workload API (SPIRE): there is nothing to issue, and its name is all that is
        /// registered. Prints the SPIFFE ID to register it with there.
        #[arg(long, conflicts_with_all = ["csr", "out"])]
        workload_api: bool,
        /// It is registered already: give it a new certificate in place of the old one.
        #[arg(long)]
        replace: bool,
        #[command(flatten)]
        /// On which installation.
        at: At,
    },
    /// Turn a gateway away for good: it is cut off within seconds, and agents are told to deny it.
    Revoke {
        /// Its name.
        name: GatewayName,
        #[command(flatten)]
        /// On which installation.
        at: At,
    },
    /// List gateways.
    List(Listing),
}

/// `token`.
#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Make a bearer token. It is shown once.
    Create {
        /// Its name: the actor in the audit log.
        #[arg(long)]
        name: String,
        /// The only tenant that it may see; all of them where none is given.
        #[arg(long)]
        tenant: Option<TenantSlug>,
        #[command(flatten)]
        /// On which installation.
        at: At,
    },
}

/// `ca`.
#[derive(Debug, Subcommand)]
pub enum CaCommand {
    /// Show the authorities: where each stands, and what it waits for. As a table the root's certificate follows in PEM.
    Show(Listing),
    /// Have another authority take the place of one. It is prepared now; the rest comes by itself, as soon as nobody would be
    /// cut off. Or take a single step by hand.
    Rotate(Rotate),
    /// Print the root's certificate in PEM and its SHA-256 fingerprint, or move its key out.
    ExportRoot {
        /// The file for the certificate; standard output where none is given.
        #[arg(long)]
        out: Option<PathBuf>,
        /// Move the root's key, encrypted as it is, to this file: what needs it takes it by --root-key from then on.
        #[arg(long)]
        with_key: Option<PathBuf>,
        #[command(flatten)]
        /// On which installation.
        at: At,
    },
    /// Encrypt the authorities' keys that an older version left in the clear.
    Encrypt {
        /// The file with the key to encrypt them with, where the configuration names none yet: made where there is none, and
        /// then named in the configuration. Beside the data folder where nothing is said.
        #[arg(long)]
        encryption_key_file: Option<PathBuf>,
        #[command(flatten)]
        /// On which installation.
        at: At,
    },
}

/// `ca rotate`.
#[derive(Debug, Args)]
pub struct Rotate {
    /// Which authority.
    #[arg(value_enum)]
    pub kind: RotateKind,
    /// Of which tenant, for `tenant`.
    #[arg(required_if_eq("kind", "tenant"))]
    pub slug: Option<TenantSlug>,
    /// Only this step, now.
    #[arg(long, value_enum)]
    pub step: Option<RotateStep>,
    /// Don't wait for anybody. Who doesn't know the new authority, or lives by the old one, is cut off.
    #[arg(long, requires = "step")]
    pub force: bool,
    /// The file of the root's key, where that was moved out of the key folder.
    #[arg(long)]
    pub root_key: Option<PathBuf>,
    #[command(flatten)]
    /// On which installation.
    pub at: At,
}

/// Which authority.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RotateKind {
    /// One tenant's, which its agents' certificates are by.
    Tenant,
    /// The one that gateways' certificates are by.
    Gateway,
    /// The one that the platform's own certificates are by.
    Platform,
    /// The anchor of all.
    Root,
}

/// A step of a rotation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RotateStep {
    /// The prepared one begins to issue.
    Activate,
    /// The one before it retires: what it issued is renewed.
    Taint,
    /// The retiring one isn't trusted any more; or the prepared one is given up.
    Revoke,
}

/// `job`.
#[derive(Debug, Subcommand)]
pub enum JobCommand {
    /// List the newest jobs: running, waiting, then those that ended.
    List(Listing),
    /// Have a scheduled job done now, by whichever platform process is free. Prints its id.
    Run {
        /// Its kind, for example `certificate-expiry` or `retention`.
        kind: String,
        #[command(flatten)]
        /// On which installation.
        at: At,
    },
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }
}
