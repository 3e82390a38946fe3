//! What an operator writes.

use picket_checker_sdk::prelude::*;

/// Connects to a TCP port, optionally with TLS, sends and expects text.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
pub(crate) struct Config {
    /// Host name or address.
    pub(crate) host: String,
    /// TCP port.
    #[schemars(range(min = 1))]
    pub(crate) port: u16,
    /// Whether one address of the name must answer, or all.
    #[serde(default)]
    pub(crate) addresses: Addresses,
    /// Only addresses of this family.
    #[serde(default)]
    pub(crate) family: Option<Family>,
    /// How long one address may take; the check's timeout is shared among the addresses in any case.
    #[serde(default)]
    pub(crate) timeout: Option<Period>,
    /// What to send once connected. `\r`, `\n`, `\t`, `\\` and `\xHH` are escapes, for those who can't write them.
    #[serde(default)]
    pub(crate) send: Option<String>,
    /// What the answer must contain; the same escapes.
    #[serde(default)]
    pub(crate) expect: Option<String>,
    /// TLS over the connection, before anything is sent.
    #[serde(default)]
    pub(crate) tls: Tls,
    /// Time to connect, in seconds.
    #[serde(default)]
    pub(crate) connect_time: Thresholds,
    /// Time from connecting to the expected text, in seconds.
    #[serde(default)]
    pub(crate) response_time: Thresholds,
}

/// Which addresses must answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub(crate) enum Addresses {
    /// One is enough.
    #[default]
    Any,
    /// Each must answer.
    All,
}

/// An address family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub(crate) enum Family {
    /// IPv4.
    Ipv4,
    /// IPv6.
    Ipv6,
}

/// A protocol that begins in the clear.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub(crate) enum Starttls {
    /// SMTP (RFC 3207).
    Smtp,
    /// IMAP (RFC 9051).
    Imap,
    /// POP3 (RFC 2595).
    Pop3,
}

/// TLS options.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(inline)]
pub(crate) struct Tls {
    /// Whether to do a TLS handshake.
    pub(crate) enabled: bool,
    /// The protocol in which to ask for TLS first; it is done then in any case.
    pub(crate) starttls: Option<Starttls>,
    /// The name in the certificate; the host where none is given.
    pub(crate) server_name: Option<String>,
    /// Roots to trust and no others, as PEM; the agent's own where none are given.
    pub(crate) ca: Option<String>,
    /// Report a peer that isn't trusted, but don't require that it is.
    pub(crate) insecure: bool,
    /// Days until the first certificate of the chain expires; `14:` alerts below two weeks.
    pub(crate) certificate_days: Thresholds,
}

impl Needs for Config {
    fn needs(&self) -> Vec<Need> {
        vec![Need::tcp(&self.host, self.port, "the port to connect to")]
    }
}
