//! `agent-host run`.

use std::path::PathBuf;
use std::process::ExitCode;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{CliError, ConfigArg};
use crate::app::{App, StartError, ready};
use crate::config::AgentConfig;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    config: ConfigArg,
    /// Write a JSON file with the addresses once everything listens
    #[arg(long, value_name = "FILE")]
    ready_file: Option<PathBuf>,
}

pub(super) async fn run(args: Args) -> Result<ExitCode, CliError> {
    let config = AgentConfig::load(&args.config.config)?;
    let compiler = super::compiler(&config);
    // Listened for before anything starts: an early signal ends the program in order, too.
    let mut terminate = listen_for(SignalKind::terminate())?;
    let mut interrupt = listen_for(SignalKind::interrupt())?;
    let running = tokio::select! {
        started = App::start(config, compiler) => started?,
        _ = terminate.recv() => return Ok(ExitCode::SUCCESS),
        _ = interrupt.recv() => return Ok(ExitCode::SUCCESS),
    };
    if let Some(path) = &args.ready_file
        && let Err(source) = ready::write_file(path, &running.addresses())
    {
        running.stop().await;
        return Err(CliError::Io {
            action: "write",
            path: path.clone(),
            source,
        });
    }
    ready::notify();
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    ready::notify_stopping();
    running.stop().await;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn listen_for(kind: SignalKind) -> Result<Signal, CliError> {
    signal(kind).map_err(|error| CliError::Start(StartError::Threads(error)))
}
