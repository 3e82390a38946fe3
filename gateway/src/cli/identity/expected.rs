//! Whom to expect: one of the verifier's four faces, made of options.

use std::collections::BTreeSet;

use clap::ValueEnum;
use picket_identity::UnixTime;
use picket_identity::serial::Serial;
use picket_identity::spiffe::SpiffeId;
use picket_identity::verify::{
    AgentExpectation, Denied, Expectation, GatewayClientExpectation, GatewayExpectation, PlatformExpectation,
    Serials, Trust,
};

/// What the certificate is used as, and so who verifies it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum KeyUsage {
    /// An agent, as a gateway verifies it; --ca: the tenant's CAs
    Agent,
    /// A gateway as a client of one tenant's agents, as an agent verifies it; --ca: the gateway CAs
    Gateway,
    /// A gateway as a client of the platform, as the platform verifies it; --ca: the gateway CAs
    GatewayClient,
    /// A node of the platform, as a gateway verifies it; --ca: the platform CAs
    Platform,
}

/// An ID that is expected. Where the verifier takes any gateway or node, `*` may stand for its name.
#[derive(Clone, Debug)]
pub(super) struct ExpectedId {
    text: String,
    id: SpiffeId,
    is_any: bool,
}

impl std::str::FromStr for ExpectedId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // spiffe: / / trust domain / role / name
        let mut segments: Vec<&str> = text.split('/').collect();
        let mut is_any = false;
        if let Some(name) = segments.get_mut(4).filter(|name| **name == "*") {
            *name = "any";
            is_any = true;
        }
        let id = segments.join("/").parse::<SpiffeId>();
        let id = id.map_err(|error| error.to_string())?;
        if is_any && matches!(id, SpiffeId::Agent { .. }) {
            return Err(format!(
                "`{text}`: a gateway expects one agent: its name, not `*`"
            ));
        }
        Ok(Self {
            text: text.to_owned(),
            id,
            is_any,
        })
    }
}

impl ExpectedId {
    /// Whether this is it.
    pub(super) fn is(&self, id: &SpiffeId) -> bool {
        self.is_any || self.id == *id
    }

    /// The ID as it was given.
    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    /// The verifier's expectation.
    ///
    /// # Errors
    /// An ID that belongs to another use.
    pub(super) fn expectation(
        &self,
        usage: KeyUsage,
        trust: Trust,
        serials: Serials,
    ) -> Result<Box<dyn Expectation>, String> {
        Ok(match (usage, self.id.clone()) {
            (
                KeyUsage::Agent,
                SpiffeId::Agent {
                    platform,
                    tenant,
                    agent,
                },
            ) => Box::new(AgentExpectation {
                platform,
                tenant,
                agent,
                trust,
                serials,
            }),
            (KeyUsage::Gateway, SpiffeId::GatewayForTenant { platform, tenant, .. }) => {
                Box::new(GatewayExpectation {
                    platform,
                    tenant,
                    trust,
                    serials,
                    // The time is given, or the system's: there is no certificate of our own to mistrust it by.
                    not_before: UnixTime::since_unix_epoch(std::time::Duration::ZERO),
                })
            }
            (KeyUsage::GatewayClient, SpiffeId::Gateway { platform, .. }) => {
                Box::new(GatewayClientExpectation {
                    platform,
                    trust,
                    serials,
                })
            }
            (KeyUsage::Platform, SpiffeId::Platform { platform, .. }) => Box::new(PlatformExpectation {
                platform,
                trust,
                serials,
            }),
            (usage, _) => {
                let form = match usage {
                    KeyUsage::Agent => "spiffe://<tenant>.<platform>/agent/<agent>",
                    KeyUsage::Gateway => "spiffe://<platform>/gateway/<gateway or *>/tenant/<tenant>",
                    KeyUsage::GatewayClient => "spiffe://<platform>/gateway/<gateway or *>",
                    KeyUsage::Platform => "spiffe://<platform>/platform/<node or *>",
                };
                return Err(format!(
                    "--expect-id {}: expected {form} with this --key-usage",
                    self.text
                ));
            }
        })
    }
}

/// The serial numbers that are good: the active ones where some are given, else all but the denied.
pub(super) fn serials(active: &[Serial], denied: &[Serial], trust: &Trust) -> Serials {
    if !active.is_empty() {
        return Serials::Active(active.iter().cloned().collect());
    }
    let of_every_ca = denied.iter().flat_map(|serial| {
        trust.cas().iter().map(|ca| Denied {
            issuer: ca.id(),
            serial: serial.clone(),
        })
    });
    Serials::AllBut(of_every_ca.collect::<BTreeSet<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_name_that_the_verifier_leaves_open_may_be_any() {
        for text in [
            "spiffe://picket.example/gateway/*/tenant/acme",
            "spiffe://picket.example/gateway/*",
            "spiffe://picket.example/platform/*",
        ] {
            assert!(text.parse::<ExpectedId>().is_ok(), "{text}");
        }
        for text in [
            "spiffe://acme.picket.example/agent/*",
            "spiffe://*.picket.example/agent/berlin-1",
            "spiffe://*/gateway/gw-1",
            "spiffe://picket.example/gateway/*x",
            "spiffe://picket.example/gateway/gw-*",
            "spiffe://picket.example/gateway/*/tenant/*",
            "spiffe://picket.example/*/gw-1",
            "*",
        ] {
            assert!(text.parse::<ExpectedId>().is_err(), "{text}");
        }
    }
}
