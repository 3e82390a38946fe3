//! Connects to the machine itself and to metadata services, in every spelling.

#![cfg(target_family = "wasm")]

use std::net::TcpStream;

use guest_kit::wit::http::{Request as Fetch, TlsOptions, fetch};
use guest_kit::wit::tls::Trust;
use guest_kit::{Error, Report, Request, failed, metric, ok};

const HOSTS: [&str; 14] = [
    "127.0.0.1",
    "127.1",
    "127.0.0.1.",
    "0x7f000001",
    "2130706433",
    "017700000001",
    "0.0.0.0",
    "[::1]",
    "[::]",
    "[::ffff:127.0.0.1]",
    "localhost",
    "169.254.169.254",
    "[::ffff:169.254.169.254]",
    "[fe80::1]",
];

fn get(host: &str, port: u16) -> bool {
    let request = Fetch {
        method: "GET".to_owned(),
        url: format!("http://{host}:{port}/"),
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
        timeout_ms: 500,
        max_body_bytes: 1024,
        extra: Vec::new(),
    };
    fetch(&request).is_ok()
}

/// The configuration is a port on which something listens. Counts what could be reached.
fn run(request: &Request) -> Result<Report, Error> {
    let port = guest_kit::number(&request.config).ok_or_else(|| failed(&"expected a port"))?;
    let port = u16::try_from(port).map_err(|error| failed(&error))?;
    let sockets = HOSTS
        .iter()
        .filter(|host| TcpStream::connect(format!("{host}:{port}")).is_ok())
        .count();
    let requests = HOSTS.iter().filter(|host| get(host, port)).count();
    let mut report = ok("tried everything");
    report.metrics = vec![
        metric("sockets", sockets as f64),
        metric("requests", requests as f64),
    ];
    Ok(report)
}

guest_kit::guest!(run);
