//! Who may call: a gateway with an ID for this agent's own tenant.

use std::sync::Arc;

use picket_identity::bundle::Identity;
use picket_identity::serve::PeerIdentity;
use picket_identity::spiffe::SpiffeId;
use picket_identity::verify;
use tonic::{Extensions, Status};

use crate::identity::IdentityStore;
use crate::identity::validity::trouble;
use crate::internal_events as events;

/// Checks each call against the identity that this agent has now.
#[derive(Clone, Debug)]
pub struct Guard {
    identity: Arc<IdentityStore>,
}

impl Guard {
    /// A guard for the agent of that identity.
    #[must_use]
    pub fn new(identity: Arc<IdentityStore>) -> Self {
        Self { identity }
    }

    /// Lets a call through, or refuses it. The handshake has proved the same; a service that is one day reached on
    /// another way must not depend on that.
    ///
    /// # Errors
    /// Nobody known is asking, or somebody that isn't a gateway for this tenant, or this agent's own certificate has
    /// expired.
    pub fn admit(&self, extensions: &Extensions) -> Result<PeerIdentity, Status> {
        let peer = self.admit_even_expired(extensions)?;
        refuse_where_expired(self.identity.current().identity())?;
        Ok(peer)
    }

    /// As [`Guard::admit`], but also where this agent's own certificate has expired: for its renewal, and nothing else.
    ///
    /// # Errors
    /// As [`Guard::admit`], but for that.
    pub fn admit_even_expired(&self, extensions: &Extensions) -> Result<PeerIdentity, Status> {
        admit(extensions, self.identity.current().identity().id())
    }
}

/// Refuses what needs a certificate that is good.
///
/// # Errors
/// The own certificate has expired.
pub fn refuse_where_expired(own: &Identity) -> Result<(), Status> {
    let now = verify::now();
    if !own.is_expired(now) {
        return Ok(());
    }
    let trouble = trouble(own, now).unwrap_or_default();
    Err(Status::failed_precondition(format!(
        "this agent does nothing but renew its certificate: {trouble}"
    )))
}

/// Lets a gateway for the tenant of `own` through.
///
/// # Errors
/// Nobody known is asking, or somebody else.
pub fn admit(extensions: &Extensions, own: &SpiffeId) -> Result<PeerIdentity, Status> {
    let Some(peer) = extensions.get::<PeerIdentity>() else {
        events::call_refused("nobody");
        return Err(Status::unauthenticated(
            "this agent answers verified gateways only",
        ));
    };
    if is_gateway_for(peer.id(), own) {
        return Ok(peer.clone());
    }
    events::call_refused(&peer.id().to_string());
    Err(Status::permission_denied(format!(
        "{} may not call this agent; expected a gateway's identity for its tenant",
        peer.id()
    )))
}

fn is_gateway_for(peer: &SpiffeId, own: &SpiffeId) -> bool {
    match (peer, own) {
        (
            SpiffeId::GatewayForTenant { platform, tenant, .. },
            SpiffeId::Agent {
                platform: own_platform,
                tenant: own_tenant,
                ..
            },
        ) => platform == own_platform && tenant == own_tenant,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_gateway_for_the_own_tenant_of_the_own_platform_is_let_in() {
        let own: SpiffeId = "spiffe://acme.picket.example/agent/berlin-1".parse().unwrap();
        let is_let_in = |id: &str| is_gateway_for(&id.parse().unwrap(), &own);
        assert!(is_let_in("spiffe://picket.example/gateway/gw-1/tenant/acme"));
        for id in [
            "spiffe://picket.example/gateway/gw-1/tenant/globex",
            "spiffe://other.example/gateway/gw-1/tenant/acme",
            "spiffe://picket.example/gateway/gw-1",
            "spiffe://picket.example/platform/node-1",
            "spiffe://acme.picket.example/agent/berlin-1",
        ] {
            assert!(!is_let_in(id), "{id}");
        }
    }
}
