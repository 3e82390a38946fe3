//! `/metrics`, on a loopback port.

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse as _;
use axum::routing::get;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::telemetry;

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
