//! One connection, from its first byte to its end.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls_pki_types::{CertificateDer, UnixTime};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tower::util::{Oneshot, ServiceExt};

use crate::channel_binding::ChannelBinding;
use crate::tls::{self, ServerTls};
use crate::verify::{self, Refusal, Verified};

use super::half_open::Ticket;
use super::{Closed, GrpcService, HandshakeFailure, Limits, Observer, PeerIdentity};

/// How often a live connection's dates are compared with the clock, at least: clocks jump, and machines sleep.
const CHECK_EVERY: Duration = Duration::from_secs(15);

pub(super) struct Connection {
    pub(super) stream: TcpStream,
    pub(super) peer: SocketAddr,
    pub(super) tls: watch::Receiver<Arc<ServerTls>>,
    pub(super) ticket: Ticket,
    pub(super) _place: OwnedSemaphorePermit,
}

/// What all connections of a listener share.
pub(super) struct Live<S> {
    pub(super) service: S,
    pub(super) limits: Limits,
    pub(super) observer: Arc<dyn Observer>,
    pub(super) shutdown: CancellationToken,
}

impl<S: GrpcService> Live<S> {
    pub(super) async fn run(&self, connection: Connection) {
        let Connection {
            stream,
            peer,
            mut tls,
            ticket,
            _place,
        } = connection;
        let snapshot = Arc::clone(&tls.borrow_and_update());
        let handshake = tokio::time::timeout(self.limits.handshake, handshake(stream, &snapshot));
        let outcome = tokio::select! {
            biased;
            () = self.shutdown.cancelled() => return,
            outcome = handshake => outcome.unwrap_or(Err(HandshakeFailure::Timeout)),
        };
        drop(ticket);
        let (stream, certificates, verified, binding) = match outcome {
            Ok(verified) => verified,
            Err(failure) => {
                self.observer.handshake_failed(peer, &failure);
                return;
            }
        };
        self.observer.connected(peer, &verified);
        let identity = PeerIdentity::new(verified.clone(), peer, binding);
        let calls = Calls {
            service: self.service.clone(),
            identity,
        };
        let watched = Watched {
            tls,
            certificates,
            verified: &verified,
        };
        let closed = serve(stream, calls, &self.limits, &self.shutdown, watched).await;
        self.observer.closed(peer, &verified, &closed);
    }
}

type Verification = (
    TlsStream<TcpStream>,
    Vec<CertificateDer<'static>>,
    Verified,
    ChannelBinding,
);

async fn handshake(stream: TcpStream, tls: &ServerTls) -> Result<Verification, HandshakeFailure> {
    // Small messages both ways: waiting to fill a segment only costs time. A socket that can't is served all the same.
    let _ = stream.set_nodelay(true);
    let stream = TlsAcceptor::from(Arc::clone(&tls.config))
        .accept(stream)
        .await
        .map_err(|error| match Refusal::from_handshake(&error, verify::now()) {
            Some(refusal) => HandshakeFailure::Refused(refusal),
            None => HandshakeFailure::Broken(error),
        })?;
    let (_, session) = stream.get_ref();
    tls::check_protocol(session).map_err(HandshakeFailure::Refused)?;
    let certificates: Vec<_> = session
        .peer_certificates()
        .unwrap_or_default()
        .iter()
        .map(|der| der.clone().into_owned())
        .collect();
    // The handshake ran the same verification; here it yields the value that says so.
    let verified = tls
        .verify(&certificates, verify::now())
        .map_err(HandshakeFailure::Refused)?;
    let binding = ChannelBinding::of(session)
        .map_err(|error| HandshakeFailure::Broken(std::io::Error::other(error)))?;
    Ok((stream, certificates, verified, binding))
}

struct Watched<'v> {
    tls: watch::Receiver<Arc<ServerTls>>,
    certificates: Vec<CertificateDer<'static>>,
    verified: &'v Verified,
}

async fn serve<S: GrpcService>(
    stream: TlsStream<TcpStream>,
    calls: Calls<S>,
    limits: &Limits,
    shutdown: &CancellationToken,
    mut watched: Watched<'_>,
) -> Closed {
    let mut builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.streams)
        .max_header_list_size(limits.header_list)
        .max_pending_accept_reset_streams(limits.pending_resets)
        .max_local_error_reset_streams(limits.pending_resets)
        .keep_alive_interval(limits.ping_every)
        .keep_alive_timeout(limits.ping_timeout);
    let mut connection = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), calls));
    let mut drain = std::pin::pin!(tokio::time::sleep(Duration::ZERO));
    let mut is_draining = false;
    let mut is_watching = true;
    let mut expires = watched.verified.chain_not_after();
    loop {
        let now = verify::now();
        if now > expires {
            return Closed::Expired;
        }
        tokio::select! {
            ended = connection.as_mut() => {
                return if is_draining { Closed::Shutdown } else { Closed::ByPeer(ended.err()) };
            }
            () = shutdown.cancelled(), if !is_draining => {
                connection.as_mut().graceful_shutdown();
                drain.as_mut().reset(tokio::time::Instant::now() + limits.drain);
                is_draining = true;
            }
            () = drain.as_mut(), if is_draining => return Closed::Shutdown,
            () = tokio::time::sleep(until_check(now, expires)) => {}
            changed = watched.tls.changed(), if is_watching => {
                if changed.is_err() {
                    is_watching = false;
                    continue;
                }
                let tls = Arc::clone(&watched.tls.borrow_and_update());
                match tls.verify(&watched.certificates, verify::now()) {
                    Ok(verified) => expires = verified.chain_not_after(),
                    Err(refusal) => return Closed::Refused(refusal),
                }
            }
        }
    }
}

/// Until a second after the last valid one, or until the next look at the clock.
pub(crate) fn until_check(now: UnixTime, expires: UnixTime) -> Duration {
    let left = expires.as_secs().saturating_sub(now.as_secs()).saturating_add(1);
    Duration::from_secs(left).min(CHECK_EVERY)
}

/// Hands each request to the service, with the peer's identity in it.
struct Calls<S> {
    service: S,
    identity: PeerIdentity,
}

impl<S: GrpcService> hyper::service::Service<http::Request<Incoming>> for Calls<S> {
    type Response = http::Response<Body>;
    type Error = std::convert::Infallible;
    type Future = Call<S>;

    fn call(&self, request: http::Request<Incoming>) -> Call<S> {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(self.identity.clone());
        Call(Box::pin(self.service.clone().oneshot(request)))
    }
}

struct Call<S: GrpcService>(Pin<Box<Oneshot<S, http::Request<Body>>>>);

impl<S: GrpcService> Future for Call<S> {
    type Output = Result<http::Response<Body>, std::convert::Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_is_looked_at_when_the_certificate_ends_and_often_before() {
        let at = |seconds| UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        assert_eq!(until_check(at(100), at(103)), Duration::from_secs(4));
        assert_eq!(until_check(at(100), at(100_000)), CHECK_EVERY);
        assert_eq!(until_check(at(200), at(100)), Duration::from_secs(1));
    }
}
