//! The program: arguments, log, runtime, exit code.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use picket_agent_host::cli::{Cli, LogFormat};
use picket_agent_host::privileges;
use picket_sandbox::component::compile::worker;
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    // Before anything is set up: a compiler needs none of it, and its limits come before the first byte of a component.
    if is_compiler() {
        return worker::serve();
    }
    if let Err(error) = privileges::drop() {
        let _ = writeln!(std::io::stderr(), "error: can't give up privileges: {error}");
        return ExitCode::from(70);
    }
    let cli = Cli::parse();
    match start(cli) {
        Ok(code) => code,
        Err(error) => {
            // Nothing is left to tell it to if stderr is gone.
            let _ = writeln!(std::io::stderr(), "error: {error:#}");
            // EX_SOFTWARE, a bug; EX_* are those of sysexits.h.
            ExitCode::from(70)
        }
    }
}

fn is_compiler() -> bool {
    let mut arguments = std::env::args_os().skip(1);
    arguments.next().is_some_and(|first| first == worker::ARGUMENT) && arguments.next().is_none()
}

fn start(cli: Cli) -> anyhow::Result<ExitCode> {
    log_to_stderr(&cli);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("the system refuses threads; look at the limits of this user (ulimit -u)")?;
    let executed = runtime.block_on(cli.execute());
    // What still runs has been drained, or is abandoned on purpose.
    runtime.shutdown_background();
    Ok(executed.unwrap_or_else(|error| {
        let _ = std::io::stderr().write_all(error.render().as_bytes());
        error.exit_code()
    }))
}

fn log_to_stderr(cli: &Cli) {
    // A command's own errors are its answer; the log of what it loads on the way would only be in between.
    let default = if cli.is_run() { "info" } else { "off" };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    let is_coloured = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(is_coloured);
    match cli.log_format {
        LogFormat::Text => log.init(),
        LogFormat::Json => log.json().init(),
    }
}
