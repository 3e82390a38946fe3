//! The socket that the command line speaks to a running agent on.
//!
//! `control.sock` in the agent's data folder: a Unix socket for the agent's own user and root, whose kernel-given identity
//! is looked at for each connection. HTTP/1 and JSON; there are two requests and no others:
//!
//! - `GET /v1/top`: every check with what it costs and how it stands ([`model::Top`]).
//! - `POST /v1/check/NAME/run`: runs a check now; its result goes to the spool and comes back ([`model::Ran`]).
//!
//! [`server`] answers, [`client`] asks, [`model`] and [`result`] are what goes over it.

pub mod client;
mod error;
pub mod model;
pub mod result;
pub mod server;

use std::path::{Path, PathBuf};

pub use error::ControlError;

/// The longest path of a Unix socket on Linux: `sockaddr_un` has 108 bytes for it, with a zero at the end (unix(7)).
const LONGEST_PATH: usize = 107;

/// Where the socket of the agent with this data folder is.
///
/// # Errors
/// The path is longer than a socket's may be.
pub fn socket_path(data_dir: &Path) -> Result<PathBuf, ControlError> {
    use std::os::unix::ffi::OsStrExt;
    let path = data_dir.join("control.sock");
    let bytes = path.as_os_str().as_bytes().len();
    if bytes > LONGEST_PATH {
        return Err(ControlError::PathTooLong { path, bytes });
    }
    Ok(path)
}
