//! Gateways whose certificates come from a Workload API: registered by name alone.

use picket_identity::name::GatewayName;
use picket_identity::spiffe::SpiffeId;

use super::onboarding::register_gateway;
use super::{Authority, AuthorityError};
use crate::events::Event;
use crate::store;

impl Authority {
    /// Registers a gateway whose certificates come from a Workload API: it is let in by its name in an SVID, and given none
    /// by us but those for its tenants. One that is registered already loses the certificates that it had of us. Returns
    /// the ID that it has to show.
    ///
    /// # Errors
    /// [`AuthorityError`]: the name is taken.
    pub async fn add_gateway_by_workload_api(
        &self,
        name: &GatewayName,
        replace: bool,
        actor: &str,
    ) -> Result<SpiffeId, AuthorityError> {
        let id = SpiffeId::Gateway {
            platform: self.0.trust_domain.clone(),
            gateway: name.clone(),
        };
        let mut write = self.0.store.write().await?;
        let now = write.now();
        let hint = "; --replace has its certificates come from the Workload API from now on";
        let known = register_gateway(&mut write, name, &id, replace.then_some(()).ok_or(hint)).await?;
        store::gateways::set_by_workload_api(&mut write, name.as_str(), true).await?;
        // The gRPC ports look again at whom they turn away.
        store::installation::bump_trust(&mut write).await?;
        let action = if known { "gateway.replace" } else { "gateway.add" };
        store::audit::record(
            &mut write,
            now,
            actor,
            action,
            None,
            name.as_str(),
            "by a Workload API",
        )
        .await?;
        write.commit().await?;
        self.0.events.publish(Event::gateway(name.as_str(), now));
        Ok(id)
    }
}
