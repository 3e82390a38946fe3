//! The command line: data on stdout, talk on stderr, and exit codes that scripts can rely on.

use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};
use tracing_subscriber::EnvFilter;

use crate::config::Config;

mod cert;
mod enroll;
mod exit;
mod identity;
mod init;
mod output;
mod probe;
mod run;

use exit::Failed;

/// The gateway: dials agents, proves who they are, pulls their results and hands them to the platform.
#[derive(Debug, Parser)]
#[command(name = "gateway", version, after_help = exit::HELP)]
struct Cli {
    /// How log lines on stderr look.
    #[arg(long, value_enum, default_value_t = LogFormat::Text, global = true)]
    log_format: LogFormat,
    #[command(subcommand)]
    command: Command,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum LogFormat {
    Text,
    Json,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Write gateway.toml, a private key, and a request for a certificate.
    Init(init::InitArgs),
    /// Verify and install the bundle that `platform gateway add` wrote.
    Enroll(enroll::EnrollArgs),
    /// Join the platform and poll agents until told to stop (SIGTERM, SIGINT).
    Run(run::RunArgs),
    /// Dial one agent once, and say how each step went.
    Probe(probe::ProbeArgs),
    /// This gateway's own certificate.
    #[command(subcommand)]
    Cert(CertCommand),
    /// Try the verifier of the handshake on files and texts.
    #[command(subcommand)]
    Identity(identity::IdentityCommand),
}

#[derive(Debug, Subcommand)]
enum CertCommand {
    /// Show it.
    Show(cert::ShowArgs),
}

/// Where the configuration is.
#[derive(Debug, Args)]
struct ConfigArgs {
    /// The configuration file.
    #[arg(long, default_value = "gateway.toml", env = "PICKET_GATEWAY_CONFIG")]
    config: PathBuf,
}

impl ConfigArgs {
    fn load(&self) -> Result<Config, Failed> {
        Config::load(&self.config).map_err(Failed::configuration)
    }
}

/// Runs the program.
#[must_use]
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are asked for; everything else is wrong usage.
            let code = if error.use_stderr() { exit::USAGE } else { exit::OK };
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    start_logging(cli.log_format);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return Failed::unavailable(format!("no runtime: {error}")).report(),
    };
    // A defect has an exit code of its own; where it is was said by the panic itself.
    let outcome = std::panic::catch_unwind(AssertUnwindSafe(|| runtime.block_on(dispatch(cli.command))));
    // A task that hangs in a name lookup must not hold up the exit.
    runtime.shutdown_background();
    match outcome {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(failed)) => failed.report(),
        Err(_) => ExitCode::from(exit::BUG),
    }
}

async fn dispatch(command: Command) -> Result<(), Failed> {
    match command {
        Command::Init(args) => init::init(&args),
        Command::Enroll(args) => enroll::enroll(&args),
        Command::Run(args) => run::run(args).await,
        Command::Probe(args) => probe::probe(args).await,
        Command::Cert(CertCommand::Show(args)) => cert::show(&args).await,
        Command::Identity(command) => identity::run(&command),
    }
}

fn start_logging(format: LogFormat) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    // A second start in one process keeps the first one's format.
    let _ = match format {
        LogFormat::Text => lines.with_ansi(colours()).try_init(),
        LogFormat::Json => lines.json().try_init(),
    };
}

fn colours() -> bool {
    use std::io::IsTerminal as _;
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
