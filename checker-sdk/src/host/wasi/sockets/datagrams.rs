//! A UDP socket with one peer.

use std::net::SocketAddr;
use std::time::Duration;

use super::{address, failure};
use crate::bindings::wasi::sockets::instance_network::instance_network;
use crate::bindings::wasi::sockets::network::ErrorCode;
use crate::bindings::wasi::sockets::udp::{
    IncomingDatagramStream, OutgoingDatagram, OutgoingDatagramStream, UdpSocket,
};
use crate::bindings::wasi::sockets::udp_create_socket::create_udp_socket;
use crate::host::Datagrams;
use crate::host::wasi::wait::Deadline;
use crate::net::Error;

/// A UDP socket with one peer.
///
/// The streams are the socket's children, and a child must go before its parent: fields drop in this order.
#[derive(Debug)]
pub struct WasiDatagrams {
    incoming: IncomingDatagramStream,
    outgoing: OutgoingDatagramStream,
    _socket: UdpSocket,
    peer: SocketAddr,
}

pub(in crate::host::wasi) fn datagrams(peer: SocketAddr) -> Result<WasiDatagrams, Error> {
    let failed = |code| failure("udp", peer, code);
    let network = instance_network();
    let socket = create_udp_socket(address::family(peer)).map_err(failed)?;
    socket
        .start_bind(&network, address::to_wasi(address::any(peer)))
        .map_err(failed)?;
    loop {
        match socket.finish_bind() {
            Ok(()) => break,
            Err(ErrorCode::WouldBlock) => socket.subscribe().block(),
            Err(code) => return Err(failed(code)),
        }
    }
    let (incoming, outgoing) = socket.stream(Some(address::to_wasi(peer))).map_err(failed)?;
    Ok(WasiDatagrams {
        incoming,
        outgoing,
        _socket: socket,
        peer,
    })
}

impl WasiDatagrams {
    fn failure(&self, code: ErrorCode) -> Error {
        failure("udp", self.peer, code)
    }
}

impl Datagrams for WasiDatagrams {
    fn send(&mut self, payload: &[u8], timeout: Duration) -> Result<(), Error> {
        let deadline = Deadline::after(timeout);
        loop {
            let room = self.outgoing.check_send().map_err(|code| self.failure(code))?;
            if room > 0 {
                // The socket is connected: a datagram without an address goes to its peer.
                let datagram = OutgoingDatagram {
                    data: payload.to_vec(),
                    remote_address: None,
                };
                let sent = self
                    .outgoing
                    .send(&[datagram])
                    .map_err(|code| self.failure(code))?;
                if sent > 0 {
                    return Ok(());
                }
            }
            if !deadline.wait(&self.outgoing.subscribe()) {
                return Err(self.failure(ErrorCode::Timeout));
            }
        }
    }

    fn receive(&mut self, timeout: Duration) -> Result<Vec<u8>, Error> {
        let deadline = Deadline::after(timeout);
        loop {
            let datagrams = self.incoming.receive(1).map_err(|code| self.failure(code))?;
            if let Some(datagram) = datagrams.into_iter().next() {
                return Ok(datagram.data);
            }
            if !deadline.wait(&self.incoming.subscribe()) {
                return Err(self.failure(ErrorCode::Timeout));
            }
        }
    }
}
