//! The wire format of DNS (RFC 1035), as far as a client needs it. Every byte of an answer may be hostile: reading
//! never panics, never loops, and allocates no more than a message has room for.

pub(crate) mod message;
pub(crate) mod name;
pub(crate) mod query;
pub(crate) mod reader;
pub(crate) mod record;

/// Why bytes are no DNS message, or a text no name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Malformed(pub(crate) String);

impl std::fmt::Display for Malformed {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.0)
    }
}

pub(crate) fn malformed(what: impl Into<String>) -> Malformed {
    Malformed(what.into())
}
