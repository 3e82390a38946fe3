//! `agent-host checker …`.

mod abilities;
mod asked;
mod confirm;
mod inspect;
mod install;
mod list;
mod remove;
mod sign;
mod verify;

use std::process::ExitCode;

use super::CliError;
use crate::catalogue::Catalogue;
use crate::runner::Checks;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Every file in the checkers folder, who signed it, and which checks use it
    List(list::Args),
    /// What a file is, what it can't do, and what a configuration needs
    Inspect(inspect::Args),
    /// Verify a file and put it into the checkers folder
    Install(install::Args),
    /// Who signed the installed checkers, and whether agent.toml trusts them
    Verify(verify::Args),
    /// Take a checker out of the checkers folder
    Remove(remove::Args),
    /// Make a key to sign checkers with
    Keygen(sign::KeygenArgs),
    /// Sign a checker
    Sign(sign::SignArgs),
}

pub(super) async fn checker(command: Command) -> Result<ExitCode, CliError> {
    match command {
        Command::List(args) => list::list(&args).await,
        Command::Inspect(args) => inspect::inspect(&args).await,
        Command::Install(args) => install::install(&args).await,
        Command::Verify(args) => verify::verify(&args),
        Command::Remove(args) => remove::remove(&args).await,
        Command::Keygen(args) => sign::keygen(&args),
        Command::Sign(args) => sign::sign(&args).await,
    }
}

/// The checks that a file's checker is for.
fn users(catalogue: &Catalogue, checks: &Checks, stem: &str) -> Vec<String> {
    let means = |wanted: &str| catalogue.find_entry(wanted).is_ok_and(|(found, _)| found == stem);
    checks
        .values()
        .filter(|check| check.config.as_ref().is_some_and(|config| means(&config.checker)))
        .map(|check| check.name.to_string())
        .collect()
}

/// A list in a sentence or a cell.
fn listed(items: &[String]) -> String {
    if items.is_empty() {
        "-".to_owned()
    } else {
        items.join(", ")
    }
}
