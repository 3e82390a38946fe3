//! `agent-host enroll`.

use std::path::PathBuf;
use std::process::ExitCode;

use picket_identity::bundle::{self, BundleError};
use picket_identity::spiffe::SpiffeId;
use picket_identity::verify;

use super::{CliError, ConfigArg, output};
use crate::config::AgentConfig;
use crate::identity::IdentityError;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The file that `platform agent add` wrote
    #[arg(value_name = "BUNDLE.json")]
    bundle: PathBuf,
    #[command(flatten)]
    config: ConfigArg,
}

pub(super) fn enroll(args: &Args) -> Result<ExitCode, CliError> {
    let config = AgentConfig::load(&args.config.config)?;
    let refuse = |source: BundleError| CliError::Bundle {
        path: args.bundle.clone(),
        source: Box::new(source),
    };
    let read = bundle::read(&args.bundle).map_err(refuse)?;
    if !matches!(read.spiffe_id, SpiffeId::Agent { .. }) {
        // Installing a gateway's bundle here would make an agent that can't start.
        return Err(CliError::Identity(IdentityError::NotAnAgent {
            folder: config.identity_dir,
            id: Box::new(read.spiffe_id),
        }));
    }
    let identity = bundle::install(&config.identity_dir, &read, verify::now()).map_err(refuse)?;
    output::line(identity.id().to_string())?;
    Ok(ExitCode::SUCCESS)
}
