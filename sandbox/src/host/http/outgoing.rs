//! `wasi:http/outgoing-handler`, for checkers that were not written for Picket: the same grants, resolver and TLS as
//! `picket:checker/http`, without what it shows. Nothing follows redirects here; a guest that does is judged anew.

#[cfg(test)]
mod tests;

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Sleep;
use tokio_util::task::AbortOnDropHandle;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpCtx, WasiHttpHooks};

use super::exchange::MAX_HEAD;
use super::request::Destination;
use crate::engine::Services;
use crate::grant::Protocol;
use crate::net::connect::connect;
use crate::net::counted::Counted;
use crate::net::guard::{Guard, Refusal};
use crate::net::resolve::ResolveError;
use crate::net::tls::{Options, TlsError, Trust, handshake};

/// Bytes of the headers of one message that a guest puts together.
const MAX_FIELDS: usize = 16 << 10;
/// Bytes of a request's body that wait to be sent, per request.
const BODY_CHUNK: usize = 64 << 10;

/// The limits of what a guest puts together.
pub(crate) fn context() -> WasiHttpCtx {
    let mut context = WasiHttpCtx::new();
    context.set_field_size_limit(MAX_FIELDS);
    context
}

/// Sends one run's requests.
#[derive(Clone)]
pub(crate) struct Outgoing {
    pub(crate) guard: Arc<Guard>,
    pub(crate) services: Arc<Services>,
    pub(crate) deadline: Instant,
}

type Finish = Box<dyn Future<Output = Result<(), Error>> + Send>;
type Sent = Result<(http::Response<WasiBody>, Finish), Error>;

impl WasiHttpHooks for Outgoing {
    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        _processed: Finish,
    ) -> Box<dyn Future<Output = Sent> + Send> {
        self.guard.count_call();
        let this = self.clone();
        Box::new(async move { this.send(request, options.unwrap_or_default()).await })
    }

    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        BODY_CHUNK
    }
}

impl Outgoing {
    async fn send(self, request: http::Request<WasiBody>, options: RequestOptions) -> Sent {
        if request.method() == http::Method::CONNECT {
            return Err(Error::HttpRequestMethodInvalid);
        }
        let target =
            Destination::parse(&request.uri().to_string()).map_err(|_| Error::HttpRequestUriInvalid)?;
        let left = self.deadline.saturating_duration_since(Instant::now());
        let patience = options.connect_timeout.map_or(left, |wanted| wanted.min(left));
        let connecting = self.connect(&target, Instant::now() + patience);
        let stream = tokio::time::timeout(patience, connecting)
            .await
            .map_err(|_| Error::ConnectionTimeout)??;
        if !target.tls {
            return exchange(stream, request, options).await;
        }
        let shake = handshake(
            stream,
            Options {
                server_name: target.server_name(),
                trust: Trust::Platform,
                require_trusted: true,
                alpn: vec!["http/1.1".to_owned()],
                identity: None,
            },
            &self.services.roots,
        );
        let (stream, _) = tokio::time::timeout(patience, shake)
            .await
            .map_err(|_| Error::ConnectionTimeout)?
            .map_err(|error| tls_error(&error))?;
        exchange(stream, request, options).await
    }

    /// Grants on the name, on each address that it has, and then only to those: nothing is looked up twice.
    async fn connect(
        &self,
        target: &Destination,
        deadline: Instant,
    ) -> Result<Counted<tokio::net::TcpStream>, Error> {
        let addresses = self
            .guard
            .reach(Protocol::Http, &target.host, target.port)
            .await
            .map_err(|refusal| refused(&refusal))?;
        let stream = connect(&addresses, target.port, deadline)
            .await
            .map_err(|error| match error.kind() {
                io::ErrorKind::ConnectionRefused => Error::ConnectionRefused,
                io::ErrorKind::TimedOut => Error::ConnectionTimeout,
                _ => Error::DestinationUnavailable,
            })?;
        Ok(Counted::new(stream, Arc::clone(&self.guard)))
    }
}

fn refused(refusal: &Refusal) -> Error {
    match refusal {
        Refusal::Denied(_) => Error::HttpRequestDenied,
        Refusal::Unresolved(ResolveError::Timeout { .. }) => Error::DnsTimeout,
        Refusal::Unresolved(ResolveError::NoAddress { .. }) => Error::DestinationNotFound,
        Refusal::Invalid(_) => Error::HttpRequestUriInvalid,
    }
}

fn tls_error(error: &TlsError) -> Error {
    match error {
        TlsError::InvalidOptions(_) => Error::HttpRequestUriInvalid,
        TlsError::Untrusted { .. } => Error::TlsCertificateError,
        TlsError::Handshake(_) => Error::TlsProtocolError,
    }
}

async fn exchange<S>(stream: S, mut request: http::Request<WasiBody>, options: RequestOptions) -> Sent
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    // The path alone goes out; the host is in its header.
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    *request.uri_mut() = path.parse().map_err(|_| Error::HttpRequestUriInvalid)?;
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(MAX_HEAD)
        .handshake(TokioIo::new(stream))
        .await?;
    // Ends with whoever waits for the answer or reads its body: at the latest with the run.
    let connection = AbortOnDropHandle::new(tokio::spawn(connection));
    let answering = sender.send_request(request);
    let answer = match options.first_byte_timeout {
        Some(patience) => tokio::time::timeout(patience, answering)
            .await
            .map_err(|_| Error::HttpResponseTimeout)?,
        None => answering.await,
    }?;
    let answer = answer.map(|body| Patient::new(body, options.between_bytes_timeout).boxed_unsync());
    let finish = async move {
        match connection.await {
            Ok(ended) => ended.map_err(Error::from),
            Err(_) => Ok(()),
        }
    };
    Ok((answer, Box::new(finish)))
}

/// A body that is given up when nothing of it comes for a while. Without an own patience, the run's deadline is there.
struct Patient {
    body: Incoming,
    patience: Option<Duration>,
    waiting: Option<Pin<Box<Sleep>>>,
}

impl Patient {
    fn new(body: Incoming, patience: Option<Duration>) -> Self {
        Self {
            body,
            patience,
            waiting: None,
        }
    }
}

impl Body for Patient {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) {
            self.waiting = None;
            return Poll::Ready(frame.map(|frame| frame.map_err(Error::from)));
        }
        let Some(patience) = self.patience else {
            return Poll::Pending;
        };
        let waiting = self
            .waiting
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
        waiting
            .as_mut()
            .poll(cx)
            .map(|()| Some(Err(Error::ConnectionReadTimeout)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
