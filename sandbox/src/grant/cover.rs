//! Whether one grant is as wide as another.

use super::{Grant, HostPattern};

impl Grant {
    /// Whether all that `other` allows is allowed by this grant too.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (
                Self::Network {
                    protocol,
                    host,
                    ports,
                },
                Self::Network {
                    protocol: wanted_protocol,
                    host: wanted,
                    ports: wanted_ports,
                },
            ) => protocol == wanted_protocol && ports.covers(*wanted_ports) && host.covers(wanted),
            (Self::Icmp(host), Self::Icmp(wanted)) => host.covers(wanted),
            (Self::SecretReveal(own), Self::Secret(wanted)) => own == wanted,
            (Self::Read(own), Self::Read(wanted)) => wanted.starts_with(own),
            _ => self == other,
        }
    }
}

impl HostPattern {
    fn covers(&self, wanted: &Self) -> bool {
        match wanted {
            _ if self == wanted => true,
            Self::Name(name) => self.covers_name(name),
            // A suffix beneath a suffix: any name beneath the one is beneath the other.
            Self::Suffix(suffix) => match self {
                Self::Any => true,
                Self::Suffix(own) => suffix
                    .strip_suffix(own.as_str())
                    .is_some_and(|rest| rest.ends_with('.')),
                _ => false,
            },
            Self::Address(address) => self.covers_address(*address),
            Self::Network(network) => match self {
                Self::Network(own) => own.contains(network) && self.covers_address(network.network()),
                _ => false,
            },
            Self::Any => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn covers(grant: &str, need: &str) -> bool {
        grant.parse::<Grant>().unwrap().covers(&need.parse().unwrap())
    }

    #[test]
    fn a_wider_grant_covers_a_narrower_need() {
        for (grant, need) in [
            ("tcp:*:*", "tcp:db.example:5432"),
            ("tcp:*.example:1-9", "tcp:*.db.example:2-3"),
            ("tcp:10.0.0.0/8:80", "tcp:10.1.0.0/16:80"),
            ("tcp:localhost:80", "tcp:127.0.0.1:80"),
            ("icmp:*", "icmp:10.0.0.1"),
            ("secret-reveal:a", "secret:a"),
            ("read:/var/log", "read:/var/log/app"),
        ] {
            assert!(covers(grant, need), "{grant} {need}");
        }
    }

    #[test]
    fn a_narrower_or_other_grant_does_not() {
        for (grant, need) in [
            ("tcp:db.example:5432", "tcp:*:5432"),
            ("tcp:*:80", "tcp:a.example:81"),
            ("tcp:*:80", "udp:a.example:80"),
            ("tcp:*:80", "tcp:127.0.0.1:80"),
            ("tcp:0.0.0.0/0:80", "tcp:127.0.0.0/8:80"),
            ("secret:a", "secret-reveal:a"),
            ("read:/var/log", "read:/var/logs"),
            ("host-facts:processes", "host-facts:process-arguments"),
        ] {
            assert!(!covers(grant, need), "{grant} {need}");
        }
    }
}
