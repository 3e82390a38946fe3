//! TCP and UDP through the host's grants.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::Report;

/// Why something on the network failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// What kind of failure it is.
    pub kind: ErrorKind,
    /// A sentence with the peer in it.
    pub message: String,
}

/// What kind of failure it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// No grant allows the peer.
    Denied,
    /// The name has no address.
    NameResolution,
    /// The peer's machine said no.
    Refused,
    /// No way to the peer.
    Unreachable,
    /// The time is over.
    Timeout,
    /// The peer broke off.
    Reset,
    /// Anything else.
    Other,
}

impl Error {
    /// An error of the given kind.
    #[must_use]
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
        }
    }

    /// What the error means for a run: a refusal by the host is the operator's business, anything else the target's.
    ///
    /// # Errors
    ///
    /// The host refused.
    pub fn into_report(self) -> Result<Report, crate::Error> {
        match self.kind {
            ErrorKind::Denied => Err(crate::Error::denied(self.message)),
            _ => Ok(Report::critical(self.message)),
        }
    }
}

/// As the host counts timeouts. Never zero, which would be over before it began.
pub(crate) fn milliseconds(timeout: Duration) -> u32 {
    u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX).max(1)
}

/// An address with its port, where `host` is an address and not a name.
#[must_use]
pub fn literal(host: &str, port: u16) -> Option<SocketAddr> {
    let bare = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(host);
    bare.parse::<IpAddr>()
        .ok()
        .map(|address| SocketAddr::new(address, port))
}

/// What a refusal says where the host has no words of its own: WASI sockets only have an error code.
pub(crate) fn denied(protocol: &str, peer: SocketAddr) -> Error {
    let message = format!(
        "the host refused {protocol} to {peer}; allow it with `{protocol}:{peer}` (or its name) in the check's `allow` list"
    );
    Error::new(ErrorKind::Denied, message)
}
