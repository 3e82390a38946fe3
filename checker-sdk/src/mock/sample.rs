//! Answers to start from.

use crate::http::{Phases, Response};
use crate::tls::{Certificate, Session};

/// A response over plain HTTP that took 10 ms.
#[must_use]
pub fn response(status: u16, body: &str) -> Response {
    Response {
        status,
        version: "HTTP/1.1".to_owned(),
        headers: Vec::new(),
        body: body.as_bytes().to_vec(),
        truncated: false,
        peer: "192.0.2.1:80".to_owned(),
        phases: Phases {
            name_resolution_us: Some(1_000),
            connect_us: 2_000,
            tls_us: None,
            first_byte_us: 6_000,
            body_us: 1_000,
            total_us: 10_000,
        },
        tls: None,
        extra: Vec::new(),
    }
}

/// A certificate that is good until a point in time.
#[must_use]
pub fn certificate(subject: &str, not_after_unix_s: i64) -> Certificate {
    Certificate {
        der: Vec::new(),
        subject: subject.to_owned(),
        issuer: "CN=Test CA".to_owned(),
        serial: "01".to_owned(),
        not_before_unix_s: 0,
        not_after_unix_s,
        names: Vec::new(),
        sha256: "00".repeat(32),
        extra: Vec::new(),
    }
}

/// A trusted TLS 1.3 session over a chain.
#[must_use]
pub fn session(chain: Vec<Certificate>) -> Session {
    Session {
        version: "TLSv1.3".to_owned(),
        cipher_suite: "TLS13_AES_256_GCM_SHA384".to_owned(),
        alpn: None,
        peer_certificates: chain,
        trusted: Ok(()),
        handshake_us: 3_000,
        extra: Vec::new(),
    }
}
