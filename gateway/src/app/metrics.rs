//! `/metrics`, on a loopback port.

use std::time::Duration;

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse as _;
use axum::routing::get;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::telemetry;

/// How often samples are sorted into their buckets.
const UPKEEP: Duration = Duration::from_secs(10);

/// Sorts samples of histograms into their buckets now and again, until `stop`: each takes memory until then, whether or not
/// anybody ever scrapes.
pub(super) async fn upkeep(recorder: Option<&'static PrometheusHandle>, stop: CancellationToken) {
    let Some(recorder) = recorder else {
        return;
    };
    while tokio::time::timeout(UPKEEP, stop.cancelled()).await.is_err() {
        recorder.run_upkeep();
    }
}

pub(super) async fn serve(
    listener: TcpListener,
    recorder: Option<&'static PrometheusHandle>,
    stop: CancellationToken,
) {
    let metrics = move || async move {
        let Some(recorder) = recorder else {
            let problem = "another recorder of metrics is installed in this process\n";
            return (StatusCode::SERVICE_UNAVAILABLE, problem).into_response();
        };
        recorder.run_upkeep();
        let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
        (kind, recorder.render()).into_response()
    };
    let router = Router::new().route("/metrics", get(metrics));
    let served = axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned());
    if let Err(error) = served.await {
        telemetry::metrics_listener_failed(&error);
    }
}
