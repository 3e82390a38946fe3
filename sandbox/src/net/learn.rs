//! Learning: what a run would have needed, for a person who wants to grant just that.
//!
//! A run that learns may reach what it asks for and remembers it. It stays without everything that could be carried away
//! through that reach: files, secrets, arguments of processes, and the addresses at which machines hand out credentials are
//! given only where a grant gives them.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use crate::grant::address::{self, Special};
use crate::grant::{FactKind, Grant, HostPattern};

/// The uses of one run, by their spelling.
#[derive(Default)]
pub(crate) struct Learning {
    uses: Mutex<BTreeMap<String, Grant>>,
}

impl Learning {
    /// Whether a run that learns may have this, which nothing grants. What it may have is remembered.
    pub(super) fn permits(&self, missing: &Grant) -> bool {
        if !may_be_tried(missing) {
            return false;
        }
        let mut uses = self.uses.lock().unwrap_or_else(PoisonError::into_inner);
        uses.insert(missing.to_string(), missing.clone());
        true
    }

    /// What was used, as narrow as it was used. Looking up a name is part of reaching it, and stands for itself only where
    /// nothing was reached under it.
    pub(super) fn uses(&self) -> Vec<Grant> {
        let uses = self.uses.lock().unwrap_or_else(PoisonError::into_inner);
        let is_reached = |name: &str| {
            uses.values().any(|grant| {
                matches!(grant, Grant::Network { host: HostPattern::Name(own), ports, .. }
                    if own == name && *ports != crate::grant::PortRange::ALL)
            })
        };
        uses.values()
            .filter(|grant| match grant {
                Grant::Network {
                    host: HostPattern::Name(name),
                    ports,
                    ..
                } => *ports != crate::grant::PortRange::ALL || !is_reached(name),
                _ => true,
            })
            .cloned()
            .collect()
    }
}

fn may_be_tried(missing: &Grant) -> bool {
    match missing {
        Grant::Network { host, .. } | Grant::Icmp(host) => match host {
            HostPattern::Address(address) => {
                matches!(address::special(*address), None | Some(Special::Loopback))
            }
            HostPattern::Name(_) => true,
            HostPattern::Suffix(_) | HostPattern::Any | HostPattern::Network(_) => false,
        },
        Grant::HostFacts(kind) => *kind != FactKind::ProcessArguments,
        Grant::Secret(_) | Grant::SecretReveal(_) | Grant::Read(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn permits(grant: &str) -> bool {
        Learning::default().permits(&grant.parse().unwrap())
    }

    #[test]
    fn reach_may_be_tried() {
        for grant in [
            "tcp:db.example:5432",
            "http:10.0.0.1:80",
            "icmp:127.0.0.1",
            "host-facts:cpu",
        ] {
            assert!(permits(grant), "{grant}");
        }
    }

    #[test]
    fn what_could_be_carried_away_is_not_given() {
        for grant in [
            "secret:token",
            "secret-reveal:token",
            "read:/etc",
            "host-facts:process-arguments",
            "http:169.254.169.254:80",
            "tcp:[fe80::1]:80",
            "udp:224.0.0.251:5353",
            "tcp:0.0.0.0:80",
        ] {
            assert!(!permits(grant), "{grant}");
        }
    }

    #[test]
    fn a_look_up_counts_only_where_nothing_was_reached() {
        let learning = Learning::default();
        for grant in ["tcp:a.example:*", "tcp:a.example:443", "tcp:b.example:*"] {
            assert!(learning.permits(&grant.parse().unwrap()));
        }
        let uses: Vec<_> = learning.uses().iter().map(ToString::to_string).collect();
        assert_eq!(uses, ["tcp:a.example:443", "tcp:b.example:*"]);
    }
}
