//! `/metrics` in the text format of Prometheus, on loopback only.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::internal_events as events;
use crate::runner::meter::Meters;
use crate::spool::Spool;

/// Scrapers on one machine are few; more connections than this wait.
const CONNECTIONS: usize = 16;
/// A scraper that takes longer has gone away.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often samples of histograms are sorted into their buckets. Until then each one takes memory, whether or not anybody
/// ever scrapes.
const UPKEEP: Duration = Duration::from_secs(10);
/// From a cached checker's 10 µs to the longest timeout.
const BUCKETS: &[f64] = &[
    1e-5, 1e-4, 1e-3, 5e-3, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
];

/// Makes the recorder of this process. Where another one is installed already, as in tests that start several agents,
/// that one goes on recording and this one shows nothing.
///
/// # Errors
/// The recorder can't be built.
pub fn install() -> Result<PrometheusHandle, BuildError> {
    let recorder = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), BUCKETS)?
        .build_recorder();
    let handle = recorder.handle();
    if metrics::set_global_recorder(recorder).is_ok() {
        events::describe_metrics();
    }
    Ok(handle)
}

/// Everything that a scrape shows.
#[derive(Clone, Debug)]
pub struct Metrics {
    /// What was recorded.
    pub recorded: PrometheusHandle,
    /// What is measured when it is asked for.
    pub spool: Spool,
    /// The checks' numbers.
    pub meters: Arc<Meters>,
}

impl Metrics {
    /// All of it as text.
    #[must_use]
    pub fn render(&self) -> String {
        events::spool_measured(&self.spool.view());
        self.recorded.run_upkeep();
        let mut text = self.recorded.render();
        events::check_metrics::render(&mut text, &self.meters.snapshot());
        text
    }
}

/// Keeps what the recorder holds from growing, until `shutdown`.
pub async fn upkeep(handle: PrometheusHandle, shutdown: CancellationToken) {
    every(UPKEEP, &shutdown, || handle.run_upkeep()).await;
}

async fn every(period: Duration, shutdown: &CancellationToken, work: impl Fn()) {
    while tokio::time::timeout(period, shutdown.cancelled()).await.is_err() {
        work();
    }
}

/// Answers scrapers until `shutdown`.
pub async fn serve(listener: TcpListener, metrics: Metrics, shutdown: CancellationToken) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                events::metrics_listener_failed(&error);
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        let (metrics, shutdown) = (metrics.clone(), shutdown.clone());
        tokio::spawn(async move {
            let _place = place;
            let service = service_fn(move |request| {
                std::future::ready(Ok::<_, Infallible>(answer(&request, &metrics)))
            });
            let connection = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(PATIENCE)
                .keep_alive(false)
                .serve_connection(TokioIo::new(stream), service);
            let served = tokio::select! {
                () = shutdown.cancelled() => return,
                served = tokio::time::timeout(PATIENCE, connection) => served,
            };
            if let Ok(Err(error)) = served {
                events::metrics_listener_failed(&io::Error::other(error));
            }
        });
    }
}

fn answer(request: &Request<Incoming>, metrics: &Metrics) -> Response<Full<Bytes>> {
    let (status, text) = match (request.method(), request.uri().path()) {
        (&Method::GET, "/metrics") => (StatusCode::OK, metrics.render()),
        (_, "/metrics") => (StatusCode::METHOD_NOT_ALLOWED, "expected GET\n".to_owned()),
        _ => (StatusCode::NOT_FOUND, "metrics are at /metrics\n".to_owned()),
    };
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    let plain = http::HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(http::header::CONTENT_TYPE, plain);
    response
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test]
    async fn samples_are_sorted_again_and_again_without_a_scraper_until_the_end() {
        let shutdown = CancellationToken::new();
        let times = AtomicU32::new(0);
        let work = || {
            if times.fetch_add(1, Ordering::Relaxed) == 2 {
                shutdown.cancel();
            }
        };
        let upkeep = every(Duration::from_millis(1), &shutdown, work);
        tokio::time::timeout(Duration::from_secs(10), upkeep)
            .await
            .unwrap();
        assert_eq!(times.load(Ordering::Relaxed), 3);
    }
}
