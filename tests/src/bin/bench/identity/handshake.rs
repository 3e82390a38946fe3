//! A handshake without a socket: what one end writes, the other reads.

use std::io::Read as _;
use std::sync::Arc;

use anyhow::ensure;
use rustls::{ClientConfig, ClientConnection, ServerConfig, ServerConnection};
use rustls_pki_types::ServerName;

/// The two ends of a handshake.
pub(super) struct Ends {
    pub(super) client: Arc<ClientConfig>,
    pub(super) server: Arc<ServerConfig>,
    pub(super) name: ServerName<'static>,
}

/// So many, one after the other. Each is a full one: with certificates on both sides, verified at both, and to the end.
pub(super) fn handshakes(ends: &Ends, count: u32) -> anyhow::Result<()> {
    for _ in 0..count {
        handshake(ends)?;
    }
    Ok(())
}

fn handshake(ends: &Ends) -> anyhow::Result<()> {
    let mut client = ClientConnection::new(Arc::clone(&ends.client), ends.name.clone())?;
    let mut server = ServerConnection::new(Arc::clone(&ends.server))?;
    let mut wire = Vec::new();
    while client.is_handshaking() || server.is_handshaking() || client.wants_write() || server.wants_write() {
        wire.clear();
        while client.wants_write() {
            client.write_tls(&mut wire)?;
        }
        let mut bytes = wire.as_slice();
        while !bytes.is_empty() {
            server.read_tls(&mut bytes)?;
            server.process_new_packets()?;
        }
        wire.clear();
        while server.wants_write() {
            server.write_tls(&mut wire)?;
        }
        let mut bytes = wire.as_slice();
        while !bytes.is_empty() {
            client.read_tls(&mut bytes)?;
            client.process_new_packets()?;
        }
    }
    let is_full = Some(rustls::HandshakeKind::Full);
    ensure!(
        client.handshake_kind() == is_full && server.handshake_kind() == is_full,
        "a handshake was {:?} and {:?}: expected full ones",
        client.handshake_kind(),
        server.handshake_kind()
    );
    ensure!(
        client.peer_certificates().is_some() && server.peer_certificates().is_some(),
        "a handshake without certificates on both sides"
    );
    // Nothing was said yet; the session is there to be read from.
    let nothing = server.reader().read(&mut [0; 1]);
    ensure!(nothing.is_err(), "somebody spoke");
    Ok(())
}
