//! `gateway enroll`.

use std::path::PathBuf;

use clap::Args;
use picket_identity::bundle::BundleError;

use super::exit::Failed;
use super::{ConfigArgs, output};
use crate::platform::{GatewayIdentity, IdentityError};

#[derive(Debug, Args)]
pub(super) struct EnrollArgs {
    /// What `platform gateway add` wrote.
    bundle: PathBuf,
    #[command(flatten)]
    config: ConfigArgs,
}

pub(super) fn enroll(args: &EnrollArgs) -> Result<(), Failed> {
    let config = args.config.load()?;
    let identity = GatewayIdentity::enroll(&config, &args.bundle).map_err(|error| match &error {
        // Somebody's identity, rather than a file that can't be read.
        IdentityError::Foreign { .. } => Failed::refused(&error),
        IdentityError::Bundle { source, .. } if is_about_identity(source) => Failed::refused(&error),
        _ => Failed::misconfigured(&error),
    })?;
    output::line(&format!("{}\n", identity.credential().id()))
}

const fn is_about_identity(error: &BundleError) -> bool {
    matches!(
        error,
        BundleError::Refused(_)
            | BundleError::Credential(_)
            | BundleError::Trust(_)
            | BundleError::Role { .. }
            | BundleError::OtherId { .. }
    )
}
