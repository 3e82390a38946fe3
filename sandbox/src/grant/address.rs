//! Addresses that no wildcard grants.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// Why an address needs a grant that names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Special {
    /// The machine itself.
    Loopback,
    /// The machine's own link.
    LinkLocal,
    /// "This host", which Linux takes for loopback.
    Unspecified,
    /// A cloud's metadata service, which hands out credentials.
    Metadata(IpAddr),
    /// Multicast or broadcast: many receivers at once.
    Group,
}

const fn v4(a: u8, b: u8, c: u8, d: u8, prefix: u8) -> IpNet {
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix))
}

const fn v6(segments: [u16; 8], prefix: u8) -> IpNet {
    let [a, b, c, d, e, f, g, h] = segments;
    IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, d, e, f, g, h), prefix))
}

const LOOPBACK: [IpNet; 2] = [v4(127, 0, 0, 0, 8), v6([0, 0, 0, 0, 0, 0, 0, 1], 128)];
const LINK_LOCAL: [IpNet; 2] = [v4(169, 254, 0, 0, 16), v6([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10)];
// RFC 1122 3.2.1.3 and RFC 4291 2.5.2.
const UNSPECIFIED: [IpNet; 2] = [v4(0, 0, 0, 0, 8), v6([0; 8], 128)];
const GROUP: [IpNet; 3] = [
    v4(224, 0, 0, 0, 4),
    v4(255, 255, 255, 255, 32),
    v6([0xff00, 0, 0, 0, 0, 0, 0, 0], 8),
];

/// What the big clouds' documentation names; each is one address, so that granting its network doesn't grant it.
const METADATA: [IpNet; 12] = [
    // AWS, Azure, Google, OpenStack, Oracle, DigitalOcean, Hetzner.
    v4(169, 254, 169, 254, 32),
    // AWS: time, container credentials, EKS pod identity.
    v4(169, 254, 170, 2, 32),
    v4(169, 254, 170, 23, 32),
    v6([0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254], 128),
    v6([0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23], 128),
    // Google.
    v6([0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254], 128),
    // Azure's wire server.
    v4(168, 63, 129, 16, 32),
    // Alibaba.
    v4(100, 100, 100, 200, 32),
    // Oracle's older one.
    v4(192, 0, 0, 192, 32),
    // Scaleway.
    v4(169, 254, 42, 42, 32),
    v6([0xfd00, 0x42, 0, 0, 0, 0, 0, 0x42], 128),
    // OpenStack.
    v6([0xfe80, 0, 0, 0, 0, 0, 0xa9fe, 0xa9fe], 128),
];

impl Special {
    /// The networks that make up the range.
    #[must_use]
    pub fn networks(&self) -> Vec<IpNet> {
        match self {
            Self::Loopback => LOOPBACK.to_vec(),
            Self::LinkLocal => LINK_LOCAL.to_vec(),
            Self::Unspecified => UNSPECIFIED.to_vec(),
            Self::Group => GROUP.to_vec(),
            Self::Metadata(address) => vec![IpNet::from(*address)],
        }
    }
}

impl fmt::Display for Special {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Loopback => "a loopback address",
            Self::LinkLocal => "a link-local address",
            Self::Unspecified => "an unspecified address",
            Self::Metadata(_) => "a cloud metadata service",
            Self::Group => "a multicast or broadcast address",
        })
    }
}

/// The address that packets are sent to: IPv4-mapped IPv6 is unwrapped.
#[must_use]
pub fn canonical(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

/// Which special range the address is in, if any. An IPv4 address that a translator or tunnel would unpack counts as well.
#[must_use]
pub fn special(address: IpAddr) -> Option<Special> {
    let address = canonical(address);
    own(address).or_else(|| match address {
        IpAddr::V6(v6) => embedded(v6).and_then(|inner| own(IpAddr::V4(inner))),
        IpAddr::V4(_) => None,
    })
}

fn own(address: IpAddr) -> Option<Special> {
    let within = |networks: &[IpNet]| networks.iter().any(|network| network.contains(&address));
    if within(&METADATA) {
        Some(Special::Metadata(address))
    } else if within(&LOOPBACK) {
        Some(Special::Loopback)
    } else if within(&UNSPECIFIED) {
        Some(Special::Unspecified)
    } else if within(&LINK_LOCAL) {
        Some(Special::LinkLocal)
    } else if within(&GROUP) {
        Some(Special::Group)
    } else {
        None
    }
}

/// The IPv4 address inside: NAT64 (RFC 6052), 6to4 (RFC 3056), IPv4-compatible (RFC 4291 2.5.5.1).
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let [a, b, c, d, e, f, g, h] = address.segments();
    let low = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    match [a, b, c, d, e, f] {
        [0x64, 0xff9b, 0, 0, 0, 0] | [0, 0, 0, 0, 0, 0] => Some(low(g, h)),
        [0x2002, ..] => Some(low(b, c)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn kind(text: &str) -> Option<Special> {
        special(text.parse().unwrap())
    }

    #[test]
    fn the_machine_itself_is_special_in_every_form() {
        for text in [
            "127.0.0.1",
            "127.255.255.255",
            "::1",
            "::ffff:127.0.0.1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
            "::127.0.0.1",
        ] {
            assert_eq!(kind(text), Some(Special::Loopback), "{text}");
        }
        for text in ["0.0.0.0", "0.1.2.3", "::", "::ffff:0.0.0.0"] {
            assert_eq!(kind(text), Some(Special::Unspecified), "{text}");
        }
    }

    #[test]
    fn metadata_services_come_before_link_local() {
        for text in [
            "169.254.169.254",
            "::ffff:169.254.169.254",
            "fd00:ec2::254",
            "168.63.129.16",
            "64:ff9b::a9fe:a9fe",
        ] {
            assert!(matches!(kind(text), Some(Special::Metadata(_))), "{text}");
        }
        assert_eq!(kind("169.254.1.1"), Some(Special::LinkLocal));
        assert_eq!(kind("fe80::1"), Some(Special::LinkLocal));
    }

    #[test]
    fn ordinary_addresses_are_ordinary() {
        for text in [
            "10.0.0.1",
            "192.168.1.1",
            "8.8.8.8",
            "2001:db8::1",
            "fd12::1",
            "64:ff9b::808:808",
            "1.0.0.0",
        ] {
            assert_eq!(kind(text), None, "{text}");
        }
        assert_eq!(kind("224.0.0.251"), Some(Special::Group));
        assert_eq!(kind("255.255.255.255"), Some(Special::Group));
    }

    proptest! {
        #[test]
        fn mapping_an_address_changes_nothing(bits: u32) {
            let v4 = Ipv4Addr::from(bits);
            prop_assert_eq!(special(IpAddr::V4(v4)), special(IpAddr::V6(v4.to_ipv6_mapped())));
        }
    }
}
