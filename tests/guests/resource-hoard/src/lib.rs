//! Takes ten thousand of everything that the host counts.

#![cfg(target_family = "wasm")]

use guest_kit::wasi::clocks::monotonic_clock::subscribe_duration;
use guest_kit::wasi::sockets::instance_network::instance_network;
use guest_kit::wasi::sockets::ip_name_lookup::resolve_addresses;
use guest_kit::wasi::sockets::network::IpAddressFamily;
use guest_kit::wasi::sockets::tcp_create_socket::create_tcp_socket;
use guest_kit::wit::log::{Level, log};
use guest_kit::{Error, Report, Request, metric, ok};

const MANY: usize = 10_000;

/// The configuration says of what: 0 pollables, 1 look-ups of `localhost`, 2 fields of log lines, 3 sockets with a
/// pollable each, 4 networks. Counts what it got; the host may stop it before.
fn run(request: &Request) -> Result<Report, Error> {
    let got = match guest_kit::number(&request.config).unwrap_or_default() {
        1 => lookups(),
        2 => fields(),
        3 => sockets(),
        4 => (0..MANY).map(|_| instance_network()).collect::<Vec<_>>().len(),
        _ => (0..MANY)
            .map(|_| subscribe_duration(u64::MAX))
            .collect::<Vec<_>>()
            .len(),
    };
    let mut report = ok("hoarded");
    report.metrics = vec![metric("got", got as f64)];
    Ok(report)
}

fn lookups() -> usize {
    let network = instance_network();
    let hoard: Vec<_> = (0..MANY)
        .map_while(|_| resolve_addresses(&network, "localhost").ok())
        .map(|stream| (stream.subscribe(), stream))
        .collect();
    hoard.len()
}

/// One line of as many fields as one call carries, again and again.
fn fields() -> usize {
    let fields: Vec<_> = (0..MANY)
        .map(|n| (format!("name-{n}"), "a value".to_owned()))
        .collect();
    for _ in 0..100 {
        log(Level::Error, "many fields", &fields);
    }
    fields.len()
}

fn sockets() -> usize {
    let hoard: Vec<_> = (0..MANY)
        .map_while(|_| create_tcp_socket(IpAddressFamily::Ipv4).ok())
        .map(|socket| (socket.subscribe(), socket))
        .collect();
    hoard.len()
}

guest_kit::guest!(run);
