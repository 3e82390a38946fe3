//! What an operator writes.

use std::collections::{BTreeMap, BTreeSet};

use picket_checker_sdk::http::AddressFamily;
use picket_checker_sdk::prelude::*;
use serde_json::Value;

use crate::url::Url;

/// Requests a URL and judges status, headers, body, timing and certificate.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
pub(crate) struct Config {
    /// What to request: `http://…` or `https://…`.
    pub(crate) url: String,
    /// The request's method.
    #[serde(default = "get")]
    pub(crate) method: String,
    /// Headers to send.
    #[serde(default)]
    pub(crate) headers: BTreeMap<String, String>,
    /// Headers to send whose value is a secret of the agent.
    #[serde(default)]
    pub(crate) secret_headers: BTreeMap<String, SecretHeader>,
    /// The name of a secret to send as `Authorization: Bearer …`.
    #[serde(default)]
    pub(crate) bearer_secret: Option<String>,
    /// HTTP Basic authentication.
    #[serde(default)]
    pub(crate) basic_auth: Option<Basic>,
    /// The request's body.
    #[serde(default)]
    pub(crate) body: Option<String>,
    /// How long one request may take; the check's timeout holds for all of them in any case.
    #[serde(default)]
    pub(crate) timeout: Option<Period>,
    /// Status codes that are right: `200`, `"2xx"`, `"200-299"`. Default: `2xx`.
    #[serde(default)]
    pub(crate) status: Vec<StatusCodes>,
    /// A regular expression that the body must match.
    #[serde(default)]
    pub(crate) body_regex: Option<String>,
    /// A regular expression that the body must not match.
    #[serde(default)]
    pub(crate) body_not_regex: Option<String>,
    /// What the body must hold as JSON: path (`data.items[0].name`, `$` for all of it) and value.
    #[serde(default)]
    pub(crate) json: BTreeMap<String, Value>,
    /// Headers that must come, with a regular expression for their value; `""` for any value.
    #[serde(default)]
    pub(crate) expect_headers: BTreeMap<String, String>,
    /// What to do about redirects. Each hop needs a grant of its own.
    #[serde(default)]
    pub(crate) redirects: Redirects,
    /// More redirects than this are wrong.
    #[serde(default = "five")]
    pub(crate) max_redirects: u8,
    /// Only addresses of this family.
    #[serde(default)]
    pub(crate) family: Option<Family>,
    /// Roots to trust and no others, as PEM; the agent's own where none are given.
    #[serde(default)]
    pub(crate) ca: Option<String>,
    /// Report a peer that isn't trusted, but don't require that it is.
    #[serde(default)]
    pub(crate) insecure: bool,
    /// The name in the certificate; the URL's host where none is given.
    #[serde(default)]
    pub(crate) server_name: Option<String>,
    /// Days until the first certificate of the chain expires; `14:` alerts below two weeks.
    #[serde(default)]
    pub(crate) certificate_days: Thresholds,
    /// Time of the whole last request, in seconds.
    #[serde(default)]
    pub(crate) response_time: Thresholds,
    /// Size of the body, in bytes.
    #[serde(default)]
    pub(crate) size: Thresholds,
    /// So much of the body is read, in bytes.
    #[serde(default = "one_mebibyte")]
    #[schemars(range(max = 4_194_304))]
    pub(crate) max_body_bytes: u32,
}

fn get() -> String {
    "GET".to_owned()
}

fn five() -> u8 {
    5
}

fn one_mebibyte() -> u32 {
    1024 * 1024
}

/// A header whose value is a secret.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
pub(crate) struct SecretHeader {
    /// What stands before the secret, for example `Token `.
    #[serde(default)]
    pub(crate) prefix: String,
    /// The secret's name.
    pub(crate) secret: String,
}

/// HTTP Basic authentication.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
pub(crate) struct Basic {
    /// The user's name.
    pub(crate) username: String,
    /// The name of the secret that holds the password.
    pub(crate) password_secret: String,
}

/// What to do about redirects.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
pub(crate) enum Redirects {
    /// Follow them.
    #[default]
    Follow,
    /// Follow them on the same host; one that leads elsewhere is critical.
    SameHost,
    /// Judge the redirect itself.
    Never,
}

/// An address family.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub(crate) enum Family {
    /// IPv4.
    Ipv4,
    /// IPv6.
    Ipv6,
}

impl From<Family> for AddressFamily {
    fn from(family: Family) -> Self {
        match family {
            Family::Ipv4 => Self::Ipv4,
            Family::Ipv6 => Self::Ipv6,
        }
    }
}

/// One code or several: `200`, `"2xx"`, `"200-299"`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(
    untagged,
    expecting = "expected status codes such as 200, \"2xx\" or \"200-299\""
)]
#[schemars(inline)]
pub(crate) enum StatusCodes {
    /// One code.
    One(u16),
    /// A class or a range.
    Several(String),
}

impl StatusCodes {
    /// The first and the last code.
    pub(crate) fn bounds(&self) -> Result<(u16, u16), String> {
        let text = match self {
            Self::One(code) => return Ok((*code, *code)),
            Self::Several(text) => text,
        };
        let bounds = match text.split_once('-') {
            Some((first, last)) => first.trim().parse().ok().zip(last.trim().parse().ok()),
            None => match text
                .strip_suffix("xx")
                .and_then(|class| class.parse::<u16>().ok())
            {
                Some(class @ 1..=9) => Some((class * 100, class * 100 + 99)),
                Some(_) => None,
                None => text.trim().parse().ok().map(|code| (code, code)),
            },
        };
        bounds.filter(|(first, last)| first <= last).ok_or_else(|| {
            format!("status: expected codes such as 200, \"2xx\" or \"200-299\"; found `{text}`")
        })
    }
}

impl Needs for Config {
    fn needs(&self) -> Vec<Need> {
        let mut needs = Vec::new();
        // What is no URL needs nothing; the run says what is wrong with it.
        if let Ok(url) = self.url.parse::<Url>() {
            needs.push(Need::http(&url.host, url.port, "the URL to request"));
        }
        let headers = self.secret_headers.values().map(|header| &header.secret);
        let secrets: BTreeSet<&String> = headers
            .chain(&self.bearer_secret)
            .chain(self.basic_auth.as_ref().map(|auth| &auth.password_secret))
            .collect();
        needs.extend(
            secrets
                .into_iter()
                .map(|secret| Need::secret(secret, "to authenticate the request")),
        );
        needs
    }
}
