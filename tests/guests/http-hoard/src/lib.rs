//! Sends thousands of huge headers, and lets a server send the same.

#![cfg(target_family = "wasm")]

use guest_kit::wit::http::{
    Error as FetchError, ErrorKind, HeaderValue, Request as Fetch, TlsOptions, fetch,
};
use guest_kit::wit::tls::Trust;
use guest_kit::{Error, Report, Request, metric, ok};

/// The configuration is a port of 127.0.0.1, and what to send: 0 nothing of note, 1 ten thousand headers, 2 a header of
/// 900 KiB, 3 ninety headers of 8 KiB. Asks three times, and says how the last one ended.
fn run(request: &Request) -> Result<Report, Error> {
    let numbers = guest_kit::numbers(&request.config);
    let port = numbers.first().copied().unwrap_or(1);
    let headers = match numbers.get(1) {
        Some(1) => flood(10_000, 8),
        Some(2) => flood(1, 900 << 10),
        Some(3) => flood(90, 8 << 10),
        _ => Vec::new(),
    };
    let message = Fetch {
        method: "GET".to_owned(),
        url: format!("http://127.0.0.1:{port}/"),
        headers,
        basic_auth: None,
        body: None,
        family: None,
        tls: TlsOptions {
            trust: Trust::Platform,
            require_trusted: false,
            server_name: None,
            identity: None,
        },
        timeout_ms: 1_500,
        max_body_bytes: u32::MAX,
        extra: Vec::new(),
    };
    let mut report = ok("nothing was asked");
    for _ in 0..3 {
        match fetch(&message) {
            Ok(answer) => {
                report.summary = format!("{} with truncated={}", answer.status, answer.truncated);
                let head: usize = answer
                    .headers
                    .iter()
                    .map(|(name, value)| name.len() + value.len())
                    .sum();
                report.metrics = vec![
                    metric("headers", answer.headers.len() as f64),
                    metric("head", head as f64),
                    metric("body", answer.body.len() as f64),
                ];
            }
            Err(error) => report.summary = format!("{}: {}", word(&error), plain(&error.message)),
        }
    }
    Ok(report)
}

fn flood(count: usize, bytes: usize) -> Vec<(String, HeaderValue)> {
    (0..count)
        .map(|n| (format!("x-{n}"), HeaderValue::Text("x".repeat(bytes))))
        .collect()
}

fn word(error: &FetchError) -> &'static str {
    match error.kind {
        ErrorKind::Timeout => "timeout",
        ErrorKind::InvalidRequest => "invalid-request",
        ErrorKind::Protocol => "protocol",
        ErrorKind::Connect => "connect",
        ErrorKind::Denied => "denied",
        _ => "other",
    }
}

fn plain(text: &str) -> String {
    text.chars().filter(|char| !char.is_control()).take(200).collect()
}

guest_kit::guest!(run);
