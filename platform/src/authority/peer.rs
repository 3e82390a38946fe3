//! Which registered gateway a call comes from. The handshake has proved whose certificate it is; here the registry says
//! whether that certificate is still the gateway's.

use http::Extensions;
use picket_identity::serve::PeerIdentity;
use picket_identity::spiffe::SpiffeId;
use tonic::Status;

use super::first_use;
use crate::app::Services;
use crate::store::certificates::Certificate;
use crate::store::{self, StoreError};

/// The gateway that calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// Its name.
    pub name: String,
    /// The serial number of the certificate by which it was verified.
    pub serial: String,
}

/// The gateway that calls. A certificate of its own that it was issued and never used before is its current one from now
/// on.
///
/// # Errors
/// A status: not a gateway, not registered, or with a certificate that counts no more.
pub async fn registered_gateway(services: &Services, extensions: &Extensions) -> Result<Caller, Status> {
    let peer = extensions
        .get::<PeerIdentity>()
        .ok_or_else(|| Status::unauthenticated("there is no verified peer on this connection"))?;
    let SpiffeId::Gateway { gateway, .. } = peer.id() else {
        return Err(Status::permission_denied("only gateways are served here"));
    };
    let serial = peer.serial().to_string();
    let Ok(found) = certificate(services, gateway.as_str(), &serial).await else {
        return Err(Status::unavailable("the platform can't reach its database now"));
    };
    match found {
        Some(certificate) if certificate.is_active() => Ok(Caller {
            name: gateway.as_str().to_owned(),
            serial,
        }),
        Some(certificate) => Err(Status::permission_denied(format!(
            "certificate {serial} of gateway {gateway} is {}",
            certificate.state
        ))),
        None => Err(Status::permission_denied(format!(
            "gateway {gateway} has no certificate {serial} in the registry"
        ))),
    }
}

async fn certificate(
    services: &Services,
    gateway: &str,
    serial: &str,
) -> Result<Option<Certificate>, StoreError> {
    let mut read = services.store.read().await?;
    let found = store::certificates::find_of_gateway(&mut read, gateway, serial).await?;
    drop(read);
    if found.as_ref().is_none_or(|found| found.state != "pending") {
        return Ok(found);
    }
    let mut write = services.store.write().await?;
    // It may have been revoked in between.
    let Some(mut found) = store::certificates::find_of_gateway(&mut write, gateway, serial).await? else {
        return Ok(None);
    };
    if first_use::of_gateway(&mut write, &found).await? {
        found.state = "current".to_owned();
    }
    write.commit().await?;
    Ok(Some(found))
}
