//! Hands over texts that are no UTF-8, in its report and to the host.

#![cfg(target_family = "wasm")]

use guest_kit::wit::http::{HeaderValue, Request as Fetch, TlsOptions, fetch};
use guest_kit::wit::log::{Level, log};
use guest_kit::wit::state::set;
use guest_kit::wit::tls::Trust;
use guest_kit::{Error, Report, Request, metric, ok};

/// A lone continuation byte, a surrogate, an overlong slash, and a sequence that breaks off.
const BYTES: [u8; 9] = [b'a', 0x80, 0xed, 0xa0, 0x80, 0xc0, 0xaf, 0xe2, 0x82];

fn text() -> String {
    // SAFETY: there is none; that is the point. Nothing in this guest looks at the text: it only lies in memory, where the
    // host reads it.
    unsafe { String::from_utf8_unchecked(BYTES.to_vec()) }
}

/// The configuration says where: 0 in the summary, 1 in a label, 2 in a metric's name, 3 to `log`, 4 to `state`, 5 to
/// `http`. The host traps the call, so that nothing after it happens.
fn run(request: &Request) -> Result<Report, Error> {
    let mut report = ok("said it");
    match guest_kit::number(&request.config).unwrap_or_default() {
        1 => report.labels = vec![(text(), "value".to_owned())],
        2 => report.metrics = vec![metric(&text(), 1.0)],
        3 => log(Level::Info, &text(), &[(text(), text())]),
        4 => drop(set(&text(), b"value")),
        5 => drop(fetch(&Fetch {
            method: "GET".to_owned(),
            url: "http://127.0.0.1/".to_owned(),
            headers: vec![(text(), HeaderValue::Text(text()))],
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
            max_body_bytes: 0,
            extra: Vec::new(),
        })),
        _ => report.summary = text(),
    }
    Ok(report)
}

guest_kit::guest!(run);
