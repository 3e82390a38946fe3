//! The sockets of a running process, as the kernel sees them (`/proc/PID/fd` and `/proc/PID/net/*`, proc(5)).

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use anyhow::Context as _;

/// The state of a TCP socket that listens, in `/proc/net/tcp` (the kernel's `TCP_LISTEN`).
const LISTEN: &str = "0A";

/// One IPv4 or IPv6 socket.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Socket {
    /// `tcp` or `udp`.
    pub protocol: &'static str,
    /// The near end.
    pub local: SocketAddr,
    /// The far end; unspecified where there is none.
    pub remote: SocketAddr,
    /// Whether it waits for connections.
    pub listens: bool,
}

/// All IP sockets that the process has open now.
pub fn of(process: u32) -> anyhow::Result<Vec<Socket>> {
    let inodes = inodes(process)?;
    let mut sockets = Vec::new();
    for (protocol, table) in [("tcp", "tcp"), ("tcp", "tcp6"), ("udp", "udp"), ("udp", "udp6")] {
        let path = format!("/proc/{process}/net/{table}");
        let text = std::fs::read_to_string(&path).with_context(|| path)?;
        sockets.extend(
            text.lines()
                .skip(1)
                .filter_map(|line| parse(protocol, line, &inodes)),
        );
    }
    Ok(sockets)
}

/// Where the process waits for connections.
pub fn listening(process: u32) -> anyhow::Result<Vec<SocketAddr>> {
    Ok(of(process)?
        .into_iter()
        .filter(|socket| socket.listens)
        .map(|socket| socket.local)
        .collect())
}

/// What the process dialled, or sends datagrams with: every socket that neither listens nor was accepted by one of its
/// listeners.
pub fn outbound(process: u32) -> anyhow::Result<Vec<Socket>> {
    let sockets = of(process)?;
    let ports: HashSet<u16> = sockets
        .iter()
        .filter(|socket| socket.listens)
        .map(|socket| socket.local.port())
        .collect();
    Ok(sockets
        .into_iter()
        .filter(|socket| !socket.listens && !ports.contains(&socket.local.port()))
        .collect())
}

fn inodes(process: u32) -> anyhow::Result<HashSet<String>> {
    let folder = format!("/proc/{process}/fd");
    let mut inodes = HashSet::new();
    for entry in std::fs::read_dir(&folder).with_context(|| folder)? {
        // A descriptor may be closed between the listing and this look.
        let Ok(target) = std::fs::read_link(entry?.path()) else {
            continue;
        };
        let target = target.to_string_lossy();
        if let Some(inode) = target
            .strip_prefix("socket:[")
            .and_then(|rest| rest.strip_suffix(']'))
        {
            inodes.insert(inode.to_owned());
        }
    }
    Ok(inodes)
}

fn parse(protocol: &'static str, line: &str, inodes: &HashSet<String>) -> Option<Socket> {
    let words: Vec<&str> = line.split_whitespace().collect();
    inodes.contains(*words.get(9)?).then_some(())?;
    Some(Socket {
        protocol,
        local: address(words.get(1)?)?,
        remote: address(words.get(2)?)?,
        listens: protocol == "tcp" && *words.get(3)? == LISTEN,
    })
}

/// `0100007F:1F90` is 127.0.0.1:8080: groups of four bytes in the machine's order, the port in hexadecimal.
fn address(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.split_once(':')?;
    let mut bytes = Vec::with_capacity(16);
    for group in 0..address.len() / 8 {
        let word = u32::from_str_radix(address.get(group * 8..group * 8 + 8)?, 16).ok()?;
        bytes.extend_from_slice(&word.to_ne_bytes());
    }
    let ip = match bytes.as_slice() {
        bytes if bytes.len() == 4 => IpAddr::from(Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?)),
        bytes => IpAddr::from(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?)),
    };
    Some(SocketAddr::new(ip, u16::from_str_radix(port, 16).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sees_listeners_and_outbound_connections_apart() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let dialled = std::net::TcpStream::connect(address).unwrap();
        let accepted = listener.accept().unwrap();
        let process = std::process::id();
        assert!(listening(process).unwrap().contains(&address));
        let outbound = outbound(process).unwrap();
        assert!(outbound.iter().any(|socket| socket.remote == address));
        assert!(!outbound.iter().any(|socket| socket.local == address));
        drop((dialled, accepted));
    }

    #[test]
    fn reads_both_families() {
        assert_eq!(address("0100007F:1F90"), Some("127.0.0.1:8080".parse().unwrap()));
        assert_eq!(
            address("00000000000000000000000001000000:0050"),
            Some("[::1]:80".parse().unwrap())
        );
    }
}
