//! Why an agent doesn't start, and what its program exits with then.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use metrics_exporter_prometheus::BuildError;
use picket_sandbox::component::cache::CacheError;
use picket_sandbox::engine::EngineError;

use crate::identity::IdentityError;
use crate::spool;

/// Why an agent doesn't start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A folder can't be used.
    #[error("{setting} = {}: {source}; make it a folder that this user can write to, or name another one in agent.toml", path.display())]
    Folder {
        /// Which setting names it.
        setting: &'static str,
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// An address can't be listened on.
    #[error("{setting} = \"{address}\": {source}; {}", listen_advice(source))]
    Listen {
        /// Which setting names it.
        setting: &'static str,
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// Metrics would be visible to others.
    #[error(
        "[metrics] listen = \"{address}\" can be reached by others; metrics are served on loopback only: write 127.0.0.1"
    )]
    NotLoopback {
        /// The address.
        address: SocketAddr,
    },
    /// No identity.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// No spool.
    #[error(transparent)]
    Spool(#[from] spool::OpenError),
    /// No sandbox.
    #[error(transparent)]
    Sandbox(#[from] EngineError),
    /// No compile cache.
    #[error("{0}; it is the folder `compiled` in data_dir")]
    Cache(#[from] CacheError),
    /// No metrics.
    #[error("metrics can't be set up, which is a bug of agent-host: {0}")]
    Metrics(#[from] BuildError),
    /// The system gives no thread or socket.
    #[error("the system refuses a thread or a socket: {0}; look at the limits of this user (ulimit -a)")]
    Threads(#[source] io::Error),
}

fn listen_advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            "another program has this port: stop that one, or write another port into agent.toml"
        }
        io::ErrorKind::PermissionDenied => "this user may not use this port: choose one above 1023",
        io::ErrorKind::AddrNotAvailable => "this machine has no such address: 0.0.0.0 means all that it has",
        _ => "write another address into agent.toml",
    }
}

impl StartError {
    /// What the program exits with: 69 where waiting or stopping something else helps, 78 where the configuration must
    /// change, 70 where we are to blame.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Listen { .. }
            | Self::Spool(_)
            | Self::Threads(_)
            | Self::Sandbox(EngineError::Unavailable(_) | EngineError::Clock(_)) => 69,
            Self::Folder { .. }
            | Self::NotLoopback { .. }
            | Self::Identity(_)
            | Self::Sandbox(_)
            | Self::Cache(_) => 78,
            Self::Metrics(_) => 70,
        }
    }
}
