//! What an operator writes.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use picket_checker_sdk::net;
use picket_checker_sdk::prelude::*;
use schemars::{Schema, SchemaGenerator, json_schema};

use crate::codec::record::RecordType;

/// Asks name servers for a record and compares what they answer.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
pub(crate) struct Config {
    /// The name to ask for; with `record = "PTR"` an address will do.
    pub(crate) name: String,
    /// The type of record to ask for.
    #[serde(default)]
    pub(crate) record: RecordType,
    /// The name servers to ask, each with a port if it isn't 53: `192.0.2.53`, `ns1.example`, `[2001:db8::53]:5353`.
    #[schemars(length(min = 1))]
    pub(crate) servers: Vec<Server>,
    /// How to ask.
    #[serde(default)]
    pub(crate) transport: Transport,
    /// Whether to ask the server to resolve the name for us; off for servers that only answer for their own zones.
    #[serde(default = "yes")]
    pub(crate) recursion: bool,
    /// The response code that is right: `NOERROR`, `NXDOMAIN`, `REFUSED`, …
    #[serde(default = "no_error")]
    pub(crate) rcode: String,
    /// The answers that are right, as in a zone file without quotes: `192.0.2.1`, `10 mail.example`, … Empty: any.
    #[serde(default)]
    pub(crate) answers: Vec<String>,
    /// How the answers that came compare with those.
    #[serde(default, rename = "match")]
    pub(crate) matching: Matching,
    /// Whether the answer must (or must not) be authoritative.
    #[serde(default)]
    pub(crate) authoritative: Option<bool>,
    /// Whether the server must (or must not) say that it has verified the answer by DNSSEC (AD).
    #[serde(default)]
    pub(crate) authenticated: Option<bool>,
    /// Whether all servers must have the same SOA serial; with `record = "SOA"`.
    #[serde(default)]
    pub(crate) serials_agree: bool,
    /// Time to the answer, in seconds.
    #[serde(default)]
    pub(crate) latency: Thresholds,
}

fn yes() -> bool {
    true
}

fn no_error() -> String {
    "NOERROR".to_owned()
}

/// How to ask.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub(crate) enum Transport {
    /// By UDP, and by TCP where the answer is too long for it.
    #[default]
    Auto,
    /// By UDP only.
    Udp,
    /// By TCP only.
    Tcp,
}

/// How the answers that came compare with the expected ones.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub(crate) enum Matching {
    /// All of the expected ones came, and maybe more.
    #[default]
    All,
    /// The expected ones came, and no more.
    Exact,
    /// At least one of the expected ones came.
    Any,
}

/// A name server: a host and a port.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Server {
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl FromStr for Server {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // An IPv6 address without brackets is full of colons and has no port.
        if net::literal(text, 53).is_some() {
            let host = text.trim_start_matches('[').trim_end_matches(']');
            return Ok(Self {
                host: host.to_owned(),
                port: 53,
            });
        }
        let (host, port) = match text.rsplit_once(':') {
            None => (text, Some(53)),
            Some((host, port)) => (host, port.parse().ok().filter(|port| *port > 0)),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        match port {
            Some(port) if !host.is_empty() && (!host.contains(':') || net::literal(host, port).is_some()) => {
                Ok(Self {
                    host: host.to_owned(),
                    port,
                })
            }
            _ => Err(format!(
                "expected a name server such as `192.0.2.53` or `ns1.example:53`; found `{text}`"
            )),
        }
    }
}

impl TryFrom<String> for Server {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl fmt::Display for Server {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(formatter, "[{}]:{}", self.host, self.port)
        } else {
            write!(formatter, "{}:{}", self.host, self.port)
        }
    }
}

impl JsonSchema for Server {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Server".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "examples": ["192.0.2.53", "ns1.example:53", "[2001:db8::53]:5353"] })
    }
}

impl Needs for Config {
    fn needs(&self) -> Vec<Need> {
        let mut needs = Vec::new();
        for Server { host, port } in &self.servers {
            if self.transport != Transport::Tcp {
                needs.push(Need::udp(host, *port, "to ask the name server"));
            }
            if self.transport != Transport::Udp {
                needs.push(Need::tcp(
                    host,
                    *port,
                    "to ask the name server where an answer is too long for UDP",
                ));
            }
        }
        needs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_servers_in_every_spelling() {
        for (text, host, port) in [
            ("192.0.2.53", "192.0.2.53", 53),
            ("192.0.2.53:5353", "192.0.2.53", 5353),
            ("ns1.example", "ns1.example", 53),
            ("ns1.example:5353", "ns1.example", 5353),
            ("2001:db8::53", "2001:db8::53", 53),
            ("[2001:db8::53]", "2001:db8::53", 53),
            ("[2001:db8::53]:5353", "2001:db8::53", 5353),
        ] {
            assert_eq!(
                text.parse(),
                Ok(Server {
                    host: host.to_owned(),
                    port
                }),
                "{text}"
            );
        }
        for wrong in ["", ":53", "ns1:port", "ns1:0", "ns1:99999", "a:b:53"] {
            assert!(wrong.parse::<Server>().is_err(), "{wrong}");
        }
    }
}
