//! `gateway run`.

use std::io;
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};

use super::ConfigArgs;
use super::exit::Failed;
use crate::app::{Addresses, App, StartError};

#[derive(Debug, Args)]
pub(super) struct RunArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Written once the platform has told this gateway its agents: the process id and the addresses, as JSON.
    #[arg(long, value_name = "PATH")]
    ready_file: Option<PathBuf>,
}

#[derive(Serialize)]
struct Ready {
    pid: u32,
    addresses: Addresses,
}

pub(super) async fn run(args: RunArgs) -> Result<(), Failed> {
    let config = args.config.load()?;
    let no_signals = |error| Failed::unavailable(format!("signals can't be awaited: {error}"));
    let mut terminated = signal(SignalKind::terminate()).map_err(no_signals)?;
    let mut interrupted = signal(SignalKind::interrupt()).map_err(no_signals)?;
    let running = App::start(config).await.map_err(|error| match error {
        StartError::Identity(error) => Failed::from(error),
        error @ StartError::Listen { .. } => Failed::unavailable(error),
    })?;
    let mut joined = running.joined();
    let ready = async {
        // The sender lives as long as the gateway: this ends only when there is something to say.
        let _ = joined.wait_for(|joined| *joined).await;
        if let Some(path) = &args.ready_file {
            write_ready(path, running.addresses()).map_err(|error| {
                Failed::misconfigured(format!("--ready-file {}: {error}", path.display()))
            })?;
        }
        std::future::pending::<Result<(), Failed>>().await
    };
    let outcome = tokio::select! {
        failed = ready => failed,
        _ = terminated.recv() => Ok(()),
        _ = interrupted.recv() => Ok(()),
    };
    running.stop().await;
    outcome
}

/// Whole or not at all: whoever waits for the file reads it as soon as it is there.
fn write_ready(path: &Path, addresses: Addresses) -> io::Result<()> {
    let ready = Ready {
        pid: std::process::id(),
        addresses,
    };
    let text = serde_json::to_vec(&ready)?;
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(format!(".{}", ready.pid));
    let temporary = PathBuf::from(temporary);
    std::fs::write(&temporary, text)?;
    std::fs::rename(&temporary, path)
}
