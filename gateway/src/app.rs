//! The one wiring place: everything that runs is built here, and ended through what is returned.

use std::net::SocketAddr;

use serde::Serialize;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::config::Config;
use crate::membership::Membership;
use crate::platform::{IdentityError, Link, Watched};
use crate::telemetry;

mod metrics;

/// Why the gateway doesn't start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The identity folder isn't usable.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The metrics port can't be opened.
    #[error(
        "metrics: can't listen on {address}: {source}; name another address in [metrics], or leave it out"
    )]
    Listen {
        /// The configured address.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
}

/// Where a running gateway listens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Addresses {
    /// `/metrics`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metrics: Option<SocketAddr>,
}

/// The gateway.
#[derive(Debug)]
pub struct App;

impl App {
    /// Starts everything that `config` asks for.
    ///
    /// # Errors
    /// The identity folder isn't usable, or a port can't be opened.
    pub async fn start(config: Config) -> Result<Running, StartError> {
        let opening = Opening::begin(&config)?;
        let stop = CancellationToken::new();
        let mut addresses = Addresses::default();
        if let Some(address) = config.metrics {
            let listen = |source| StartError::Listen { address, source };
            let listener = TcpListener::bind(address).await.map_err(listen)?;
            addresses.metrics = Some(listener.local_addr().map_err(listen)?);
            tokio::spawn(metrics::serve(listener, telemetry::recorder(), stop.clone()));
            tokio::spawn(metrics::upkeep(telemetry::recorder(), stop.clone()));
        }
        let (joined, watch_joined) = watch::channel(false);
        let membership = opening.then(config, joined, stop.clone());
        Ok(Running {
            addresses,
            joined: watch_joined,
            stop: stop.drop_guard(),
            membership: tokio::spawn(membership),
        })
    }
}

/// The way to the platform, as far as it is there at the start.
enum Opening {
    /// The identity is in a folder, and good.
    Open(Link),
    /// It comes from a Workload API, sooner or later: a gateway may be up before its SPIRE agent.
    Awaited(Watched),
}

impl Opening {
    fn begin(config: &Config) -> Result<Self, IdentityError> {
        match Watched::start(config) {
            Some(watched) => Ok(Self::Awaited(watched)),
            None => Link::load(config).map(Self::Open),
        }
    }

    async fn then(self, config: Config, joined: watch::Sender<bool>, stop: CancellationToken) {
        let link = match self {
            Self::Open(link) => link,
            Self::Awaited(watched) => {
                let svid = tokio::select! {
                    () = stop.cancelled() => return,
                    svid = watched.first() => svid,
                };
                match Link::by_workload_api(&config, watched, svid) {
                    Ok(link) => link,
                    Err(error) => return telemetry::identity_not_reloaded(&error),
                }
            }
        };
        Membership::new(config, link, joined, stop).run().await;
    }
}

/// A gateway that runs. Dropping it ends it too, but waits for nothing.
#[derive(Debug)]
pub struct Running {
    addresses: Addresses,
    joined: watch::Receiver<bool>,
    stop: DropGuard,
    membership: JoinHandle<()>,
}

impl Running {
    /// Where it listens.
    pub fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// True while it has a session with the platform and that session's snapshot.
    pub fn joined(&self) -> watch::Receiver<bool> {
        self.joined.clone()
    }

    /// Ends it in order: polls in flight end, the platform is told, then this returns.
    pub async fn stop(self) {
        drop(self.stop);
        // A membership that panicked has stopped too, and has been logged by the runtime.
        let _ = self.membership.await;
    }
}
