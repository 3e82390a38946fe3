//! TCP, UDP and names over WASI sockets.

mod address;
mod datagrams;
mod stream;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::wait::Deadline;
use crate::bindings::wasi::sockets::instance_network::instance_network;
use crate::bindings::wasi::sockets::ip_name_lookup::resolve_addresses;
use crate::bindings::wasi::sockets::network::ErrorCode;
use crate::bindings::wasi::sockets::tcp_create_socket::create_tcp_socket;
use crate::net::{Error, ErrorKind, denied};

pub use datagrams::WasiDatagrams;
pub(super) use datagrams::datagrams;
pub use stream::WasiStream;

pub(super) fn resolve(name: &str, timeout: Duration) -> Result<Vec<IpAddr>, Error> {
    let deadline = Deadline::after(timeout);
    let failed = |code| lookup_failure(name, code);
    let stream = resolve_addresses(&instance_network(), name).map_err(failed)?;
    let mut addresses = Vec::new();
    loop {
        match stream.resolve_next_address() {
            Ok(Some(address)) => addresses.push(address::from_wasi(address)),
            Ok(None) if addresses.is_empty() => return Err(failed(ErrorCode::NameUnresolvable)),
            Ok(None) => return Ok(addresses),
            Err(ErrorCode::WouldBlock) => {
                if !deadline.wait(&stream.subscribe()) {
                    return Err(failed(ErrorCode::Timeout));
                }
            }
            Err(code) => return Err(failed(code)),
        }
    }
}

pub(super) fn connect(peer: SocketAddr, timeout: Duration) -> Result<WasiStream, Error> {
    let deadline = Deadline::after(timeout);
    let failed = |code| failure("tcp", peer, code);
    let network = instance_network();
    let socket = create_tcp_socket(address::family(peer)).map_err(failed)?;
    socket
        .start_connect(&network, address::to_wasi(peer))
        .map_err(failed)?;
    loop {
        match socket.finish_connect() {
            Ok((input, output)) => return Ok(WasiStream::new(peer, socket, input, output)),
            Err(ErrorCode::WouldBlock) => {
                if !deadline.wait(&socket.subscribe()) {
                    return Err(failed(ErrorCode::Timeout));
                }
            }
            Err(code) => return Err(failed(code)),
        }
    }
}

fn lookup_failure(name: &str, code: ErrorCode) -> Error {
    match code {
        ErrorCode::AccessDenied => Error::new(
            ErrorKind::Denied,
            format!(
                "the host refused to look up {name}; allow a peer of that name in the check's `allow` list"
            ),
        ),
        ErrorCode::Timeout => Error::new(ErrorKind::Timeout, format!("timed out looking up {name}")),
        ErrorCode::TemporaryResolverFailure => Error::new(
            ErrorKind::NameResolution,
            format!("{name} can't be looked up now: the resolver failed"),
        ),
        _ => Error::new(ErrorKind::NameResolution, format!("{name} has no address")),
    }
}

/// What an error code means, with the peer in the sentence.
fn failure(protocol: &str, peer: SocketAddr, code: ErrorCode) -> Error {
    let (kind, what) = match code {
        ErrorCode::AccessDenied => return denied(protocol, peer),
        ErrorCode::ConnectionRefused => (ErrorKind::Refused, "connection refused"),
        ErrorCode::RemoteUnreachable => (ErrorKind::Unreachable, "no route to it"),
        ErrorCode::Timeout => (ErrorKind::Timeout, "timed out"),
        ErrorCode::ConnectionReset | ErrorCode::ConnectionAborted => (ErrorKind::Reset, "it broke off"),
        ErrorCode::NewSocketLimit => (ErrorKind::Other, "the host has no sockets left for this run"),
        ErrorCode::NotSupported => (ErrorKind::Other, "the host doesn't support this address family"),
        other => return Error::new(ErrorKind::Other, format!("{peer}: {}", other.message())),
    };
    Error::new(kind, format!("{peer}: {what}"))
}
