//! Which registered gateway a call comes from. The handshake has proved whose certificate it is; here the registry says
//! whether that certificate is still the gateway's.

use http::Extensions;
use picket_identity::serve::PeerIdentity;
use picket_identity::spiffe::SpiffeId;
use tonic::Status;

use crate::app::Services;
use crate::store::{self, StoreError};

/// The name of the gateway that calls.
///
/// # Errors
/// A status: not a gateway, not registered, or with a certificate that is not its current one.
pub async fn registered_gateway(services: &Services, extensions: &Extensions) -> Result<String, Status> {
    let peer = extensions
        .get::<PeerIdentity>()
        .ok_or_else(|| Status::unauthenticated("there is no verified peer on this connection"))?;
    let SpiffeId::Gateway { gateway, .. } = peer.id() else {
        return Err(Status::permission_denied("only gateways are served here"));
    };
    let serial = peer.serial().to_string();
    match certificate_state(services, gateway.as_str(), &serial).await {
        Ok(Some(state)) if state == "current" || state == "pending" => Ok(gateway.as_str().to_owned()),
        Ok(Some(state)) => Err(Status::permission_denied(format!(
            "certificate {serial} of gateway {gateway} is {state}"
        ))),
        Ok(None) => Err(Status::permission_denied(format!(
            "gateway {gateway} has no certificate {serial} in the registry"
        ))),
        Err(_) => Err(Status::unavailable("the platform can't reach its database now")),
    }
}

async fn certificate_state(
    services: &Services,
    gateway: &str,
    serial: &str,
) -> Result<Option<String>, StoreError> {
    let mut read = services.store.read().await?;
    Ok(store::certificates::find_of_gateway(&mut read, gateway, serial)
        .await?
        .map(|certificate| certificate.state))
}
