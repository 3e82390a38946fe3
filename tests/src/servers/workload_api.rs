//! A SPIFFE Workload API over a Unix socket, as a SPIRE agent serves it, and the authority behind it.
//!
//! It serves from a thread of its own: a test that waits for a program must not keep it from answering.

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::{Context, Poll};

use anyhow::Context as _;
use futures_util::{Stream, StreamExt as _};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::UnixListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_stream::wrappers::WatchStream;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::server::{Grpc, ServerStreamingService};
use tonic::{Request, Response, Status};

mod message;
mod spire;

use message::{X509SvidRequest, X509SvidResponse};
pub use spire::{Spire, Svid};

const METHOD: &str = "/SpiffeWorkloadAPI/FetchX509SVID";

/// What this Workload API says to whoever asks: to each stream that is open, and to each that will be.
#[derive(Debug, Clone, Default)]
pub enum Answer {
    /// As SPIRE says it to a process that it has no entry for.
    #[default]
    NotEntitled,
    /// A response without an SVID, which no Workload API should give.
    Empty,
    /// SVIDs, the default one first, and the authorities of their trust domain.
    Svids(Vec<Svid>, Vec<Vec<u8>>),
}

impl Answer {
    /// One SVID by `spire`, and its authority.
    #[must_use]
    pub fn of(spire: &Spire, svid: Svid) -> Self {
        Self::Svids(vec![svid], vec![spire.authority().to_vec()])
    }

    fn response(&self) -> Result<X509SvidResponse, Status> {
        match self {
            Self::NotEntitled => Err(Status::permission_denied("no identity issued")),
            Self::Empty => Ok(X509SvidResponse::default()),
            Self::Svids(svids, authorities) => Ok(X509SvidResponse {
                svids: svids
                    .iter()
                    .map(|svid| svid.message(&authorities.concat()))
                    .collect(),
            }),
        }
    }
}

/// A Workload API that serves until it is dropped.
#[derive(Debug)]
pub struct WorkloadApi {
    socket: PathBuf,
    answers: watch::Sender<Answer>,
    stop: CancellationToken,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl WorkloadApi {
    /// Serves on a socket, which isn't there yet.
    pub fn start(socket: &Path, answer: Answer) -> anyhow::Result<Self> {
        let (answers, receiver) = watch::channel(answer);
        let stop = CancellationToken::new();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let listener = {
            let _inside = runtime.enter();
            UnixListener::bind(socket).with_context(|| format!("no socket {}", socket.display()))?
        };
        let until = stop.clone();
        let thread = std::thread::spawn(move || {
            runtime.block_on(until.run_until_cancelled(serve(listener, receiver)));
        });
        Ok(Self {
            socket: socket.to_owned(),
            answers,
            stop,
            thread: Some(thread),
        })
    }

    /// What a configuration says.
    #[must_use]
    pub fn address(&self) -> String {
        format!("unix://{}", self.socket.display())
    }

    /// Says something else from now on, to the open streams too.
    pub fn answer(&self, answer: Answer) {
        self.answers.send_replace(answer);
    }
}

impl Drop for WorkloadApi {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(thread) = self.thread.take() {
            // A server that panicked has stopped too.
            let _ = thread.join();
        }
        let _ = std::fs::remove_file(&self.socket);
    }
}

/// Ends with all its connections.
async fn serve(listener: UnixListener, answers: watch::Receiver<Answer>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let answers = answers.clone();
        connections.spawn(async move {
            let service = service_fn(move |request| call(request, answers.clone()));
            // How a connection ends is for the client to notice.
            let _ = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn call(
    request: http::Request<hyper::body::Incoming>,
    answers: watch::Receiver<Answer>,
) -> Result<http::Response<Body>, Infallible> {
    if request.uri().path() != METHOD {
        return Ok(Status::unimplemented("only FetchX509SVID").into_http());
    }
    let mut grpc = Grpc::new(tonic_prost::ProstCodec::default());
    Ok(grpc
        .server_streaming(FetchX509Svid(answers), request.map(Body::new))
        .await)
}

struct FetchX509Svid(watch::Receiver<Answer>);

type Responses = Pin<Box<dyn Stream<Item = Result<X509SvidResponse, Status>> + Send>>;

impl ServerStreamingService<X509SvidRequest> for FetchX509Svid {
    type Response = X509SvidResponse;
    type ResponseStream = Responses;
    type Future = std::future::Ready<Result<Response<Responses>, Status>>;

    fn call(&mut self, request: Request<X509SvidRequest>) -> Self::Future {
        // SPIFFE Workload Endpoint §6: what a browser can't be made to send.
        if request
            .metadata()
            .get("workload.spiffe.io")
            .is_none_or(|value| value != "true")
        {
            return std::future::ready(Err(Status::invalid_argument(
                "security header missing from request",
            )));
        }
        let responses = WatchStream::new(self.0.clone()).map(|answer| answer.response());
        std::future::ready(Ok(Response::new(Box::pin(UntilRefused(Some(responses))))))
    }
}

/// A stream that ends with its first refusal, as gRPC's do.
struct UntilRefused<S>(Option<S>);

impl<S: Stream<Item = Result<X509SvidResponse, Status>> + Unpin> Stream for UntilRefused<S> {
    type Item = Result<X509SvidResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(stream) = &mut self.0 else {
            return Poll::Ready(None);
        };
        let next = stream.poll_next_unpin(context);
        if matches!(next, Poll::Ready(Some(Err(_)) | None)) {
            self.0 = None;
        }
        next
    }
}
