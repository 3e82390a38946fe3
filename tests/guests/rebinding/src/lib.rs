//! Asks for a granted name again and again, until it means another address.

#![cfg(target_family = "wasm")]

use std::net::{SocketAddr, TcpStream, ToSocketAddrs, UdpSocket};
use std::time::Duration;

use guest_kit::wit::http::{Request as Fetch, TlsOptions, fetch};
use guest_kit::wit::tls::Trust;
use guest_kit::{Error, Report, Request, metric, ok};

const PATIENCE: Duration = Duration::from_millis(200);

/// The configuration is a port on which something listens. The name is granted; what it resolves to, its owner decides
/// anew each time. Counts what was resolved and what was reached.
fn run(request: &Request) -> Result<Report, Error> {
    let port = guest_kit::number(&request.config).and_then(|port| u16::try_from(port).ok());
    let port = port.unwrap_or(1);
    let name = format!("rebinding.example:{port}");
    let (mut resolved, mut reached) = (0, 0);
    let mut seen: Vec<SocketAddr> = Vec::new();
    for _ in 0..6 {
        if let Ok(addresses) = name.to_socket_addrs() {
            seen.extend(addresses);
            resolved += 1;
        }
        // The name may mean something else by now, and what it meant before may be another's.
        reached += i32::from(get(&name));
        for address in &seen {
            reached += i32::from(TcpStream::connect_timeout(address, PATIENCE).is_ok());
            let sent = UdpSocket::bind("0.0.0.0:0").and_then(|socket| socket.send_to(b"secret", address));
            reached += i32::from(sent.is_ok());
        }
    }
    let mut report = ok("tried every answer");
    report.metrics = vec![
        metric("resolved", resolved.into()),
        metric("reached", reached.into()),
    ];
    Ok(report)
}

fn get(authority: &str) -> bool {
    let request = Fetch {
        method: "GET".to_owned(),
        url: format!("http://{authority}/"),
        headers: Vec::new(),
        basic_auth: None,
        body: None,
        family: None,
        tls: TlsOptions {
            trust: Trust::Platform,
            require_trusted: false,
            server_name: None,
            identity: None,
        },
        timeout_ms: 200,
        max_body_bytes: 1024,
        extra: Vec::new(),
    };
    fetch(&request).is_ok()
}

guest_kit::guest!(run);
