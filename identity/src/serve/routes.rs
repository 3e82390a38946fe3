//! Several gRPC services on one port.

use std::collections::HashMap;
use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use tonic::Status;
use tonic::body::Body;
use tonic::server::NamedService;
use tower::util::{BoxCloneSyncService, Oneshot, ServiceExt};
use tower_service::Service;

use super::GrpcService;

type Call = Oneshot<Boxed, Request<Body>>;
type Boxed = BoxCloneSyncService<Request<Body>, Response<Body>, Infallible>;

/// Hands a call to the service in the first segment of its path (`/package.Service/Method`). A call to any other service
/// is answered with `UNIMPLEMENTED`. Cheap to clone.
#[derive(Clone, Default)]
pub struct Routes(Arc<HashMap<&'static str, Boxed>>);

impl Routes {
    /// No service yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a generated server.
    #[must_use]
    #[expect(
        clippy::should_implement_trait,
        reason = "a service is added to a list, nothing is summed up"
    )]
    pub fn add<S: GrpcService + NamedService>(mut self, service: S) -> Self {
        Arc::make_mut(&mut self.0).insert(S::NAME, BoxCloneSyncService::new(service));
        self
    }
}

impl fmt::Debug for Routes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Service<Request<Body>> for Routes {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = RouteFuture;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> RouteFuture {
        let service = request
            .uri()
            .path()
            .strip_prefix('/')
            .and_then(|path| path.split('/').next());
        match service.and_then(|name| self.0.get(name)) {
            Some(service) => RouteFuture(Some(Box::pin(service.clone().oneshot(request)))),
            None => RouteFuture(None),
        }
    }
}

/// The answer to a call.
pub struct RouteFuture(Option<Pin<Box<Call>>>);

impl fmt::Debug for RouteFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RouteFuture")
    }
}

impl Future for RouteFuture {
    type Output = Result<Response<Body>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            Some(call) => call.as_mut().poll(cx),
            None => Poll::Ready(Ok(
                Status::unimplemented("there is no such service here").into_http()
            )),
        }
    }
}
