//! The command line. Data goes to stdout, talk to stderr; exit codes: 0 ok, 1 found problems, 2 usage, 69 unavailable,
//! 70 a bug of ours, 77 refused, 78 configuration.

mod cert;
mod check;
mod checker;
mod enroll;
mod error;
mod init;
mod output;
mod run;
mod status;
mod top;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};
use picket_sandbox::component::{ChildCompiler, Compiler};

use crate::config::AgentConfig;

pub use error::CliError;

/// Runs checks in this network and holds their results until a gateway fetches them.
#[derive(Debug, Parser)]
#[command(name = "agent-host", version, arg_required_else_help = true)]
pub struct Cli {
    /// How log lines look.
    #[arg(long, value_enum, default_value_t = LogFormat::Text, global = true)]
    pub log_format: LogFormat,
    /// What to do.
    #[command(subcommand)]
    command: Command,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For programs: one JSON object a line.
    Json,
}

/// How data looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Table,
    /// For programs.
    Json,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ConfigArg {
    /// The configuration file.
    #[arg(
        long,
        value_name = "FILE",
        default_value = "agent.toml",
        env = "AGENT_HOST_CONFIG"
    )]
    pub(crate) config: PathBuf,
}

#[derive(Debug, clap::Args)]
pub(crate) struct OutputArg {
    /// How the output looks.
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    pub(crate) output: Format,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Write agent.toml and its folders
    Init(init::Args),
    /// Get the agent's certificate, with the file that the platform's operator sent
    Enroll(enroll::Args),
    /// Run the agent
    Run(run::Args),
    /// Look at checks and their configuration
    #[command(subcommand)]
    Check(check::Command),
    /// Look at checkers
    #[command(subcommand)]
    Checker(checker::Command),
    /// Look at the agent's certificate
    #[command(subcommand)]
    Cert(cert::Command),
    /// What the agent's folders say about it; also while it runs
    Status(status::Args),
    /// A live table of what the running agent's checks cost and how they stand
    Top(top::Args),
}

/// This program is its own compiler: `main` lets it be one where it is started as such.
pub(crate) fn compiler(config: &AgentConfig) -> Compiler {
    Compiler::Child(ChildCompiler::of_this_program(config.sandbox.compile.clone()))
}

impl Cli {
    /// Whether this is the program's long-running part, whose log is wanted without being asked for.
    #[must_use]
    pub fn is_run(&self) -> bool {
        matches!(self.command, Command::Run(_))
    }

    /// Does what was asked.
    ///
    /// # Errors
    /// It can't be done; the error knows the exit code.
    pub async fn execute(self) -> Result<ExitCode, CliError> {
        match self.command {
            Command::Init(args) => init::init(&args),
            Command::Enroll(args) => enroll::enroll(args).await,
            Command::Run(args) => run::run(args).await,
            Command::Check(command) => check::check(command).await,
            Command::Checker(command) => checker::checker(command).await,
            Command::Cert(command) => cert::cert(command),
            Command::Status(args) => status::status(&args).await,
            Command::Top(args) => top::top(&args).await,
        }
    }
}
