//! `agent-host checker remove`.

use std::process::ExitCode;

use serde_json::json;

use super::users;
use crate::catalogue::folder;
use crate::cli::{CliError, ConfigArg, Format, OutputArg, output};
use crate::config::AgentConfig;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// The checker as a check names it: NAME or NAME@VERSION
    name: String,
    /// Also where checks use it; they can't run then
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    config: ConfigArg,
    #[command(flatten)]
    output: OutputArg,
}

pub(super) async fn remove(args: &Args) -> Result<ExitCode, CliError> {
    let config = AgentConfig::load(&args.config.config)?;
    let reloader = crate::cli::check::look(&config).await?;
    let inventory = reloader.inventory();
    let (catalogue, checks) = (inventory.catalogue.load_full(), inventory.checks.load_full());
    let (stem, entry) = catalogue
        .find_entry(&args.name)
        .map_err(|error| CliError::Unknown(error.to_string()))?;
    let users = users(&catalogue, &checks, stem);
    if !users.is_empty() && !args.force {
        return Err(CliError::Refused(format!(
            "{} is used by {}: let them use another checker, remove them from {}, or add --force. Nothing was changed",
            entry.file.display(),
            users.join(", "),
            config.checks_dir.display(),
        )));
    }
    folder::remove(&entry.file).map_err(|source| CliError::Io {
        action: "remove",
        path: entry.file.clone(),
        source,
    })?;
    match args.output.output {
        Format::Json => output::json(&json!({
            "removed": entry.file.display().to_string(), "used_by": users,
        }))?,
        Format::Table => output::line(format!("removed {}", entry.file.display()))?,
    }
    Ok(ExitCode::SUCCESS)
}
