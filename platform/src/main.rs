//! The platform's program: arguments, log, runtime, exit code.

use std::io::IsTerminal as _;
use std::process::ExitCode;

use clap::Parser as _;
use picket_platform::cli::arguments::{Arguments, LogFormat};
use picket_platform::cli::{self, CliError};
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    log_to_stderr(arguments.log_format);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return report(CliError::Runtime(error.to_string())),
    };
    match runtime.block_on(cli::run(arguments)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => report(error),
    }
}

fn log_to_stderr(format: LogFormat) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(colour);
    match format {
        LogFormat::Text => builder.init(),
        LogFormat::Json => builder.json().init(),
    }
}

fn report(error: CliError) -> ExitCode {
    let code = ExitCode::from(error.exit_code());
    match error {
        CliError::Config(error) => eprintln!("{:?}", miette::Report::new(error)),
        error => eprintln!("error: {error}"),
    }
    code
}
