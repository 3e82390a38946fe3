//! `agent-host init`.

use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use picket_identity::name::{AgentName, TenantSlug};

use super::CliError;
use super::output;
use crate::spool::disk::{Disk, RealDisk};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The tenant that this agent belongs to
    #[arg(long)]
    tenant: TenantSlug,
    /// The agent's name
    #[arg(long)]
    name: AgentName,
    /// Where to write agent.toml and the folders
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    dir: PathBuf,
    /// The address that gateways will connect to
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:7443")]
    listen: SocketAddr,
}

pub(super) fn init(args: &Args) -> Result<ExitCode, CliError> {
    let config = args.dir.join("agent.toml");
    if config.exists() {
        return Err(CliError::Exists(config));
    }
    for folder in ["data", "checkers", "checks.d", "identity", "secrets"] {
        make_folder(&args.dir.join(folder))?;
    }
    // Last: where it exists, everything else does.
    write(&config, text(args).as_bytes())?;
    output::line(config.display().to_string())?;
    let mut talk = std::io::stderr().lock();
    writeln!(
        talk,
        "Next: have the platform's operator run\n  platform agent add --tenant {} --name {} --endpoint THIS-HOST:{} --out {}.enroll\nand then, with that file, which is a secret:\n  agent-host enroll {}.enroll --config {}",
        args.tenant,
        args.name,
        args.listen.port(),
        args.name,
        args.name,
        config.display(),
    )?;
    Ok(ExitCode::SUCCESS)
}

fn make_folder(path: &Path) -> Result<(), CliError> {
    let made = std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path);
    made.map_err(|source| CliError::Io {
        action: "make",
        path: path.to_path_buf(),
        source,
    })
}

fn write(path: &Path, text: &[u8]) -> Result<(), CliError> {
    RealDisk.replace(path, text).map_err(|source| CliError::Io {
        action: "write",
        path: path.to_path_buf(),
        source,
    })
}

fn text(args: &Args) -> String {
    format!(
        r#"# The agent {name} of tenant {tenant}. Relative paths start at this file.

# Where gateways connect to, over mutual TLS.
listen = "{listen}"
# Results that wait for a gateway, compiled checkers, checkers' state.
data_dir = "data"
# Drop *.wasm here; no restart is needed.
checkers_dir = "checkers"
# Drop *.toml with checks here; no restart is needed.
checks_dir = "checks.d"
identity_dir = "identity"
# One file for each secret, readable by this user alone. A credential of the service (systemd's LoadCredential=) goes first.
secrets_dir = "secrets"

[spool]
# Beyond it the oldest results are dropped, and the platform shows the gap.
quota = "256 MiB"

[limits]
concurrent_runs = 32
# For each run.
memory = "64 MiB"
cpu = "1s"
# Over the network, in and out together.
bytes = "64 MiB"

[signatures]
# "require" compiles nothing that no publisher below signed, "warn" runs it and shows that, "off" doesn't look.
policy = "warn"

# [[signatures.publisher]]
# name = "Acme Monitoring"
# key = "picket-ed25519:…"

# Compiling a checker, which a child process does, once; "pulley" for machines that forbid new native code.
# [sandbox]
# engine = "native"
# compile_memory = "2 GiB"
# compile_cpu = "60s"

# Prometheus metrics, on loopback only.
# [metrics]
# listen = "127.0.0.1:9464"
"#,
        name = args.name,
        tenant = args.tenant,
        listen = args.listen,
    )
}
