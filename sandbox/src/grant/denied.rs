//! Refusals, with the line that would lift them.

use std::fmt;
use std::net::IpAddr;

use super::address::Special;
use super::{Grant, HostPattern, PortRange, Protocol, Target};

/// Something that no grant allows. `Display` is one sentence with the line to add.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Denied {
    /// The narrowest grant that would allow it.
    pub missing: Grant,
    /// What was asked for, in words.
    asked: String,
}

impl Denied {
    pub(super) fn network(protocol: Protocol, target: &Target, port: u16) -> Self {
        let missing = Grant::Network {
            protocol,
            host: target.pattern(),
            ports: PortRange::single(port),
        };
        Self {
            missing,
            asked: format!("{protocol} to {target} port {port} is not granted"),
        }
    }

    pub(super) fn lookup(name: &str) -> Self {
        // Which port the checker wants isn't known yet.
        let missing = Grant::Network {
            protocol: Protocol::Tcp,
            host: HostPattern::Name(name.to_owned()),
            ports: PortRange::ALL,
        };
        Self {
            missing,
            asked: format!("looking up {name} is not granted, as no tcp or udp grant names it"),
        }
    }

    pub(super) fn special(
        protocol: Protocol,
        name: Option<&str>,
        address: IpAddr,
        port: u16,
        range: Special,
    ) -> Self {
        let missing = Grant::Network {
            protocol,
            host: HostPattern::Address(address),
            ports: PortRange::single(port),
        };
        Self {
            missing,
            asked: special_sentence(name, address, range),
        }
    }

    pub(super) fn icmp(target: &Target) -> Self {
        Self {
            missing: Grant::Icmp(target.pattern()),
            asked: format!("icmp to {target} is not granted"),
        }
    }

    pub(super) fn icmp_special(name: Option<&str>, address: IpAddr, range: Special) -> Self {
        Self {
            missing: Grant::Icmp(HostPattern::Address(address)),
            asked: special_sentence(name, address, range),
        }
    }

    pub(super) fn plain(missing: Grant) -> Self {
        let asked = match &missing {
            Grant::HostFacts(kind) => format!("host facts about {kind} are not granted"),
            Grant::Secret(name) => format!("the secret {name} is not granted"),
            Grant::SecretReveal(name) => format!("revealing the secret {name} is not granted"),
            other => format!("{other} is not granted"),
        };
        Self { missing, asked }
    }
}

fn special_sentence(name: Option<&str>, address: IpAddr, range: Special) -> String {
    let target = Target::Address(address);
    match name {
        Some(name) => format!("{name} is at {target}, {range}, which needs a grant that names it"),
        None => format!("{target} is {range}, which needs a grant that names it"),
    }
}

impl Target {
    fn pattern(&self) -> HostPattern {
        match self {
            Self::Name(name) => HostPattern::Name(name.clone()),
            Self::Address(address) => HostPattern::Address(*address),
        }
    }
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: add allow = [\"{}\"] to the check",
            self.asked, self.missing
        )
    }
}
