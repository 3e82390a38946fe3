//! WASI 0.2 without ambient authority: no environment, no arguments, no standard input, output swallowed, standard
//! error captured; sockets and files only as granted.

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
) -> Result<(WasiCtx, SingleFiles), Failure> {
    let mut wasi = WasiCtxBuilder::new();
    wasi.stderr(stderr.clone())
        .max_random_size(MAX_RANDOM)
        .allow_tcp(guard.grants().any_of(Protocol::Tcp))
        .allow_udp(guard.grants().any_of(Protocol::Udp));
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
        SocketAddrUse::TcpBind | SocketAddrUse::UdpBind => address.ip().is_unspecified(),
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
