//! The port for browsers and programs: HTTPS (TLS 1.2 and 1.3; HTTP/2 and HTTP/1.1), or plain HTTP on loopback.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use http::{HeaderValue, Request, Version, header};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

use super::Services;
use crate::metrics::serving as report;
use crate::web::{Options, WebState, router};

/// How long a handshake may take, and how long the head of a request.
const PATIENCE: Duration = Duration::from_secs(10);

/// Connections at once. An event stream costs some 30 KB.
const CONNECTIONS: usize = 2_048;

/// How long open requests get to end.
const DRAIN: Duration = Duration::from_secs(5);

/// The pause after an accept error, which is usually a lack of file handles: without one it would spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The port's TLS: `None` is plain HTTP.
pub type WebTlsConfig = Option<Arc<rustls::ServerConfig>>;

/// The present one, and those to come.
pub type WebTls = watch::Receiver<WebTlsConfig>;

/// Serves until it is told to stop.
pub async fn serve(listener: TcpListener, tls: WebTls, services: Services, stop: CancellationToken) {
    let https = tls.borrow().is_some();
    let router = router(WebState::new(
        services,
        Options {
            https,
            shutdown: stop.clone(),
        },
    ));
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    let connections = TaskTracker::new();
    loop {
        let Ok(place) = Arc::clone(&room).acquire_owned().await else {
            break;
        };
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                report::web_accept_failed(&error);
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let tls = tls.borrow().clone();
        let (router, stop) = (router.clone(), stop.clone());
        connections.spawn(async move {
            connection(stream, peer, tls, router, stop).await;
            drop(place);
        });
    }
    drop(listener);
    connections.close();
    let _left = tokio::time::timeout(DRAIN, connections.wait()).await;
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    tls: Option<Arc<rustls::ServerConfig>>,
    router: Router,
    stop: CancellationToken,
) {
    // A page's answer is small; it shouldn't wait for more. Where it can't be set, it is only slower.
    let _slower = stream.set_nodelay(true);
    let Some(tls) = tls else {
        report::web_connected("plain");
        return talk(stream, false, peer, router, stop).await;
    };
    match tokio::time::timeout(PATIENCE, TlsAcceptor::from(tls).accept(stream)).await {
        Ok(Ok(stream)) => {
            report::web_connected("tls");
            let is_h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
            talk(stream, is_h2, peer, router, stop).await;
        }
        // Scanners and browsers that don't know the platform CA: a count is enough.
        Ok(Err(_)) => report::web_connected("failed"),
        Err(_) => report::web_connected("timeout"),
    }
}

async fn talk<S>(stream: S, is_h2: bool, peer: SocketAddr, router: Router, stop: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service =
        service_fn(move |request: Request<Incoming>| router.clone().oneshot(prepared(request, peer)));
    let io = TokioIo::new(stream);
    // An error here is a peer that went away.
    if is_h2 {
        let mut builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        builder
            .timer(TokioTimer::new())
            .max_concurrent_streams(128)
            .max_header_list_size(32 * 1024)
            .keep_alive_interval(Some(Duration::from_secs(30)))
            .keep_alive_timeout(PATIENCE);
        let mut connection = std::pin::pin!(builder.serve_connection(io, service));
        tokio::select! {
            _ended = connection.as_mut() => return,
            () = stop.cancelled() => connection.as_mut().graceful_shutdown(),
        }
        let _ended = tokio::time::timeout(DRAIN, connection).await;
    } else {
        let mut builder = hyper::server::conn::http1::Builder::new();
        builder
            .timer(TokioTimer::new())
            .header_read_timeout(PATIENCE)
            .max_buf_size(64 * 1024);
        let mut connection = std::pin::pin!(builder.serve_connection(io, service));
        tokio::select! {
            _ended = connection.as_mut() => return,
            () = stop.cancelled() => connection.as_mut().graceful_shutdown(),
        }
        let _ended = tokio::time::timeout(DRAIN, connection).await;
    }
}

/// The request as handlers expect it: who asks, and a `Host` whatever the protocol.
fn prepared(mut request: Request<Incoming>, peer: SocketAddr) -> Request<Incoming> {
    request.extensions_mut().insert(ConnectInfo(peer));
    if request.version() == Version::HTTP_2 && !request.headers().contains_key(header::HOST) {
        let authority = request
            .uri()
            .authority()
            .and_then(|name| HeaderValue::from_str(name.as_str()).ok());
        if let Some(host) = authority {
            request.headers_mut().insert(header::HOST, host);
        }
    }
    request
}
