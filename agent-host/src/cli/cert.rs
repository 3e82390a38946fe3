//! `agent-host cert show`.

use std::process::ExitCode;

use picket_identity::verify;
use serde_json::json;

use super::{CliError, ConfigArg, Format, OutputArg, output};
use crate::config::AgentConfig;
use crate::identity::AgentIdentity;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Whose it is, and how long it is good for
    Show(ShowArgs),
}

#[derive(Debug, clap::Args)]
pub(super) struct ShowArgs {
    #[command(flatten)]
    config: ConfigArg,
    #[command(flatten)]
    output: OutputArg,
}

pub(super) fn cert(command: Command) -> Result<ExitCode, CliError> {
    let Command::Show(args) = command;
    let config = AgentConfig::load(&args.config.config)?;
    let loaded = AgentIdentity::load(&config.identity_dir)?;
    let (identity, verified) = (loaded.identity(), loaded.identity().verified());
    let days_left = verified
        .not_after()
        .as_secs()
        .saturating_sub(verify::now().as_secs())
        / 86_400;
    let not_before_ms = verify::unix_millis(verified.not_before());
    let not_after_ms = verify::unix_millis(verified.not_after());
    match args.output.output {
        Format::Json => output::json(&json!({
            "spiffe_id": identity.id().to_string(),
            "common_name": identity.id().common_name(),
            "serial": verified.serial().to_string(),
            "not_before_unix_ms": not_before_ms,
            "not_after_unix_ms": not_after_ms,
            "days_left": days_left,
            "trusted_gateway_cas": identity.peers().cas().len(),
        }))?,
        Format::Table => {
            let rows = [
                ("SPIFFE ID", identity.id().to_string()),
                ("common name", identity.id().common_name()),
                ("serial", verified.serial().to_string()),
                ("valid from", output::time(not_before_ms)),
                (
                    "valid until",
                    format!("{} ({days_left} days)", output::time(not_after_ms)),
                ),
                ("gateway CAs", identity.peers().cas().len().to_string()),
            ];
            let rows: Vec<_> = rows
                .into_iter()
                .map(|(name, value)| vec![name.to_owned(), value])
                .collect();
            output::table(&["CERTIFICATE", ""], &rows)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
