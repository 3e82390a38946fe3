//! What the listener does, for log and metrics.

use std::net::SocketAddr;

use picket_identity::serve::{HandshakeFailure, Observer, TurnedAway};
use picket_identity::verify::Verified;

use crate::internal_events as events;

/// Counts and logs.
#[derive(Clone, Copy, Debug, Default)]
pub struct ListenerEvents;

impl Observer for ListenerEvents {
    fn handshake_failed(&self, peer: SocketAddr, failure: &HandshakeFailure) {
        events::handshake_failed(peer, failure);
    }

    fn turned_away(&self, peer: SocketAddr, cause: TurnedAway) {
        events::turned_away(peer, cause);
    }

    fn connected(&self, _peer: SocketAddr, _verified: &Verified) {
        events::handshake_ok();
    }
}
