//! Serving gRPC over mutual TLS: our own accept loop, below a tower service.
//!
//! No peer gets a byte to a service before it is verified. A verified peer's [`PeerIdentity`] stands in the extensions
//! of each of its requests. A connection is cut when the peer's certificate expires, and when a new TLS snapshot
//! (new trust, new denials) doesn't accept the peer any more.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tower_service::Service;

use crate::channel_binding::ChannelBinding;
use crate::tls::ServerTls;
use crate::verify::Verified;

mod accept;
mod connection;
mod half_open;
mod observer;
mod routes;

#[cfg(feature = "connect")]
pub(crate) use connection::until_check;
pub use observer::{Closed, HandshakeFailure, LogObserver, Observer, TurnedAway};
pub use routes::{RouteFuture, Routes};

/// Who sent a request, and from where. Stands in the extensions of each request.
#[derive(Clone, Debug)]
pub struct PeerIdentity {
    verified: Verified,
    address: SocketAddr,
    binding: ChannelBinding,
}

impl PeerIdentity {
    pub(crate) fn new(verified: Verified, address: SocketAddr, binding: ChannelBinding) -> Self {
        Self {
            verified,
            address,
            binding,
        }
    }

    /// What ties words to this connection.
    #[must_use]
    pub fn channel_binding(&self) -> &ChannelBinding {
        &self.binding
    }

    /// The outcome of the verification.
    #[must_use]
    pub fn verified(&self) -> &Verified {
        &self.verified
    }

    /// The peer's address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Deref for PeerIdentity {
    type Target = Verified;

    fn deref(&self) -> &Verified {
        &self.verified
    }
}

/// What a listener puts up with.
#[derive(Clone, Debug)]
pub struct Limits {
    /// How long a peer may take from its first byte to being verified.
    pub handshake: Duration,
    /// Peers that are not verified yet, in all.
    pub half_open: usize,
    /// Peers that are not verified yet, from one address: a flood from one place leaves room for others.
    pub half_open_per_address: usize,
    /// Verified connections.
    pub connections: usize,
    /// Calls at a time on one connection.
    pub streams: u32,
    /// Bytes of one request's headers.
    pub header_list: u32,
    /// Streams reset by the peer before we took them up; more end the connection (HTTP/2 rapid reset, CVE-2023-44487).
    pub pending_resets: usize,
    /// How often an idle connection is pinged.
    pub ping_every: Duration,
    /// How long a ping may stay unanswered.
    pub ping_timeout: Duration,
    /// How long calls may go on after the shutdown began.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(5),
            half_open: 256,
            half_open_per_address: 64,
            connections: 4096,
            // A gateway has a few calls open; a platform's gateway one stream for each of many agents.
            streams: 256,
            header_list: 16 * 1024,
            pending_resets: 20,
            ping_every: Duration::from_secs(20),
            ping_timeout: Duration::from_secs(10),
            drain: Duration::from_secs(10),
        }
    }
}

/// What can be served: any tonic service, and [`Routes`] over several.
pub trait GrpcService:
    Service<http::Request<Body>, Response = http::Response<Body>, Error = Infallible, Future: Send + 'static>
    + Clone
    + Send
    + Sync
    + 'static
{
}

impl<S> GrpcService for S where
    S: Service<
            http::Request<Body>,
            Response = http::Response<Body>,
            Error = Infallible,
            Future: Send + 'static,
        > + Clone
        + Send
        + Sync
        + 'static
{
}

/// Serves until `shutdown`, then lets open calls end within [`Limits::drain`].
///
/// `tls` is looked at for every connection that is accepted; a change also verifies all live peers again. Put only
/// complete snapshots into it. No error of one connection, and none in accepting, ends the listener.
pub async fn serve<S: GrpcService>(
    listener: TcpListener,
    tls: watch::Receiver<Arc<ServerTls>>,
    service: S,
    limits: Limits,
    observer: Arc<dyn Observer>,
    shutdown: CancellationToken,
) {
    accept::run(listener, tls, service, limits, observer, shutdown).await;
}
