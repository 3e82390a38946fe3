//! What the listeners and the process say.

use std::net::SocketAddr;

use metrics::{counter, describe_counter, describe_gauge, gauge};

const CONNECTIONS: &str = "picket_platform_web_connections_total";
const INFO: &str = "picket_platform_info";

pub(super) fn describe() {
    describe_counter!(
        CONNECTIONS,
        "Connections to the web port, by outcome of the handshake"
    );
    describe_gauge!(INFO, "Always 1; the version is a label");
}

/// The process serves.
pub fn started(node: &str, grpc: SocketAddr, web: SocketAddr) {
    gauge!(INFO, "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    tracing::info!(node, %grpc, %web, version = env!("CARGO_PKG_VERSION"), "platform serves");
}

/// The process stops.
pub fn stopping() {
    tracing::info!("platform stops");
}

/// A browser or program connected to the web port.
pub fn web_connected(outcome: &'static str) {
    counter!(CONNECTIONS, "outcome" => outcome).increment(1);
}

/// A connection to the web port could not be accepted.
pub fn web_accept_failed(error: &std::io::Error) {
    tracing::warn!(%error, "a connection to the web port could not be accepted");
}

/// A certificate of this process was renewed, or could not be.
pub fn renewed(what: &'static str) {
    tracing::info!(what, "a new certificate is in use");
}

/// A certificate of this process could not be renewed.
pub fn renewal_failed(what: &'static str, error: &dyn std::fmt::Display) {
    tracing::error!(what, %error, "a certificate could not be renewed; the old one is used until it ends");
}

/// The watcher of other processes' writes failed.
pub fn watch_failed(error: &crate::store::StoreError) {
    tracing::warn!(%error, "looking for other processes' changes failed; it is tried again");
}
