//! Uses secrets in every way there is, and tells everything that it learns.

#![cfg(target_family = "wasm")]

use guest_kit::wit::http::{self, BasicAuth, HeaderValue, SecretValue, TlsOptions};
use guest_kit::wit::log::{Level, log};
use guest_kit::wit::secret;
use guest_kit::wit::tls::{ClientIdentity, Trust};
use guest_kit::{Error, Report, Request, ok};

/// The configuration is a port of plain HTTP and one of HTTPS, both on loopback, and the chain (PEM) of a certificate that
/// is both sides'.
fn run(request: &Request) -> Result<Report, Error> {
    let (ports, chain) = request.config.split_once('\n').unwrap_or_default();
    let (plain, tls) = ports.split_once(' ').unwrap_or_default();
    let mut told = format!("{:?} {:?}", secret::check("used"), secret::reveal("used"));
    let with = |port: &str, change: &dyn Fn(&mut http::Request)| {
        let mut wanted = get(format!("http://127.0.0.1:{port}/"));
        change(&mut wanted);
        format!("{:?}", http::fetch(&wanted))
    };
    let header = |name: &str, prefix: &str| {
        let value = SecretValue {
            prefix: prefix.to_owned(),
            secret: "used".to_owned(),
        };
        vec![(name.to_owned(), HeaderValue::Secret(value))]
    };
    let identity = |key: &str| {
        Some(ClientIdentity {
            certificate_chain: chain.as_bytes().to_vec(),
            key_secret: key.to_owned(),
        })
    };
    let https = |key: &str| {
        with(tls, &|wanted| {
            wanted.url = wanted.url.replace("http:", "https:");
            wanted.tls.trust = Trust::Roots(vec![chain.as_bytes().to_vec()]);
            wanted.tls.identity = identity(key);
        })
    };
    let answers = [
        with(plain, &|wanted| {
            wanted.headers = header("authorization", "Bearer ")
        }),
        with(plain, &|wanted| {
            wanted.basic_auth = Some(BasicAuth {
                username: "user".to_owned(),
                password_secret: "used".to_owned(),
            });
        }),
        https("key"),
        // Ways to fail with a secret in hand.
        with(plain, &|wanted| wanted.headers = header("bad name", "")),
        with(plain, &|wanted| {
            wanted.headers = header("x-secret", "bad\r\nprefix")
        }),
        with("1", &|wanted| wanted.headers = header("x-secret", "")),
        https("used"),
        with(plain, &|wanted| {
            wanted.headers = header("x-secret", &"long".repeat(50_000))
        }),
    ];
    for answer in answers {
        eprintln!("{answer}");
        log(Level::Info, &answer, &[("answer".to_owned(), answer.clone())]);
        told.push_str(&answer);
    }
    let mut report = ok("told everything");
    report.details = Some(told.chars().take(8000).collect());
    Ok(report)
}

fn get(url: String) -> http::Request {
    http::Request {
        method: "GET".to_owned(),
        url,
        headers: Vec::new(),
        basic_auth: None,
        body: None,
        family: None,
        tls: TlsOptions {
            trust: Trust::Platform,
            require_trusted: true,
            server_name: None,
            identity: None,
        },
        timeout_ms: 5000,
        max_body_bytes: 1000,
        extra: Vec::new(),
    }
}

guest_kit::guest!(run);
