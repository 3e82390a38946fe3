//! Which registered gateway a call comes from. The handshake has proved whose certificate it is; here the registry says
//! whether that certificate is still the gateway's.

use http::Extensions;
use picket_identity::serve::PeerIdentity;
use picket_identity::spiffe::SpiffeId;
use picket_identity::verify::Vouching;
use tonic::Status;

use super::first_use;
use crate::app::Services;
use crate::store::certificates::Certificate;
use crate::store::gateways::Gateway;
use crate::store::{self, Connection, StoreError};

/// The gateway that calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// Its name.
    pub name: String,
    /// The serial number of the certificate by which it was verified.
    pub serial: String,
    /// By what that certificate is good.
    pub vouching: Vouching,
}

impl Caller {
    /// Whether what it was verified by counts no more, since its call began.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn was_revoked(&self, connection: &mut Connection) -> Result<bool, StoreError> {
        match self.vouching {
            Vouching::OwnCa => {
                let found =
                    store::certificates::find_of_gateway(connection, &self.name, &self.serial).await?;
                // One that a newer one has superseded may end its session in peace; the connection ends with its certificate.
                Ok(found.is_none_or(|certificate| certificate.state == "revoked"))
            }
            Vouching::Bundle => {
                let found = store::gateways::find(connection, &self.name).await?;
                Ok(by_workload_api(&self.name, found.as_ref()).is_err())
            }
        }
    }
}

/// A gateway whose certificates come from a Workload API has no serial number here: its name is all that is known of it. A
/// pure function of the registry's row.
fn by_workload_api(name: &str, registered: Option<&Gateway>) -> Result<(), String> {
    match registered {
        None => Err(format!(
            "gateway {name} isn't registered; `platform gateway add --name {name} --workload-api` registers it"
        )),
        Some(gateway) if gateway.revoked_at.is_some() => Err(format!("gateway {name} was revoked")),
        Some(gateway) if gateway.by_workload_api == 0 => Err(format!(
            "gateway {name} is registered with a certificate of ours, and came with an SVID of a Workload API; `platform \
             gateway add --name {name} --workload-api --replace` has it come so"
        )),
        Some(_) => Ok(()),
    }
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
    let caller = |serial| Caller {
        name: gateway.as_str().to_owned(),
        serial,
        vouching: peer.vouching(),
    };
    if peer.vouching() == Vouching::Bundle {
        let Ok(found) = registered(services, gateway.as_str()).await else {
            return Err(Status::unavailable("the platform can't reach its database now"));
        };
        return match by_workload_api(gateway.as_str(), found.as_ref()) {
            Ok(()) => Ok(caller(serial)),
            Err(why) => Err(Status::permission_denied(why)),
        };
    }
    let Ok(found) = certificate(services, gateway.as_str(), &serial).await else {
        return Err(Status::unavailable("the platform can't reach its database now"));
    };
    match found {
        Some(certificate) if certificate.is_active() => Ok(caller(serial)),
        Some(certificate) => Err(Status::permission_denied(format!(
            "certificate {serial} of gateway {gateway} is {}",
            certificate.state
        ))),
        None => Err(Status::permission_denied(format!(
            "gateway {gateway} has no certificate {serial} in the registry"
        ))),
    }
}

async fn registered(services: &Services, gateway: &str) -> Result<Option<Gateway>, StoreError> {
    store::gateways::find(&mut *services.store.read().await?, gateway).await
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

#[cfg(test)]
mod tests {
    use super::*;

    fn gateway(by_workload_api: i64, revoked_at: Option<i64>) -> Gateway {
        Gateway {
            name: "gw-1".into(),
            pool: "shared".into(),
            spiffe_id: "spiffe://picket.example/gateway/gw-1".into(),
            instance: None,
            state: "absent".into(),
            weight: 1,
            zone: String::new(),
            version: String::new(),
            agents: 0,
            expires_at: 0,
            trust_sequence: 0,
            revoked_at,
            by_workload_api,
        }
    }

    #[test]
    fn an_svid_is_enough_for_a_gateway_that_is_registered_so_and_no_other() {
        assert_eq!(by_workload_api("gw-1", Some(&gateway(1, None))), Ok(()));
        let refused = |registered: Option<&Gateway>| by_workload_api("gw-1", registered).unwrap_err();
        assert!(refused(None).contains("isn't registered"));
        assert!(refused(Some(&gateway(0, None))).contains("a certificate of ours"));
        assert!(refused(Some(&gateway(1, Some(5)))).contains("was revoked"));
        assert!(refused(Some(&gateway(0, Some(5)))).contains("was revoked"));
    }
}
