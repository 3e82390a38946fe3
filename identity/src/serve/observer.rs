//! What a listener tells its owner: for logs, metrics and alerts.

use std::io;
use std::net::SocketAddr;

use crate::verify::{Refusal, Verified};

/// A handshake that ended without a verified peer.
#[derive(Debug)]
pub enum HandshakeFailure {
    /// We refused the peer.
    Refused(Refusal),
    /// The peer took too long.
    Timeout,
    /// The peer went away, or refused us.
    Broken(io::Error),
}

/// A connection that was dropped before any handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TurnedAway {
    /// Too many peers that aren't verified yet.
    HalfOpen,
    /// Too many from this address.
    HalfOpenPerAddress,
    /// Too many verified connections.
    Connections,
}

/// How a verified connection ended.
#[derive(Debug)]
pub enum Closed {
    /// The peer closed it, or it broke.
    ByPeer(Option<hyper::Error>),
    /// We were shutting down.
    Shutdown,
    /// The peer's certificate, or one above it, has expired.
    Expired,
    /// The peer isn't accepted any more.
    Refused(Refusal),
}

/// Hears what a listener does. Every method may be called from many tasks at once and must not block.
pub trait Observer: Send + Sync + 'static {
    /// A handshake failed.
    fn handshake_failed(&self, peer: SocketAddr, failure: &HandshakeFailure) {
        match failure {
            HandshakeFailure::Refused(refusal) => tracing::warn!(
                %peer,
                reason = refusal.reason.as_str(),
                expected = refusal.expected,
                got = refusal.got,
                "refused a connection"
            ),
            HandshakeFailure::Timeout => tracing::debug!(%peer, "a handshake took too long"),
            HandshakeFailure::Broken(error) => tracing::debug!(%peer, %error, "a handshake broke off"),
        }
    }

    /// A connection was dropped before its handshake.
    fn turned_away(&self, peer: SocketAddr, cause: TurnedAway) {
        tracing::warn!(%peer, ?cause, "turned a connection away");
    }

    /// A peer was verified.
    fn connected(&self, peer: SocketAddr, verified: &Verified) {
        tracing::debug!(%peer, id = %verified.id(), serial = %verified.serial(), "connected");
    }

    /// A verified connection ended.
    fn closed(&self, peer: SocketAddr, verified: &Verified, closed: &Closed) {
        match closed {
            Closed::Refused(refusal) => tracing::warn!(
                %peer,
                id = %verified.id(),
                reason = refusal.reason.as_str(),
                got = refusal.got,
                "cut a connection that isn't accepted any more"
            ),
            Closed::Expired => {
                tracing::warn!(%peer, id = %verified.id(), "cut a connection: certificate expired");
            }
            Closed::ByPeer(_) | Closed::Shutdown => {
                tracing::debug!(%peer, id = %verified.id(), ?closed, "connection closed");
            }
        }
    }

    /// The system gave no connection; the listener goes on.
    fn accept_failed(&self, error: &io::Error) {
        tracing::warn!(%error, "can't accept connections, trying again");
    }
}

/// Writes to the log and does nothing else.
#[derive(Clone, Copy, Debug, Default)]
pub struct LogObserver;

impl Observer for LogObserver {}
