//! Returns while sockets connect, names are looked up and clocks run.

#![cfg(target_family = "wasm")]

use guest_kit::wasi::clocks::monotonic_clock::subscribe_duration;
use guest_kit::wasi::sockets::instance_network::instance_network;
use guest_kit::wasi::sockets::ip_name_lookup::resolve_addresses;
use guest_kit::wasi::sockets::network::{IpAddressFamily, IpSocketAddress, Ipv4SocketAddress};
use guest_kit::wasi::sockets::tcp_create_socket::create_tcp_socket;
use guest_kit::{Error, Report, Request, metric, ok};

/// The configuration is a port of 127.0.0.1. Counts what is under way when it returns; nothing is ever dropped.
fn run(request: &Request) -> Result<Report, Error> {
    let port = guest_kit::number(&request.config).and_then(|port| u16::try_from(port).ok());
    let network = instance_network();
    let (mut connecting, mut looking_up) = (0, 0);
    for _ in 0..16 {
        let address = IpSocketAddress::Ipv4(Ipv4SocketAddress {
            port: port.unwrap_or(1),
            address: (127, 0, 0, 1),
        });
        if let Ok(socket) = create_tcp_socket(IpAddressFamily::Ipv4) {
            connecting += i32::from(socket.start_connect(&network, address).is_ok());
            std::mem::forget((socket.subscribe(), socket));
        }
        if let Ok(stream) = resolve_addresses(&network, "slow.example") {
            looking_up += 1;
            std::mem::forget((stream.subscribe(), stream));
        }
        std::mem::forget(subscribe_duration(u64::MAX));
    }
    std::mem::forget(network);
    // Gives the host a chance to get on with all of it.
    subscribe_duration(100_000_000).block();
    let mut report = ok("left everything running");
    report.metrics = vec![
        metric("connecting", connecting.into()),
        metric("looking-up", looking_up.into()),
    ];
    Ok(report)
}

guest_kit::guest!(run);
