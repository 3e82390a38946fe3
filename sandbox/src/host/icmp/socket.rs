//! The socket that pings.

use std::io;
use std::net::{IpAddr, SocketAddr};

use rand::RngCore;
use rustix::net::sockopt;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;

use super::packet::{self, Version};
use super::{EchoError, Train};

pub(super) struct PingSocket {
    /// No UDP at all: tokio's type for a connected socket that sends and receives whole packets.
    socket: UdpSocket,
    version: Version,
    raw: bool,
    identifier: u16,
    /// Random, so that replies to others aren't taken for ours.
    payload: Vec<u8>,
}

impl PingSocket {
    pub(super) fn open(address: IpAddr, train: &Train) -> Result<Self, EchoError> {
        let (version, domain, protocol) = match address {
            IpAddr::V4(_) => (Version::V4, Domain::IPV4, Protocol::ICMPV4),
            IpAddr::V6(_) => (Version::V6, Domain::IPV6, Protocol::ICMPV6),
        };
        let (socket, raw) = match Socket::new(domain, Type::DGRAM, Some(protocol)) {
            Ok(socket) => (socket, false),
            // Not for this group, or no such sockets in this kernel.
            Err(error)
                if error.kind() == io::ErrorKind::PermissionDenied
                    || error.raw_os_error() == Some(rustix::io::Errno::PROTONOSUPPORT.raw_os_error()) =>
            {
                (
                    Socket::new(domain, Type::RAW, Some(protocol)).map_err(not_permitted)?,
                    true,
                )
            }
            Err(error) => return Err(error.into()),
        };
        socket.set_nonblocking(true)?;
        // Connected, the kernel hands us ICMP errors about this peer, and nobody else's packets.
        socket.connect(&SocketAddr::new(address, 0).into())?;
        if let Some(ttl) = train.ttl {
            match version {
                Version::V4 => socket.set_ttl_v4(ttl.into())?,
                Version::V6 => socket.set_unicast_hops_v6(ttl.into())?,
            }
        }
        fragmentation(&socket, version, train.dont_fragment)?;
        let mut rng = rand::rng();
        let mut payload = vec![0; train.payload as usize];
        rng.fill_bytes(&mut payload);
        let identifier = u16::try_from(rng.next_u32() >> 16).unwrap_or(1);
        Ok(Self {
            socket: UdpSocket::from_std(socket.into())?,
            version,
            raw,
            identifier,
            payload,
        })
    }

    pub(super) async fn send(&self, sequence: u16) -> io::Result<()> {
        let packet = packet::request(self.version, self.identifier, sequence, &self.payload);
        self.socket.send(&packet).await.map(|_| ())
    }

    /// Waits for the reply; late replies to earlier requests are passed over.
    pub(super) async fn receive(&self, sequence: u16) -> io::Result<()> {
        // An IPv4 header has at most 60 bytes, ICMP's 8.
        let mut buffer = vec![0; self.payload.len() + 68];
        loop {
            let received = self.socket.recv(&mut buffer).await?;
            let found = packet::reply(self.version, self.raw, &buffer[..received], &self.payload);
            if found == Some(sequence) {
                return Ok(());
            }
        }
    }
}

fn fragmentation(socket: &Socket, version: Version, forbidden: bool) -> io::Result<()> {
    match version {
        Version::V4 => {
            let mode = if forbidden {
                sockopt::Ipv4PathMtuDiscovery::DO
            } else {
                sockopt::Ipv4PathMtuDiscovery::DONT
            };
            sockopt::set_ip_mtu_discover(socket, mode)?;
        }
        Version::V6 => {
            let mode = if forbidden {
                sockopt::Ipv6PathMtuDiscovery::DO
            } else {
                sockopt::Ipv6PathMtuDiscovery::DONT
            };
            sockopt::set_ipv6_mtu_discover(socket, mode)?;
        }
    }
    Ok(())
}

fn not_permitted(error: io::Error) -> EchoError {
    if error.kind() != io::ErrorKind::PermissionDenied {
        return EchoError::Io(error);
    }
    let range = std::fs::read_to_string("/proc/sys/net/ipv4/ping_group_range").unwrap_or_default();
    let range = range.split_whitespace().collect::<Vec<_>>().join(" ");
    let group = rustix::process::getegid().as_raw();
    // A range for this group alone would shut out others, and a group that the service manager makes up changes.
    EchoError::NotPermitted(format!(
        "this host may not send ICMP: its group {group} is outside net.ipv4.ping_group_range ({range}); write \
         `net.ipv4.ping_group_range = 0 2147483647` to /etc/sysctl.d/60-ping.conf and run `sysctl --system`, or give the \
         agent CAP_NET_RAW"
    ))
}
