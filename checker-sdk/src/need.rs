//! What a configuration needs of its host.

use std::net::Ipv6Addr;

use crate::bindings::picket::checker::types;

/// One grant, as an operator writes it in a check's `allow` list, and why it is needed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Need {
    /// For example `tcp:db.example:5432`.
    pub grant: String,
    /// A few words for the operator.
    pub reason: String,
}

/// A configuration that knows what it needs.
pub trait Needs {
    /// The grants: no more, no fewer.
    fn needs(&self) -> Vec<Need>;
}

impl Need {
    /// A grant in the host's own words.
    #[must_use]
    pub fn new(grant: impl Into<String>, reason: impl Into<String>) -> Self {
        Self {
            grant: grant.into(),
            reason: reason.into(),
        }
    }

    /// To connect to a TCP port.
    #[must_use]
    pub fn tcp(host: &str, port: u16, reason: &str) -> Self {
        Self::new(format!("tcp:{}:{port}", bracketed(host)), reason)
    }

    /// To exchange datagrams with a UDP port.
    #[must_use]
    pub fn udp(host: &str, port: u16, reason: &str) -> Self {
        Self::new(format!("udp:{}:{port}", bracketed(host)), reason)
    }

    /// To make HTTP requests.
    #[must_use]
    pub fn http(host: &str, port: u16, reason: &str) -> Self {
        Self::new(format!("http:{}:{port}", bracketed(host)), reason)
    }

    /// To send ICMP echo requests.
    #[must_use]
    pub fn icmp(host: &str, reason: &str) -> Self {
        Self::new(format!("icmp:{}", bracketed(host)), reason)
    }

    /// To learn something of the agent's own machine: `cpu`, `memory`, `disk`, ….
    #[must_use]
    pub fn host_facts(kind: &str, reason: &str) -> Self {
        Self::new(format!("host-facts:{kind}"), reason)
    }

    /// To have the host use a secret that the checker never sees.
    #[must_use]
    pub fn secret(name: &str, reason: &str) -> Self {
        Self::new(format!("secret:{name}"), reason)
    }

    /// To see the bytes of a secret.
    #[must_use]
    pub fn secret_reveal(name: &str, reason: &str) -> Self {
        Self::new(format!("secret-reveal:{name}"), reason)
    }
}

/// A host as it stands before `:PORT`: IPv6 addresses in brackets, names in lower case.
pub(crate) fn bracketed(host: &str) -> String {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    match bare.parse::<Ipv6Addr>() {
        Ok(address) => format!("[{address}]"),
        Err(_) => host.to_ascii_lowercase(),
    }
}

impl From<Need> for types::Need {
    fn from(need: Need) -> Self {
        Self {
            grant: need.grant,
            reason: need.reason,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv6_address_stands_in_brackets() {
        assert_eq!(Need::tcp("2001:db8::1", 80, "").grant, "tcp:[2001:db8::1]:80");
        assert_eq!(Need::tcp("[2001:db8::1]", 80, "").grant, "tcp:[2001:db8::1]:80");
        assert_eq!(Need::udp("192.0.2.1", 53, "").grant, "udp:192.0.2.1:53");
    }

    #[test]
    fn a_name_is_in_lower_case() {
        assert_eq!(Need::http("Example.COM", 443, "").grant, "http:example.com:443");
    }
}
