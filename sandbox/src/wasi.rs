//! WASI 0.2 without ambient authority: no environment, standard error captured; arguments, input and output only for
//! commands; sockets and files only as granted.

pub(crate) mod exit;
mod files;
mod names;
mod sockets;
pub(crate) mod stdio;

use std::net::SocketAddr;
use std::sync::Arc;

use wasmtime::component::Linker;
use wasmtime_wasi::sockets::SocketAddrUse;
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder};

use crate::grant::Protocol;
use crate::net::guard::Guard;
use crate::run::{Failure, RunState};

pub(crate) use files::SingleFiles;

/// Bytes that one call for random ones may ask for.
const MAX_RANDOM: u64 = 64 << 10;

pub(crate) fn add_to_linker(linker: &mut Linker<RunState>) -> wasmtime::Result<()> {
    wasmtime_wasi::p2::add_to_linker_async(linker)?;
    linker.allow_shadowing(true);
    names::add_to_linker(linker)?;
    sockets::add_to_linker(linker)?;
    files::add_to_linker(linker)?;
    exit::add_to_linker(linker)?;
    linker.allow_shadowing(false);
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(linker)
}

/// The context of one run.
///
/// # Errors
/// A granted path that can't be opened.
pub(crate) fn context(
    guard: &Arc<Guard>,
    stderr: &stdio::Capture,
    command: Option<stdio::CommandIo>,
) -> Result<(WasiCtx, SingleFiles), Failure> {
    let mut wasi = WasiCtxBuilder::new();
    wasi.stderr(stderr.clone())
        .max_random_size(MAX_RANDOM)
        // Sockets can be made without a grant, so that a refusal names the peer: each bind, connection and datagram is
        // asked for below.
        .allow_tcp(true)
        .allow_udp(true);
    if let Some(command) = command {
        command.give(&mut wasi);
    }
    let guard_of_sockets = Arc::clone(guard);
    wasi.socket_addr_check(move |address, purpose| {
        let allowed = allows_socket(&guard_of_sockets, address, purpose);
        Box::pin(std::future::ready(allowed))
    });
    let files = files::grant(&mut wasi, guard.grants())?;
    Ok((wasi.build(), files))
}

fn allows_socket(guard: &Guard, address: SocketAddr, purpose: SocketAddrUse) -> bool {
    match purpose {
        // Binding to a chosen local address would let a checker impersonate services of the machine.
        SocketAddrUse::TcpBind => allows_bind(guard, Protocol::Tcp, address),
        SocketAddrUse::UdpBind => allows_bind(guard, Protocol::Udp, address),
        SocketAddrUse::TcpListen | SocketAddrUse::TcpAccept => false,
        SocketAddrUse::TcpConnect => {
            guard.count_call();
            guard.allows_peer(Protocol::Tcp, address)
        }
        SocketAddrUse::UdpSend => {
            guard.count_call();
            guard.allows_peer(Protocol::Udp, address)
        }
        // Answers of others are dropped quietly: anybody may send a datagram, which is no fault of the checker's.
        SocketAddrUse::UdpReceive => guard.expects_from(address),
    }
}

/// A port that was chosen could be one that a service of the machine wants: whoever may send nothing gets any free one.
fn allows_bind(guard: &Guard, protocol: Protocol, address: SocketAddr) -> bool {
    address.ip().is_unspecified() && (address.port() == 0 || guard.grants().any_of(protocol))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grant::GrantSet;
    use crate::net::resolve::SystemResolver;

    #[test]
    fn without_a_grant_no_port_is_chosen_and_no_peer_is_reached() {
        let grants = |lines: &[&str]| {
            let grants = Arc::new(GrantSet::parse(lines).unwrap());
            Guard::new(grants, Arc::new(SystemResolver::default()))
        };
        let (none, some) = (grants(&[]), grants(&["udp:10.0.0.1:53", "tcp:10.0.0.1:80"]));
        let address = |text: &str| text.parse::<SocketAddr>().unwrap();
        for bind in [SocketAddrUse::TcpBind, SocketAddrUse::UdpBind] {
            assert!(allows_socket(&none, address("0.0.0.0:0"), bind));
            assert!(!allows_socket(&none, address("0.0.0.0:5353"), bind));
            assert!(!allows_socket(&none, address("127.0.0.1:0"), bind));
            assert!(allows_socket(&some, address("0.0.0.0:5353"), bind));
            assert!(!allows_socket(&some, address("127.0.0.1:5353"), bind));
        }
        for reach in [
            SocketAddrUse::TcpConnect,
            SocketAddrUse::UdpSend,
            SocketAddrUse::UdpReceive,
        ] {
            assert!(!allows_socket(&none, address("10.0.0.1:53"), reach));
        }
        assert!(!allows_socket(
            &some,
            address("0.0.0.0:80"),
            SocketAddrUse::TcpListen
        ));
    }
}
