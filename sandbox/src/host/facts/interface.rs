//! `/proc/net/dev`, `/sys/class/net`, `/proc/net/if_inet6` and the addresses that routes show.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::Path;

use super::{FactError, optional, text};

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Interface {
    pub(crate) name: String,
    pub(crate) up: bool,
    /// bit/s.
    pub(crate) speed: Option<u64>,
    pub(crate) mtu: u32,
    pub(crate) addresses: Vec<String>,
    /// Bytes, packets, errors, drops.
    pub(crate) receive: [u64; 4],
    pub(crate) transmit: [u64; 4],
}

const MAX: usize = 4096;

pub(crate) fn read() -> Result<Vec<Interface>, FactError> {
    let mut interfaces = parse_dev(&text("/proc/net/dev")?);
    interfaces.truncate(MAX);
    let v6 = optional("/proc/net/if_inet6").unwrap_or_default();
    let trie = optional("/proc/net/fib_trie").unwrap_or_default();
    let routes = optional("/proc/net/route").unwrap_or_default();
    let v4 = local_v4(&trie);
    for interface in &mut interfaces {
        let own = |file: &str| {
            let text = optional(Path::new("/sys/class/net").join(&interface.name).join(file))?;
            Some(text.trim().to_owned())
        };
        // `unknown` is what loopback and tunnels say that carry packets.
        interface.up = own("operstate").is_some_and(|state| state == "up" || state == "unknown");
        interface.mtu = own("mtu").and_then(|mtu| mtu.parse().ok()).unwrap_or(0);
        // In Mbit/s; -1 where the driver doesn't know.
        let megabits = own("speed").and_then(|speed| speed.parse::<u64>().ok());
        interface.speed = megabits.map(|speed| speed.saturating_mul(1_000_000));
        interface.addresses = v4_of(&interface.name, &v4, &routes);
        interface.addresses.extend(v6_of(&interface.name, &v6));
    }
    Ok(interfaces)
}

fn parse_dev(text: &str) -> Vec<Interface> {
    let parse = |line: &str| {
        let (name, numbers) = line.split_once(':')?;
        let numbers: Vec<u64> = numbers
            .split_whitespace()
            .filter_map(|number| number.parse().ok())
            .collect();
        let [rb, rp, re, rd, _, _, _, _, tb, tp, te, td, ..] = numbers.as_slice() else {
            return None;
        };
        Some(Interface {
            name: name.trim().to_owned(),
            receive: [*rb, *rp, *re, *rd],
            transmit: [*tb, *tp, *te, *td],
            ..Interface::default()
        })
    };
    text.lines().filter_map(parse).collect()
}

/// Lines of 32 hexadecimal digits, index, prefix length, scope, flags, name.
fn v6_of(interface: &str, text: &str) -> Vec<String> {
    let parse = |line: &str| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let [digits, _, _, _, _, name] = fields.as_slice() else {
            return None;
        };
        let bits = u128::from_str_radix(digits, 16).ok()?;
        (*name == interface).then(|| Ipv6Addr::from(bits).to_string())
    };
    text.lines().filter_map(parse).collect()
}

/// The kernel's trie names each local address on a line before `/32 host LOCAL`.
fn local_v4(trie: &str) -> Vec<Ipv4Addr> {
    let mut found = Vec::new();
    let mut last = None;
    for line in trie.lines() {
        if let Some(address) = line.trim().strip_prefix("|-- ") {
            last = address.parse::<Ipv4Addr>().ok();
        } else if line.contains("/32 host LOCAL")
            && let Some(address) = last
            && !found.contains(&address)
        {
            found.push(address);
        }
    }
    found
}

/// Which of the machine's addresses are in a network that a route of this interface reaches directly.
fn v4_of(interface: &str, local: &[Ipv4Addr], routes: &str) -> Vec<String> {
    if interface == "lo" {
        return local
            .iter()
            .filter(|address| address.is_loopback())
            .map(ToString::to_string)
            .collect();
    }
    let networks: Vec<(u32, u32)> = routes
        .lines()
        .filter_map(|line| {
            let fields: Vec<_> = line.split_whitespace().collect();
            let [name, destination, gateway, _, _, _, _, mask, ..] = fields.as_slice() else {
                return None;
            };
            let number = |text: &str| u32::from_str_radix(text, 16).ok().map(u32::swap_bytes);
            let direct = *name == interface && *gateway == "00000000" && *mask != "00000000";
            direct
                .then(|| Some((number(destination)?, number(mask)?)))
                .flatten()
        })
        .collect();
    local
        .iter()
        .filter(|address| {
            networks
                .iter()
                .any(|(network, mask)| u32::from(**address) & mask == *network)
        })
        .map(ToString::to_string)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_read() {
        let text = "Inter-|   Receive  |  Transmit\n face |bytes    packets errs drop\n  eth0: 1 2 3 4 0 0 0 0 5 6 7 8 0 0 0 0\nbad: 1\n";
        let found = parse_dev(text);
        assert_eq!(found.len(), 1);
        assert_eq!(
            (found[0].name.as_str(), found[0].receive, found[0].transmit),
            ("eth0", [1, 2, 3, 4], [5, 6, 7, 8])
        );
    }

    #[test]
    fn addresses_of_both_families_are_found() {
        let v6 = "fe800000000000000000000000000001 02 40 20 80     eth0\n00000000000000000000000000000001 01 80 10 80       lo\n";
        assert_eq!(v6_of("eth0", v6), ["fe80::1"]);
        let trie = "Local:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 10.1.2.3\n        /32 host LOCAL\n     |-- 127.0.0.1\n        /32 host LOCAL\n     |-- 10.1.2.255\n        /32 link BROADCAST\n";
        let local = local_v4(trie);
        let routes = "Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT\neth0 0002010A 00000000 0001 0 0 0 00FFFFFF 0 0 0\n";
        assert_eq!(v4_of("eth0", &local, routes), ["10.1.2.3"]);
        assert_eq!(v4_of("lo", &local, routes), ["127.0.0.1"]);
    }

    #[test]
    fn this_machine_has_loopback() {
        assert!(read().unwrap().iter().any(|interface| interface.name == "lo"));
    }
}
