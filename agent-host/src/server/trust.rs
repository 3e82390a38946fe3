//! `picket.agent.v1.Trust`: what the platform says that this agent is to trust. Gateways carry it and can't change it.

use std::sync::Arc;

use picket_identity::bundle::{BundleError, Identity};
use picket_identity::trust_update::TrustUpdateError;
use picket_proto::agent::v1::trust_server::Trust;
use picket_proto::agent::v1::{TrustState, TrustUpdate};
use tonic::{Request, Response, Status};

use super::authorise::Guard;
use crate::exchange::issued::verify_trust;
use crate::identity::{IdentityError, IdentityStore};
use crate::internal_events as events;

/// Takes trust updates.
#[derive(Clone, Debug)]
pub struct TrustService {
    guard: Guard,
    identity: Arc<IdentityStore>,
}

impl TrustService {
    /// For the agent of that identity.
    #[must_use]
    pub fn new(guard: Guard, identity: Arc<IdentityStore>) -> Self {
        Self { guard, identity }
    }
}

#[tonic::async_trait]
impl Trust for TrustService {
    async fn update(&self, request: Request<TrustUpdate>) -> Result<Response<TrustState>, Status> {
        let gateway = self.guard.admit(request.extensions())?.id().to_string();
        let (identity, update) = (Arc::clone(&self.identity), request.into_inner());
        // It ends on disk.
        let taken = tokio::task::spawn_blocking(move || take(&identity, &update, &gateway));
        let sequence = taken
            .await
            .map_err(|crashed| Status::internal(crashed.to_string()))??;
        Ok(Response::new(TrustState { sequence }))
    }
}

/// Why an update isn't taken.
enum Refused {
    Statement(TrustUpdateError),
    Identity(IdentityError),
}

impl From<IdentityError> for Refused {
    fn from(error: IdentityError) -> Self {
        Self::Identity(error)
    }
}

/// The sequence that is in force afterwards.
fn take(identity: &IdentityStore, update: &TrustUpdate, gateway: &str) -> Result<u64, Status> {
    let before = identity.current().identity().trust_sequence();
    let refused = match identity.apply_trust(|current: &Identity, now| {
        verify_trust(update, current.id(), current.peers(), now).map_err(Refused::Statement)
    }) {
        Ok(applied) => {
            events::trust_applied(gateway, before, applied.identity());
            return Ok(applied.identity().trust_sequence());
        }
        Err(refused) => refused,
    };
    let status = match refused {
        Refused::Statement(error) => Status::invalid_argument(error.to_string()),
        Refused::Identity(IdentityError::Bundle { source, .. }) => match *source {
            BundleError::NotNewer { known, got } => {
                events::trust_unchanged(gateway, known, got);
                return Ok(known);
            }
            BundleError::Store(error) => Status::unavailable(error.to_string()),
            error => Status::failed_precondition(error.to_string()),
        },
        Refused::Identity(error) => Status::failed_precondition(error.to_string()),
    };
    events::trust_refused(gateway, status.message());
    Err(status)
}
