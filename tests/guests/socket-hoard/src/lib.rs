//! Opens ten thousand sockets.

#![cfg(target_family = "wasm")]

use std::net::UdpSocket;

use guest_kit::{Error, Report, Request, metric, ok};

fn run(_request: &Request) -> Result<Report, Error> {
    let mut hoard = Vec::new();
    for _ in 0..10_000 {
        match UdpSocket::bind("0.0.0.0:0") {
            Ok(socket) => hoard.push(socket),
            Err(_) => break,
        }
    }
    let mut report = ok("hoarded");
    report.metrics = vec![metric("sockets", hoard.len() as f64)];
    Ok(report)
}

guest_kit::guest!(run);
