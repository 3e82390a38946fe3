//! Hosts: the patterns that grants are written in, and the targets that checkers ask for.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use ipnet::IpNet;

use super::address;

/// The host part of a grant.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum HostPattern {
    /// A name, lower case, without final dot.
    Name(String),
    /// `*.suffix`: every name beneath, not the suffix itself.
    Suffix(String),
    /// `*`: every name, and every address that needs no grant of its own.
    Any,
    /// One address.
    Address(IpAddr),
    /// A range of addresses.
    Network(IpNet),
}

/// What a checker asks for: a name or an address, whichever way it was spelt.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Target {
    /// A name, lower case, without final dot.
    Name(String),
    /// An address; IPv4-mapped IPv6 is unwrapped.
    Address(IpAddr),
}

impl Target {
    /// Reads a host as resolvers and browsers do: decimal, octal and hexadecimal spellings of IPv4 are addresses.
    ///
    /// # Errors
    /// In words, where the text can't be a host.
    pub fn parse(text: &str) -> Result<Self, String> {
        let bare = text
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
            .unwrap_or(text);
        if let Ok(v6) = bare.parse::<Ipv6Addr>() {
            return Ok(Self::Address(address::canonical(IpAddr::V6(v6))));
        }
        match url::Host::parse(text) {
            Ok(url::Host::Ipv4(v4)) => Ok(Self::Address(IpAddr::V4(v4))),
            Ok(url::Host::Ipv6(v6)) => Ok(Self::Address(address::canonical(IpAddr::V6(v6)))),
            Ok(url::Host::Domain(name)) => plain_name(&name).map(Self::Name),
            Err(error) => Err(format!("{text:?} is not a host: {error}")),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(address) => write_address(f, *address),
        }
    }
}

fn plain_name(name: &str) -> Result<String, String> {
    let name = name.strip_suffix('.').unwrap_or(name);
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let labels = name.split('.').all(|label| (1..=63).contains(&label.len()));
    if name.len() > 253 || !labels || !name.bytes().all(plain) {
        return Err(format!("{name:?} is not a host name"));
    }
    Ok(name.to_ascii_lowercase())
}

pub(super) fn parse_pattern(text: &str) -> Result<HostPattern, String> {
    if text == "*" {
        return Ok(HostPattern::Any);
    }
    if let Some(suffix) = text.strip_prefix("*.") {
        return match Target::parse(suffix)? {
            Target::Name(name) => Ok(HostPattern::Suffix(name)),
            Target::Address(_) => Err("*. goes before a name, not before an address".to_owned()),
        };
    }
    if text.contains('*') {
        return Err("a * stands alone or as *. before a name".to_owned());
    }
    let bracketed = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    if bracketed.is_none() && text.contains(':') {
        return Err(format!("IPv6 goes in brackets: [{text}]"));
    }
    let bare = bracketed.unwrap_or(text);
    if bare.contains('/') {
        return parse_network(bare);
    }
    match Target::parse(text)? {
        Target::Name(name) => Ok(HostPattern::Name(name)),
        Target::Address(found) => {
            // One spelling per address, so that a reviewer sees what is granted.
            let canonical = bare.parse::<IpAddr>().is_ok_and(|written| written == found);
            if canonical {
                Ok(HostPattern::Address(found))
            } else {
                Err(format!("write this address as {}", Target::Address(found)))
            }
        }
    }
}

fn parse_network(text: &str) -> Result<HostPattern, String> {
    let network: IpNet = text
        .parse()
        .map_err(|_| format!("{text:?} is not a network; expected for example 10.0.0.0/8"))?;
    if network.trunc() != network {
        return Err(format!(
            "{network} has bits beyond its prefix; write {}",
            network.trunc()
        ));
    }
    if let IpNet::V6(v6) = network
        && address::canonical(IpAddr::V6(v6.network())) != IpAddr::V6(v6.network())
    {
        return Err("an IPv4-mapped network is granted as IPv4".to_owned());
    }
    Ok(HostPattern::Network(network))
}

impl HostPattern {
    /// Whether the pattern covers the name.
    #[must_use]
    pub fn covers_name(&self, name: &str) -> bool {
        match self {
            Self::Name(own) => own == name,
            Self::Suffix(suffix) => name
                .strip_suffix(suffix.as_str())
                .is_some_and(|rest| rest.len() > 1 && rest.ends_with('.')),
            Self::Any => true,
            Self::Address(_) | Self::Network(_) => false,
        }
    }

    /// Whether the pattern covers the address as such, however the checker came by it.
    #[must_use]
    pub fn covers_address(&self, addr: IpAddr) -> bool {
        let addr = address::canonical(addr);
        let named = match self {
            Self::Address(own) => *own == addr,
            Self::Network(network) => network.contains(&addr),
            Self::Name(name) => return name == "localhost" && addr.is_loopback(),
            Self::Any => true,
            Self::Suffix(_) => false,
        };
        named && address::special(addr).is_none_or(|range| self.names(&range))
    }

    /// A pattern names a special range only from within: 0.0.0.0/0 is a wildcard in disguise.
    fn names(&self, range: &address::Special) -> bool {
        match self {
            Self::Address(_) => true,
            Self::Network(network) => range.networks().iter().any(|special| special.contains(network)),
            Self::Name(_) | Self::Suffix(_) | Self::Any => false,
        }
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Suffix(suffix) => write!(f, "*.{suffix}"),
            Self::Any => f.write_str("*"),
            Self::Address(address) => write_address(f, *address),
            Self::Network(IpNet::V4(network)) => write!(f, "{network}"),
            Self::Network(IpNet::V6(network)) => write!(f, "[{network}]"),
        }
    }
}

fn write_address(f: &mut fmt::Formatter<'_>, address: IpAddr) -> fmt::Result {
    match address {
        IpAddr::V4(v4) => write!(f, "{v4}"),
        IpAddr::V6(v6) => write!(f, "[{v6}]"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_loopback_is_the_address() {
        let v4 = Target::Address("127.0.0.1".parse().unwrap());
        for text in [
            "127.0.0.1",
            "127.1",
            "0x7f.0.0.1",
            "0x7f000001",
            "2130706433",
            "017700000001",
            "127.0.0.1.",
            "::ffff:127.0.0.1",
            "[::ffff:127.0.0.1]",
            "::ffff:7f00:1",
            "%31%32%37.0.0.1",
            "１２７.0.0.1",
        ] {
            assert_eq!(Target::parse(text).unwrap(), v4, "{text}");
        }
        assert_eq!(
            Target::parse("[0:0:0:0:0:0:0:1]").unwrap(),
            Target::Address("::1".parse().unwrap())
        );
    }

    #[test]
    fn what_is_no_host_is_refused() {
        for text in [
            "",
            ".",
            "a..b",
            "a b",
            "fe80::1%eth0",
            "a/b",
            "a\0b",
            "[::1",
            "300.0.0.1",
            "a@b",
            &"a".repeat(64),
        ] {
            assert!(Target::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_suffix_covers_what_is_beneath_and_not_itself() {
        let pattern = parse_pattern("*.example").unwrap();
        assert!(pattern.covers_name("a.example") && pattern.covers_name("a.b.example"));
        assert!(
            !pattern.covers_name("example")
                && !pattern.covers_name("aexample")
                && !pattern.covers_name(".example")
        );
    }

    #[test]
    fn a_wildcard_network_names_nothing_special() {
        let any = parse_pattern("0.0.0.0/0").unwrap();
        assert!(any.covers_address("10.0.0.1".parse().unwrap()));
        assert!(!any.covers_address("127.0.0.1".parse().unwrap()));
        assert!(
            !parse_pattern("126.0.0.0/7")
                .unwrap()
                .covers_address("127.0.0.1".parse().unwrap())
        );
        assert!(
            parse_pattern("127.0.0.0/8")
                .unwrap()
                .covers_address("127.9.9.9".parse().unwrap())
        );
    }

    #[test]
    fn the_metadata_service_is_not_named_by_the_link_local_network() {
        let link = parse_pattern("169.254.0.0/16").unwrap();
        assert!(link.covers_address("169.254.7.7".parse().unwrap()));
        assert!(!link.covers_address("169.254.169.254".parse().unwrap()));
        assert!(
            parse_pattern("169.254.169.254")
                .unwrap()
                .covers_address("169.254.169.254".parse().unwrap())
        );
    }
}
