//! Follows redirects wherever they lead.

#![cfg(target_family = "wasm")]

use guest_kit::wit::http::{Request as Fetch, Response, TlsOptions, fetch};
use guest_kit::wit::tls::Trust;
use guest_kit::{Error, Report, Request, metric, ok};

fn get(url: &str) -> Option<Response> {
    let request = Fetch {
        method: "GET".to_owned(),
        url: url.to_owned(),
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
        timeout_ms: 1_000,
        max_body_bytes: 1024,
        extra: Vec::new(),
    };
    fetch(&request).ok()
}

/// The configuration is a granted port of 127.0.0.1 that answers `/N` with the Nth redirect, and with 404 after the last.
/// Counts the redirects, and the targets that answered.
fn run(request: &Request) -> Result<Report, Error> {
    let port = guest_kit::number(&request.config).unwrap_or(1);
    let (mut redirects, mut reached) = (0, 0);
    while let Some(answer) = get(&format!("http://127.0.0.1:{port}/{redirects}")) {
        let location = answer.headers.iter().find(|(name, _)| name == "location");
        let Some((_, target)) = location else { break };
        redirects += 1;
        reached += i32::from(get(&String::from_utf8_lossy(target)).is_some());
    }
    let mut report = ok("followed");
    report.metrics = vec![
        metric("redirects", redirects.into()),
        metric("reached", reached.into()),
    ];
    Ok(report)
}

guest_kit::guest!(run);
