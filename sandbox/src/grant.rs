//! What a check may reach: grants, their grammar, and the rules by which they allow or deny.
//!
//! A name is checked first, and each address that it resolves to again. Addresses of the machine itself, of its link,
//! of cloud metadata services and of groups need a grant that names them, whatever a wildcard says.

pub mod address;
mod cover;
mod denied;
pub mod host;
pub mod port;
mod set;

use std::fmt;
use std::path::{Component, Path, PathBuf};
use std::str::FromStr;

pub use denied::Denied;
pub use host::{HostPattern, Target};
pub use port::PortRange;
pub use set::GrantSet;

/// A protocol whose peers are granted by host and port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Protocol {
    /// TCP sockets of `wasi:sockets`.
    Tcp,
    /// UDP sockets of `wasi:sockets`.
    Udp,
    /// The `http` interface, for `http:` and `https:`.
    Http,
}

impl Protocol {
    /// The word that a grant starts with.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Http => "http",
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A kind of fact about the agent's own machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FactKind {
    /// Processor time, load and pressure.
    Cpu,
    /// Memory and swap.
    Memory,
    /// Mounted file systems.
    Disk,
    /// Processes, without their arguments.
    Processes,
    /// The arguments of processes as well.
    ProcessArguments,
    /// Units of the service manager.
    Services,
    /// Network interfaces.
    Interfaces,
    /// Uptime, kernel and host name.
    Uptime,
}

impl FactKind {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Cpu,
        Self::Memory,
        Self::Disk,
        Self::Processes,
        Self::ProcessArguments,
        Self::Services,
        Self::Interfaces,
        Self::Uptime,
    ];

    /// The word in a grant.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Memory => "memory",
            Self::Disk => "disk",
            Self::Processes => "processes",
            Self::ProcessArguments => "process-arguments",
            Self::Services => "services",
            Self::Interfaces => "interfaces",
            Self::Uptime => "uptime",
        }
    }
}

impl fmt::Display for FactKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One line of a check's `allow` list. `Display` gives the canonical spelling, which parses to the same grant.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Grant {
    /// `tcp:HOST:PORT`, `udp:HOST:PORT`, `http:HOST:PORT`.
    Network {
        /// How it is reached.
        protocol: Protocol,
        /// Who.
        host: HostPattern,
        /// Which ports.
        ports: PortRange,
    },
    /// `icmp:HOST`.
    Icmp(HostPattern),
    /// `host-facts:KIND`.
    HostFacts(FactKind),
    /// `secret:NAME`: the host may use it for the checker.
    Secret(String),
    /// `secret-reveal:NAME`: the checker may have its bytes, and what `secret:NAME` allows.
    SecretReveal(String),
    /// `read:PATH`: a directory with all that is beneath it, or a single regular file.
    Read(PathBuf),
}

/// Why a text isn't a grant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{grant:?} is not a grant: {reason}")]
pub struct GrantError {
    /// What was found.
    pub grant: String,
    /// What was expected.
    pub reason: String,
}

const KINDS: &str = "tcp:HOST:PORT, udp:HOST:PORT, http:HOST:PORT, icmp:HOST, host-facts:KIND, secret:NAME, \
                     secret-reveal:NAME or read:PATH";

impl FromStr for Grant {
    type Err = GrantError;

    fn from_str(text: &str) -> Result<Self, GrantError> {
        parse(text).map_err(|reason| GrantError {
            grant: text.to_owned(),
            reason,
        })
    }
}

fn parse(text: &str) -> Result<Grant, String> {
    let Some((kind, rest)) = text.split_once(':') else {
        return Err(format!("expected {KINDS}"));
    };
    match kind {
        "tcp" => network(Protocol::Tcp, rest),
        "udp" => network(Protocol::Udp, rest),
        "http" => network(Protocol::Http, rest),
        "https" => Err(format!("https is granted by http as well: write http:{rest}")),
        "icmp" => Ok(Grant::Icmp(host::parse_pattern(rest)?)),
        "host-facts" => fact_kind(rest).map(Grant::HostFacts),
        "secret" => secret_name(rest).map(Grant::Secret),
        "secret-reveal" => secret_name(rest).map(Grant::SecretReveal),
        "read" => read_path(rest).map(Grant::Read),
        other => Err(format!("{other:?} is not known; expected {KINDS}")),
    }
}

fn network(protocol: Protocol, rest: &str) -> Result<Grant, String> {
    let Some((host, port)) = rest
        .rsplit_once(':')
        .filter(|(host, port)| !host.is_empty() && !port.contains(']'))
    else {
        return Err(format!(
            "expected {protocol}:HOST:PORT, where PORT is a number, a range a-b or *"
        ));
    };
    Ok(Grant::Network {
        protocol,
        host: host::parse_pattern(host)?,
        ports: port.parse()?,
    })
}

fn fact_kind(text: &str) -> Result<FactKind, String> {
    FactKind::ALL
        .into_iter()
        .find(|kind| kind.as_str() == text)
        .ok_or_else(|| {
            let known: Vec<_> = FactKind::ALL.iter().map(|kind| kind.as_str()).collect();
            format!(
                "{text:?} is not a kind of host fact; expected one of {}",
                known.join(", ")
            )
        })
}

fn secret_name(text: &str) -> Result<String, String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    // A leading dot would let a name reach `.` and `..` where secrets are files.
    let valid = (1..=64).contains(&text.len()) && !text.starts_with('.') && text.bytes().all(plain);
    if valid {
        Ok(text.to_owned())
    } else {
        Err("a secret's name is 1 to 64 bytes of [A-Za-z0-9._-], not starting with a dot".to_owned())
    }
}

fn read_path(text: &str) -> Result<PathBuf, String> {
    let path = Path::new(text);
    let plain = path
        .components()
        .all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
    if !path.is_absolute() || !plain || text.contains('\0') {
        return Err("a path is absolute, without . and ..".to_owned());
    }
    if path.parent().is_none() {
        return Err("the root directory would grant every file; name a directory".to_owned());
    }
    Ok(path.components().collect())
}

impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network {
                protocol,
                host,
                ports,
            } => write!(f, "{protocol}:{host}:{ports}"),
            Self::Icmp(host) => write!(f, "icmp:{host}"),
            Self::HostFacts(kind) => write!(f, "host-facts:{kind}"),
            Self::Secret(name) => write!(f, "secret:{name}"),
            Self::SecretReveal(name) => write!(f, "secret-reveal:{name}"),
            Self::Read(path) => write!(f, "read:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        text.parse::<Grant>().unwrap_err().to_string()
    }

    #[test]
    fn every_kind_prints_as_it_was_written() {
        for text in [
            "tcp:db.example:5432",
            "tcp:[2001:db8::1]:443",
            "udp:10.0.0.53:53",
            "http:*.example:8000-8100",
            "http:*:*",
            "tcp:10.0.0.0/8:22",
            "tcp:[fd00::/8]:22",
            "icmp:10.0.0.1",
            "icmp:[fe80::1]",
            "host-facts:process-arguments",
            "secret:api-token",
            "secret-reveal:db.password",
            "read:/var/log/app",
        ] {
            assert_eq!(text.parse::<Grant>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn names_are_compared_without_case_and_final_dot() {
        assert_eq!(
            "tcp:DB.Example.:1".parse::<Grant>().unwrap().to_string(),
            "tcp:db.example:1"
        );
    }

    #[test]
    fn a_grant_without_port_says_what_is_missing() {
        assert!(refused("tcp:db.example").contains("HOST:PORT"));
        assert!(refused("tcp:[::1]").contains("HOST:PORT"));
        assert!(refused("tcp::80").contains("HOST:PORT"));
    }

    #[test]
    fn https_points_to_http() {
        assert!(refused("https:a.example:443").contains("http:a.example:443"));
    }

    #[test]
    fn odd_spellings_of_addresses_are_refused_with_the_plain_one() {
        for (odd, plain) in [
            ("0x7f000001", "127.0.0.1"),
            ("2130706433", "127.0.0.1"),
            ("127.1", "127.0.0.1"),
            ("010.0.0.1", "8.0.0.1"),
        ] {
            assert!(refused(&format!("tcp:{odd}:80")).contains(plain), "{odd}");
        }
    }

    #[test]
    fn a_cidr_with_host_bits_is_refused_with_the_network() {
        assert!(refused("tcp:10.0.0.1/8:80").contains("10.0.0.0/8"));
    }

    #[test]
    fn a_secret_name_can_not_leave_its_folder() {
        for name in ["..", ".hidden", "a/b", "", "a b"] {
            assert!(format!("secret:{name}").parse::<Grant>().is_err(), "{name}");
        }
    }

    #[test]
    fn a_path_is_absolute_and_plain() {
        for path in ["var/log", "/var/../etc", "/", ""] {
            assert!(format!("read:{path}").parse::<Grant>().is_err(), "{path}");
        }
    }

    #[test]
    fn an_unknown_host_fact_lists_the_known_ones() {
        assert!(refused("host-facts:disks").contains("disk, processes"));
    }
}
