//! Administration. The commands work on the database directly, also while it is served: the other processes notice within
//! a second.

pub mod agents;
pub mod authorities;
pub mod gateways;
pub mod jobs;
pub mod tenants;
pub mod tokens;

use std::path::Path;

use picket_identity::bundle::IdentityBundle;

use super::{CliError, output};
use crate::authority::AuthorityError;

fn read_request(path: &Path) -> Result<Vec<u8>, CliError> {
    let bytes = std::fs::read(path).map_err(|source| CliError::File {
        action: "read the request",
        path: path.to_owned(),
        source,
    })?;
    Ok(picket_identity::pem::parse_request(&bytes).map_err(AuthorityError::from)?)
}

fn write_bundle(path: &Path, bundle: &IdentityBundle) -> Result<(), CliError> {
    let text = bundle
        .to_json()
        .map_err(|error| CliError::Runtime(error.to_string()))?;
    output::replace(path, &format!("{text}\n"))?;
    output::line(&path.display().to_string())
}
