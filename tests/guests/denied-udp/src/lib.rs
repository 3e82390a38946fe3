//! Sends datagrams to a peer that was not granted.

#![cfg(target_family = "wasm")]

use std::net::UdpSocket;

use guest_kit::{Error, Report, Request, failed, metric, ok};

/// The configuration is a port on which something listens. Counts what could be sent.
fn run(request: &Request) -> Result<Report, Error> {
    let port = guest_kit::number(&request.config).ok_or_else(|| failed(&"expected a port"))?;
    let mut sent = 0;
    if let Ok(socket) = UdpSocket::bind("0.0.0.0:0") {
        for host in ["127.0.0.1", "0.0.0.0", "169.254.169.254", "255.255.255.255"] {
            sent += i32::from(socket.send_to(b"secret", format!("{host}:{port}")).is_ok());
        }
        sent += i32::from(
            socket
                .connect(format!("127.0.0.1:{port}"))
                .and_then(|()| socket.send(b"secret"))
                .is_ok(),
        );
    }
    let mut report = ok("tried everything");
    report.metrics = vec![metric("sent", sent.into())];
    Ok(report)
}

guest_kit::guest!(run);
