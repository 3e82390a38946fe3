//! The port for gateways: mutual TLS, and the services behind it.

use std::sync::Arc;

use picket_identity::serve::{Limits, LogObserver, Routes, serve as serve_verified};
use picket_identity::tls::ServerTls;
use picket_proto::health::v1::health_server::HealthServer;
use picket_proto::platform::v1::coordination_server::CoordinationServer;
use picket_proto::platform::v1::ingest_server::IngestServer;
use picket_proto::platform::v1::registry_server::RegistryServer;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::Services;
use super::health::HealthService;
use crate::authority::registry::RegistryService;
use crate::coordination::session::CoordinationService;
use crate::ingest::Lane;
use crate::ingest::seal::{MAX_HEADER, MAX_PAYLOAD};
use crate::ingest::service::IngestService;

/// The largest message with a batch in it: header and payload at their limits, and room for the rest.
const MAX_SUBMIT: usize = MAX_PAYLOAD + MAX_HEADER + 64 * 1024;

/// Serves gateways until it is told to stop. Before there is a certificate to serve with nobody is answered: who connects
/// waits, and tries again.
pub async fn serve(
    listener: TcpListener,
    mut tls: watch::Receiver<Option<Arc<ServerTls>>>,
    services: Services,
    lane: Lane,
    stop: CancellationToken,
) {
    let first = tokio::select! {
        () = stop.cancelled() => return,
        first = tls.wait_for(Option::is_some) => first.ok().and_then(|first| Option::clone(&first)),
    };
    let Some(first) = first else {
        return;
    };
    let (publish, snapshots) = watch::channel(first);
    tokio::spawn(stop.clone().run_until_cancelled_owned(pass_on(tls, publish)));
    let ingest =
        IngestServer::new(IngestService::new(services.clone(), lane)).max_decoding_message_size(MAX_SUBMIT);
    let coordination = CoordinationServer::new(CoordinationService::new(services.clone(), stop.clone()));
    let health = HealthServer::new(HealthService::new(services.clone(), stop.clone()));
    let registry = RegistryServer::new(RegistryService::new(services));
    let routes = Routes::new()
        .add(coordination)
        .add(ingest)
        .add(registry)
        .add(health);
    serve_verified(
        listener,
        snapshots,
        routes,
        Limits::default(),
        Arc::new(LogObserver),
        stop,
    )
    .await;
}

/// Ends with whoever makes the snapshots.
async fn pass_on(mut made: watch::Receiver<Option<Arc<ServerTls>>>, publish: watch::Sender<Arc<ServerTls>>) {
    while made.changed().await.is_ok() {
        let next = made.borrow_and_update().clone();
        if let Some(next) = next {
            publish.send_replace(next);
        }
    }
}
