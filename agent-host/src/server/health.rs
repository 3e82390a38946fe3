//! The gRPC health service.

use std::pin::Pin;

use futures_util::Stream;
use picket_proto::health::v1::health_check_response::ServingStatus;
use picket_proto::health::v1::health_server::Health;
use picket_proto::health::v1::{HealthCheckRequest, HealthCheckResponse};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

use super::authorise::Guard;

/// Says whether this agent serves. It does as long as it runs.
#[derive(Clone, Debug)]
pub struct HealthService {
    guard: Guard,
    shutdown: CancellationToken,
}

impl HealthService {
    /// A service that says "not serving" once `shutdown` is cancelled.
    #[must_use]
    pub fn new(guard: Guard, shutdown: CancellationToken) -> Self {
        Self { guard, shutdown }
    }

    fn status(&self) -> HealthCheckResponse {
        let status = if self.shutdown.is_cancelled() {
            ServingStatus::NotServing
        } else {
            ServingStatus::Serving
        };
        HealthCheckResponse {
            status: status.into(),
        }
    }
}

fn is_known(service: &str) -> bool {
    let known = [
        "",
        "picket.agent.v1.Agent",
        "picket.agent.v1.Renewal",
        "picket.agent.v1.Trust",
        "grpc.health.v1.Health",
    ];
    known.contains(&service)
}

#[tonic::async_trait]
impl Health for HealthService {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        self.guard.admit(request.extensions())?;
        if !is_known(&request.get_ref().service) {
            return Err(Status::not_found("there is no such service here"));
        }
        Ok(Response::new(self.status()))
    }

    type WatchStream = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        self.guard.admit(request.extensions())?;
        if !is_known(&request.get_ref().service) {
            let unknown = HealthCheckResponse {
                status: ServingStatus::ServiceUnknown.into(),
            };
            return Ok(Response::new(Box::pin(futures_util::stream::iter([Ok(unknown)]))));
        }
        let service = self.clone();
        let changes = futures_util::stream::unfold((service, 0), |(service, turn)| async move {
            match turn {
                0 => {}
                1 => service.shutdown.cancelled().await,
                _ => return None,
            }
            Some((Ok(service.status()), (service, turn + 1)))
        });
        Ok(Response::new(Box::pin(changes)))
    }
}
