//! Where the Workload API is.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use thiserror::Error;

/// The most bytes of a socket's path (`sun_path` in `sockaddr_un` of Linux, with its last NUL).
const MAX_PATH: usize = 107;

/// A text isn't the address of a Workload API.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "`{text}` {problem}; expected unix:// and an absolute path, for example \"unix:///run/spire/agent.sock\""
)]
pub struct SocketError {
    text: String,
    problem: &'static str,
}

/// The socket of a Workload API: `unix://` and an absolute path (SPIFFE Workload Endpoint §4). No TCP: private keys would
/// travel in the clear, to whoever listens there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Socket(PathBuf);

impl Socket {
    /// The socket's file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl FromStr for Socket {
    type Err = SocketError;

    fn from_str(text: &str) -> Result<Self, SocketError> {
        let refused = |problem| SocketError {
            text: text.chars().take(160).flat_map(char::escape_debug).collect(),
            problem,
        };
        let Some(path) = text.strip_prefix("unix://") else {
            return Err(refused("isn't a Unix socket"));
        };
        if !path.starts_with('/') || path.ends_with('/') || path.contains('\0') {
            return Err(refused("has no absolute path of a socket"));
        }
        if path.len() > MAX_PATH {
            return Err(refused(
                "has a path of more than 107 bytes, which no socket can have",
            ));
        }
        Ok(Self(path.into()))
    }
}

impl fmt::Display for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unix://{}", self.0.display())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_unix_socket_with_an_absolute_path() {
        let socket: Socket = "unix:///run/spire/agent.sock".parse().unwrap();
        assert_eq!(socket.path(), Path::new("/run/spire/agent.sock"));
        assert_eq!(socket.to_string(), "unix:///run/spire/agent.sock");
    }

    #[test]
    fn refuses_tcp_relative_paths_and_what_no_socket_can_be() {
        for text in [
            "",
            "/run/spire/agent.sock",
            "tcp://127.0.0.1:8081",
            "unix:/run/agent.sock",
            "unix://run/agent.sock",
            "unix:///",
            "unix:///run/spire/",
            "UNIX:///run/agent.sock",
            &format!("unix:///{}", "a".repeat(107)),
        ] {
            let problem = text.parse::<Socket>().unwrap_err().to_string();
            assert!(problem.contains("unix:///run/spire/agent.sock"), "{problem}");
        }
    }
}
