//! Why a peer was refused, in the words that log, metric, alert and user interface share.

use std::error::Error;
use std::fmt;
use std::time::{Duration, SystemTime};

use rustls::{AlertDescription, CertificateError};
use rustls_pki_types::UnixTime;

/// The reasons. Their text is stable: it is a metric label and part of messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The peer sent no certificate.
    NoCert,
    /// No chain from the peer's certificate to a CA that we know.
    UnknownCa,
    /// Issued by a CA of the platform that must not issue this identity.
    WrongIssuer,
    /// An identity of another tenant, or for another tenant.
    WrongTenant,
    /// The right tenant, but not the expected agent, or not the expected role.
    WrongAgent,
    /// The common name doesn't belong to the ID.
    CnMismatch,
    /// The certificate or one above it has expired.
    Expired,
    /// The certificate or one above it isn't valid yet.
    NotYetValid,
    /// The serial number isn't active, or is denied.
    Revoked,
    /// The certificate isn't shaped as the profile wants it.
    BadProfile,
    /// The handshake itself failed: version, ALPN, signature, or no TLS at all.
    Protocol,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 11] = [
        Self::NoCert,
        Self::UnknownCa,
        Self::WrongIssuer,
        Self::WrongTenant,
        Self::WrongAgent,
        Self::CnMismatch,
        Self::Expired,
        Self::NotYetValid,
        Self::Revoked,
        Self::BadProfile,
        Self::Protocol,
    ];

    /// The reason as a word for logs, labels and messages.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoCert => "no_cert",
            Self::UnknownCa => "unknown_ca",
            Self::WrongIssuer => "wrong_issuer",
            Self::WrongTenant => "wrong_tenant",
            Self::WrongAgent => "wrong_agent",
            Self::CnMismatch => "cn_mismatch",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::Revoked => "revoked",
            Self::BadProfile => "bad_profile",
            Self::Protocol => "protocol",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A peer that wasn't accepted, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The rule that it broke.
    pub reason: Reason,
    /// What was expected.
    pub expected: String,
    /// What there was instead. Comes from the peer: escaped and bounded, but not to be trusted.
    pub got: String,
    /// When it was refused, by our clock.
    pub at: UnixTime,
}

/// A character as it may stand in a line: quotes as they are, for these texts are sentences; whatever could disturb a
/// terminal escaped.
fn shown(character: char) -> impl Iterator<Item = char> {
    let plain = matches!(character, '\'' | '"').then_some(character);
    let escaped = plain.is_none().then(|| character.escape_debug());
    plain.into_iter().chain(escaped.into_iter().flatten())
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "peer refused ({}): expected {}, got {}",
            self.reason, self.expected, self.got
        )
    }
}

impl Error for Refusal {}

impl Refusal {
    pub(crate) fn new(reason: Reason, expected: impl Into<String>, got: &str, at: UnixTime) -> Self {
        // A peer's text reaches logs and terminals: no control characters, and no more than a line.
        let got = got.chars().take(300).flat_map(shown).collect();
        Self {
            reason,
            expected: expected.into(),
            got,
            at,
        }
    }

    /// When it was refused, in milliseconds since 1970.
    #[must_use]
    pub fn at_unix_ms(&self) -> i64 {
        unix_millis(self.at)
    }

    /// Finds the refusal in what a handshake or a call failed with, however deeply it is wrapped.
    #[must_use]
    pub fn from_error(error: &(dyn Error + 'static)) -> Option<Self> {
        if let Some(refusal) = error.downcast_ref::<Self>() {
            return Some(refusal.clone());
        }
        if let Some(rustls::Error::InvalidCertificate(CertificateError::Other(other))) = error.downcast_ref()
        {
            return Self::from_error(other.0.as_ref());
        }
        // An io::Error's source is the source of what it wraps: the wrapped error itself would be skipped.
        let wrapped = error
            .downcast_ref::<std::io::Error>()
            .and_then(std::io::Error::get_ref);
        if let Some(found) = wrapped.and_then(|inner| Self::from_error(inner)) {
            return Some(found);
        }
        error.source().and_then(Self::from_error)
    }

    /// The refusal behind a failed handshake: the verifier's own, or one that says what was wrong with the protocol.
    /// `None` where it was the peer that refused us, or the network that failed.
    #[must_use]
    pub fn from_handshake(error: &std::io::Error, at: UnixTime) -> Option<Self> {
        if let Some(refusal) = Self::from_error(error) {
            return Some(refusal);
        }
        match tls_error(error)? {
            rustls::Error::AlertReceived(_) => None,
            rustls::Error::NoCertificatesPresented => {
                Some(Self::new(Reason::NoCert, "a certificate", "none", at))
            }
            other => Some(Self::new(
                Reason::Protocol,
                "TLS 1.3 with ALPN h2 and a certificate whose key signed the handshake",
                &other.to_string(),
                at,
            )),
        }
    }
}

/// The TLS alert with which the *peer* ended the connection, found in what a handshake, a read or a call failed with.
///
/// In TLS 1.3 a client has finished its handshake before the server looks at its certificate: that the server refused
/// it shows only here.
#[must_use]
pub fn peer_alert(error: &(dyn Error + 'static)) -> Option<AlertDescription> {
    match tls_error(error)? {
        rustls::Error::AlertReceived(alert) => Some(*alert),
        _ => None,
    }
}

fn tls_error<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e rustls::Error> {
    if let Some(found) = error.downcast_ref::<rustls::Error>() {
        return Some(found);
    }
    let wrapped = error
        .downcast_ref::<std::io::Error>()
        .and_then(std::io::Error::get_ref);
    if let Some(found) = wrapped.and_then(|inner| tls_error(inner)) {
        return Some(found);
    }
    error.source().and_then(tls_error)
}

/// The time by the system's clock. A clock that stands before 1970 shows 1970: everything is then not yet valid.
#[must_use]
pub fn now() -> UnixTime {
    let since = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or(Duration::ZERO);
    UnixTime::since_unix_epoch(since)
}

/// Milliseconds since 1970, as messages and the database have them.
#[must_use]
pub fn unix_millis(at: UnixTime) -> i64 {
    i64::try_from(at.as_secs())
        .unwrap_or(i64::MAX)
        .saturating_mul(1000)
}
