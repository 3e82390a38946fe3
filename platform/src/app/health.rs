//! The gRPC health service, for gateways.

use std::pin::Pin;
use std::time::Duration;

use futures_util::{Stream, stream};
use picket_proto::health::v1::health_check_response::ServingStatus;
use picket_proto::health::v1::health_server::Health;
use picket_proto::health::v1::{HealthCheckRequest, HealthCheckResponse};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

use super::Services;
use crate::authority::peer;

/// How often a watcher's answer is looked at again. A gateway notices a dead session sooner by itself.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Says whether this process can serve: its database answers, and it isn't about to stop.
#[derive(Debug, Clone)]
pub struct HealthService {
    services: Services,
    stop: CancellationToken,
}

impl HealthService {
    /// A service that says "not serving" once `stop` is cancelled.
    #[must_use]
    pub const fn new(services: Services, stop: CancellationToken) -> Self {
        Self { services, stop }
    }

    async fn status(&self) -> ServingStatus {
        if !self.stop.is_cancelled() && self.services.store.now().await.is_ok() {
            ServingStatus::Serving
        } else {
            ServingStatus::NotServing
        }
    }

    /// The status after `last`, once it is another one.
    async fn next(&self, last: Option<ServingStatus>) -> ServingStatus {
        loop {
            let status = self.status().await;
            if Some(status) != last {
                return status;
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = self.stop.cancelled() => {}
            }
        }
    }
}

fn is_known(service: &str) -> bool {
    [
        "",
        "picket.platform.v1.Coordination",
        "picket.platform.v1.Ingest",
        "picket.platform.v1.Registry",
        "grpc.health.v1.Health",
    ]
    .contains(&service)
}

fn response(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse {
        status: status.into(),
    }
}

#[tonic::async_trait]
impl Health for HealthService {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        peer::registered_gateway(&self.services, request.extensions()).await?;
        if !is_known(&request.get_ref().service) {
            return Err(Status::not_found("there is no such service here"));
        }
        Ok(Response::new(response(self.status().await)))
    }

    type WatchStream = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        peer::registered_gateway(&self.services, request.extensions()).await?;
        if !is_known(&request.get_ref().service) {
            let unknown = response(ServingStatus::ServiceUnknown);
            return Ok(Response::new(Box::pin(stream::iter([Ok(unknown)]))));
        }
        let changes = stream::unfold((self.clone(), None), |(service, last)| async move {
            // Nothing follows the end of the process.
            if last == Some(ServingStatus::NotServing) && service.stop.is_cancelled() {
                return None;
            }
            let status = service.next(last).await;
            Some((Ok(response(status)), (service, Some(status))))
        });
        Ok(Response::new(Box::pin(changes)))
    }
}
