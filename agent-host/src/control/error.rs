//! Why the control socket can't be used.

use std::io;
use std::path::PathBuf;

use http::StatusCode;

use super::LONGEST_PATH;

/// Why the control socket can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// No socket can have such a path.
    #[error(
        "the control socket's path {} has {bytes} bytes and a socket's may have {LONGEST_PATH}; give `data_dir` a shorter path in agent.toml",
        path.display()
    )]
    PathTooLong {
        /// The path.
        path: PathBuf,
        /// Its length.
        bytes: usize,
    },
    /// Something else has its name.
    #[error("{} is in the way: it is no socket; remove it, or give it another name", .0.display())]
    InTheWay(PathBuf),
    /// The system refuses it.
    #[error("the control socket {}: {source}", path.display())]
    Io {
        /// The socket.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Nobody answers there.
    #[error(
        "no agent runs with this configuration: nothing answers at {}; start it with `agent-host run`, or name its configuration with --config",
        .0.display()
    )]
    NoAgent(PathBuf),
    /// The agent is somebody else's.
    #[error("the agent at {} answers its own user and root only; run this command as that user", .0.display())]
    Refused(PathBuf),
    /// The agent doesn't do it; its sentence.
    #[error("{sentence}")]
    Answer {
        /// 404 where it doesn't know the check.
        status: StatusCode,
        /// What it says.
        sentence: String,
    },
    /// The answer isn't one.
    #[error("the agent at {} gave an answer that makes no sense: {reason}; is it another version?", path.display())]
    Nonsense {
        /// The socket.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}
