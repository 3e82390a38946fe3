//! SPIFFE IDs: who a certificate belongs to (SPIFFE-ID §2, X509-SVID §2).
//!
//! Each tenant has a trust domain of its own, one label below the platform's. Parsing is strict: exactly one text
//! stands for each identity, so two IDs are the same identity exactly where their bytes are the same.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use crate::name::{AgentName, GatewayName, NameError, NodeName, TenantSlug};

/// The most bytes of a trust domain's name (SPIFFE-ID §2.1).
const MAX_TRUST_DOMAIN: usize = 255;
/// The most bytes of a DNS label (RFC 1035 §2.3.4): trust domains are kept usable as DNS names.
const MAX_LABEL: usize = 63;
/// Ours are far shorter; the bound keeps a hostile certificate from making us copy and log much.
const MAX_ID: usize = 512;

/// Why a text isn't a trust domain or an identity.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SpiffeError {
    /// The scheme isn't exactly `spiffe://`.
    #[error("`{0}` isn't a SPIFFE ID: expected it to begin with spiffe://")]
    Scheme(String),
    /// Longer than any of ours.
    #[error("a SPIFFE ID of {0} bytes is too long: expected at most {MAX_ID}")]
    TooLong(usize),
    /// The trust domain isn't dot-separated labels of `a-z`, `0-9` and inner `-`.
    #[error(
        "`{0}` isn't a trust domain: expected labels of a-z, 0-9 and inner hyphens, separated by dots, \
         without user, port or scheme"
    )]
    TrustDomain(String),
    /// The path is none of those that Picket issues.
    #[error(
        "`{0}` names nothing of Picket's: expected /agent/<name> below a tenant's trust domain, or \
         /gateway/<name>, /gateway/<name>/tenant/<tenant> or /platform/<node> below the platform's"
    )]
    Path(String),
    /// A name in it isn't allowed.
    #[error("SPIFFE ID: {0}")]
    Name(#[from] NameError),
}

fn shown(text: &str) -> String {
    text.chars().take(120).flat_map(char::escape_default).collect()
}

/// A trust domain: the platform's own, or a tenant's one below it.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TrustDomain(Box<str>);

impl TrustDomain {
    /// The name, without scheme.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The trust domain of `tenant`, below this one.
    #[must_use]
    pub fn of_tenant(&self, tenant: &TenantSlug) -> TrustDomain {
        TrustDomain(format!("{tenant}.{}", self.0).into())
    }

    /// The ID of the trust domain itself, which a signing certificate carries: it has no path (X509-SVID §4.3).
    #[must_use]
    pub fn id(&self) -> String {
        format!("spiffe://{}", self.0)
    }

    /// Parses the ID of a trust domain, as [`TrustDomain::id`] writes it.
    ///
    /// # Errors
    /// Anything but `spiffe://` and a trust domain.
    pub fn from_id(text: &str) -> Result<Self, SpiffeError> {
        let name = text
            .strip_prefix("spiffe://")
            .ok_or_else(|| SpiffeError::Scheme(shown(text)))?;
        name.parse()
    }

    fn split_tenant(&self) -> Result<(TenantSlug, TrustDomain), SpiffeError> {
        let (tenant, platform) = self
            .0
            .split_once('.')
            .ok_or_else(|| SpiffeError::TrustDomain(self.0.to_string()))?;
        Ok((tenant.parse()?, platform.parse()?))
    }
}

impl FromStr for TrustDomain {
    type Err = SpiffeError;

    fn from_str(text: &str) -> Result<Self, SpiffeError> {
        let is_label = |label: &str| {
            (1..=MAX_LABEL).contains(&label.len())
                && label
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        if text.len() > MAX_TRUST_DOMAIN || !text.split('.').all(is_label) {
            return Err(SpiffeError::TrustDomain(shown(text)));
        }
        Ok(Self(text.into()))
    }
}

impl TryFrom<String> for TrustDomain {
    type Error = SpiffeError;

    fn try_from(text: String) -> Result<Self, SpiffeError> {
        text.parse()
    }
}

impl From<TrustDomain> for String {
    fn from(domain: TrustDomain) -> Self {
        domain.0.into()
    }
}

impl fmt::Display for TrustDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for TrustDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Who a leaf certificate belongs to. `platform` is always the platform's own trust domain.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum SpiffeId {
    /// `spiffe://<tenant>.<platform>/agent/<agent>`
    Agent {
        /// The platform's trust domain.
        platform: TrustDomain,
        /// The tenant that the agent belongs to.
        tenant: TenantSlug,
        /// The agent.
        agent: AgentName,
    },
    /// `spiffe://<platform>/gateway/<gateway>`: a gateway as a client of the platform.
    Gateway {
        /// The platform's trust domain.
        platform: TrustDomain,
        /// The gateway.
        gateway: GatewayName,
    },
    /// `spiffe://<platform>/gateway/<gateway>/tenant/<tenant>`: a gateway as a client of one tenant's agents.
    GatewayForTenant {
        /// The platform's trust domain.
        platform: TrustDomain,
        /// The gateway.
        gateway: GatewayName,
        /// The only tenant whose agents it may dial with this ID.
        tenant: TenantSlug,
    },
    /// `spiffe://<platform>/platform/<node>`
    Platform {
        /// The platform's trust domain.
        platform: TrustDomain,
        /// The platform node.
        node: NodeName,
    },
}

impl SpiffeId {
    /// The platform's trust domain.
    #[must_use]
    pub fn platform(&self) -> &TrustDomain {
        match self {
            Self::Agent { platform, .. }
            | Self::Gateway { platform, .. }
            | Self::GatewayForTenant { platform, .. }
            | Self::Platform { platform, .. } => platform,
        }
    }

    /// The trust domain in the ID: an agent's is its tenant's, everybody else's is the platform's.
    #[must_use]
    pub fn trust_domain(&self) -> TrustDomain {
        match self {
            Self::Agent { platform, tenant, .. } => platform.of_tenant(tenant),
            _ => self.platform().clone(),
        }
    }

    /// The tenant that it belongs to, or may dial.
    #[must_use]
    pub fn tenant(&self) -> Option<&TenantSlug> {
        match self {
            Self::Agent { tenant, .. } | Self::GatewayForTenant { tenant, .. } => Some(tenant),
            Self::Gateway { .. } | Self::Platform { .. } => None,
        }
    }

    /// The subject's common name that belongs to this ID, exactly.
    ///
    /// Colons keep the platform's own parts from ever looking like an agent, whose names have none. A gateway's
    /// doesn't repeat the tenant: the ID has it, and two names of forty characters would pass the 64 that a common
    /// name may have (RFC 5280 appendix A, ub-common-name).
    #[must_use]
    pub fn common_name(&self) -> String {
        match self {
            Self::Agent { tenant, agent, .. } => format!("{agent}.{tenant}"),
            Self::Gateway { gateway, .. } | Self::GatewayForTenant { gateway, .. } => {
                format!("gateway:{gateway}")
            }
            Self::Platform { node, .. } => format!("platform:{node}"),
        }
    }
}

impl FromStr for SpiffeId {
    type Err = SpiffeError;

    fn from_str(text: &str) -> Result<Self, SpiffeError> {
        if text.len() > MAX_ID {
            return Err(SpiffeError::TooLong(text.len()));
        }
        let rest = text
            .strip_prefix("spiffe://")
            .ok_or_else(|| SpiffeError::Scheme(shown(text)))?;
        let (domain, path) = rest
            .split_once('/')
            .ok_or_else(|| SpiffeError::Path(shown(text)))?;
        let platform: TrustDomain = domain.parse()?;
        let segments: Vec<&str> = path.split('/').collect();
        match segments.as_slice() {
            ["agent", agent] => {
                let (tenant, platform) = platform.split_tenant()?;
                Ok(Self::Agent {
                    platform,
                    tenant,
                    agent: agent.parse()?,
                })
            }
            ["gateway", gateway] => Ok(Self::Gateway {
                platform,
                gateway: gateway.parse()?,
            }),
            ["gateway", gateway, "tenant", tenant] => Ok(Self::GatewayForTenant {
                platform,
                gateway: gateway.parse()?,
                tenant: tenant.parse()?,
            }),
            ["platform", node] => Ok(Self::Platform {
                platform,
                node: node.parse()?,
            }),
            _ => Err(SpiffeError::Path(shown(text))),
        }
    }
}

impl TryFrom<String> for SpiffeId {
    type Error = SpiffeError;

    fn try_from(text: String) -> Result<Self, SpiffeError> {
        text.parse()
    }
}

impl From<SpiffeId> for String {
    fn from(id: SpiffeId) -> Self {
        id.to_string()
    }
}

impl fmt::Display for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Agent {
                platform,
                tenant,
                agent,
            } => write!(f, "spiffe://{tenant}.{platform}/agent/{agent}"),
            Self::Gateway { platform, gateway } => write!(f, "spiffe://{platform}/gateway/{gateway}"),
            Self::GatewayForTenant {
                platform,
                gateway,
                tenant,
            } => {
                write!(f, "spiffe://{platform}/gateway/{gateway}/tenant/{tenant}")
            }
            Self::Platform { platform, node } => write!(f, "spiffe://{platform}/platform/{node}"),
        }
    }
}

impl fmt::Debug for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests;
