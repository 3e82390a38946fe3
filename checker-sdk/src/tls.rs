//! TLS over a connection that a checker already has, and what can be said of certificates.

use std::time::Duration;

use serde_json::{Value, json};

pub use crate::bindings::picket::checker::tls::{
    Certificate, ClientIdentity, Error, ErrorKind, Options, Session, Trust,
};

use crate::Report;

const SECONDS_PER_DAY: f64 = 86_400.0;

impl Options {
    /// The platform's roots, a trusted peer required, no ALPN.
    #[must_use]
    pub fn new(server_name: impl Into<String>, timeout: Duration) -> Self {
        Self {
            server_name: server_name.into(),
            trust: Trust::Platform,
            require_trusted: true,
            alpn: Vec::new(),
            identity: None,
            timeout_ms: crate::net::milliseconds(timeout),
            extra: Vec::new(),
        }
    }
}

impl Error {
    /// What the error means for a run: a refusal is the operator's business, anything else the target's.
    ///
    /// # Errors
    ///
    /// The host refused, or the options make no sense.
    pub fn into_report(self) -> Result<Report, crate::Error> {
        match self.kind {
            ErrorKind::Denied => Err(crate::Error::denied(self.message)),
            ErrorKind::InvalidOptions => Err(crate::Error::invalid_config(self.message)),
            ErrorKind::Timeout | ErrorKind::Untrusted | ErrorKind::Handshake | ErrorKind::Other => {
                Ok(Report::critical(self.message))
            }
        }
    }
}

/// What to trust: the given PEM roots and no others, or the platform's where none are given.
#[must_use]
pub fn trust(roots_pem: Option<&str>) -> Trust {
    match roots_pem {
        Some(pem) => Trust::Roots(vec![pem.as_bytes().to_vec()]),
        None => Trust::Platform,
    }
}

impl Certificate {
    /// How many days the certificate is still valid; negative where it has expired.
    #[must_use]
    pub fn days_left(&self, now_unix_ms: u64) -> f64 {
        #[expect(
            clippy::cast_precision_loss,
            reason = "exact for dates of the next hundred million years"
        )]
        let seconds = self.not_after_unix_s as f64 - now_unix_ms as f64 / 1000.0;
        seconds / SECONDS_PER_DAY
    }
}

/// The days left of the certificate that expires first: a chain is good for as long as its shortest-lived link.
#[must_use]
pub fn days_left(chain: &[Certificate], now_unix_ms: u64) -> Option<f64> {
    chain
        .iter()
        .map(|certificate| certificate.days_left(now_unix_ms))
        .min_by(f64::total_cmp)
}

/// A chain as evidence, leaf first.
#[must_use]
pub fn chain_evidence(chain: &[Certificate], now_unix_ms: u64) -> Value {
    let certificates = chain.iter().map(|certificate| {
        json!({
            "subject": certificate.subject,
            "issuer": certificate.issuer,
            "serial": certificate.serial,
            "names": certificate.names.iter().take(32).collect::<Vec<_>>(),
            "not_before_unix_s": certificate.not_before_unix_s,
            "not_after_unix_s": certificate.not_after_unix_s,
            "days_left": (certificate.days_left(now_unix_ms) * 10.0).round() / 10.0,
            "sha256": certificate.sha256,
        })
    });
    Value::Array(certificates.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate(not_after_unix_s: i64) -> Certificate {
        Certificate {
            der: Vec::new(),
            subject: "CN=a".to_owned(),
            issuer: "CN=b".to_owned(),
            serial: "01".to_owned(),
            not_before_unix_s: 0,
            not_after_unix_s,
            names: Vec::new(),
            sha256: String::new(),
            extra: Vec::new(),
        }
    }

    #[test]
    fn a_chain_lasts_as_long_as_its_shortest_link() {
        let chain = [certificate(864_000), certificate(86_400)];
        assert_eq!(days_left(&chain, 0), Some(1.0));
        assert_eq!(days_left(&[], 0), None);
    }

    #[test]
    fn an_expired_certificate_has_negative_days() {
        assert!((certificate(0).days_left(86_400_000) + 1.0).abs() < 1e-9);
    }
}
