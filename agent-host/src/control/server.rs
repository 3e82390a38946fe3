//! The agent's side of the control socket.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::{Body, Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use picket_identity::name::CheckName;
use rustix::fs::Mode;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use serde::Serialize;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::model::{self, Problem, Ran, Top};
use super::result::ResultModel;
use super::{ControlError, socket_path};
use crate::identity::IdentityStore;
use crate::internal_events as events;
use crate::runner::Checks;
use crate::runner::meter::Meters;
use crate::runner::now::{RunNowError, run_now};
use crate::schedule::{Scheduler, unix_ms};
use crate::spool::Spool;

/// People at one machine are few; more connections than this wait.
const CONNECTIONS: usize = 16;
/// A client that takes longer to ask has gone away.
const PATIENCE: Duration = Duration::from_secs(5);
/// Both requests are a line and a few headers; this is the least that hyper works with.
const REQUEST_BYTES: usize = 8 << 10;
const HEADERS: usize = 32;

/// Everything that a request may look at.
#[derive(Clone, Debug)]
pub struct Control {
    /// Who this agent is.
    pub identity: Arc<IdentityStore>,
    /// Its checks.
    pub checks: Arc<ArcSwap<Checks>>,
    /// What they have cost.
    pub meters: Arc<Meters>,
    /// What runs them.
    pub scheduler: Scheduler,
    /// Where results go.
    pub spool: Spool,
    /// How many runs may be under way at once.
    pub concurrent_runs: u64,
    /// When the agent started.
    pub started_at_unix_ms: u64,
}

/// A socket that is listened on; its file goes with it.
#[derive(Debug)]
pub struct ControlSocket {
    listener: UnixListener,
    path: PathBuf,
}

impl ControlSocket {
    /// Listens in a data folder whose agent we are: with the spool's lock in hand, a socket that is there already is that of
    /// an agent that is dead.
    ///
    /// # Errors
    /// The path is too long, something else has the name, or the system refuses.
    pub fn bind(data_dir: &Path) -> Result<Self, ControlError> {
        let path = socket_path(data_dir)?;
        let failed = |source: io::Error| ControlError::Io {
            path: path.clone(),
            source,
        };
        match std::fs::symlink_metadata(&path) {
            Ok(found) if found.file_type().is_socket() => std::fs::remove_file(&path).map_err(failed)?,
            Ok(_) => return Err(ControlError::InTheWay(path)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(error)),
        }
        let listener = listen(&path).map_err(failed)?;
        Ok(Self { listener, path })
    }

    /// Answers until `shutdown`.
    pub async fn serve(self, control: Control, shutdown: CancellationToken) {
        let own = rustix::process::geteuid().as_raw();
        let converse = move |stream| converse(stream, control.clone());
        self.serve_peers(move |uid| may_speak(uid, own), converse, shutdown)
            .await;
    }

    async fn serve_peers<F>(
        self,
        may_speak: impl Fn(u32) -> bool,
        converse: impl Fn(UnixStream) -> F,
        shutdown: CancellationToken,
    ) where
        F: Future<Output = ()> + Send + 'static,
    {
        let places = Arc::new(Semaphore::new(CONNECTIONS));
        loop {
            let accepted = tokio::select! {
                () = shutdown.cancelled() => return,
                accepted = self.listener.accept() => accepted,
            };
            let stream = match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    events::control_connection_failed(&error);
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            // The kernel's word (SO_PEERCRED), not the peer's; unix(7).
            match stream.peer_cred() {
                Ok(peer) if may_speak(peer.uid()) => {}
                Ok(peer) => {
                    events::control_refused(peer.uid());
                    continue;
                }
                Err(error) => {
                    events::control_connection_failed(&error);
                    continue;
                }
            }
            let Ok(place) = Arc::clone(&places).acquire_owned().await else {
                return;
            };
            let (conversation, shutdown) = (converse(stream), shutdown.clone());
            tokio::spawn(async move {
                let _place = place;
                tokio::select! {
                    () = shutdown.cancelled() => {}
                    () = conversation => {}
                }
            });
        }
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        // What stays behind is replaced at the next start.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// The agent's own user, and root, who could be it anyway.
fn may_speak(uid: u32, own: u32) -> bool {
    uid == own || uid == 0
}

fn listen(path: &Path) -> io::Result<UnixListener> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    // Before it has a name: the file is made with these bits and was never open to others, whatever the umask.
    rustix::fs::fchmod(&socket, Mode::RUSR | Mode::WUSR)?;
    rustix::net::bind(&socket, &SocketAddrUnix::new(path)?)?;
    rustix::net::listen(&socket, 16)?;
    UnixListener::from_std(socket.into())
}

async fn converse(stream: UnixStream, control: Control) {
    let service = service_fn(move |request| {
        let control = control.clone();
        async move { Ok::<_, Infallible>(answer(&request, &control).await) }
    });
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .max_buf_size(REQUEST_BYTES)
        .max_headers(HEADERS)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        events::control_connection_failed(&io::Error::other(error));
    }
}

async fn answer(request: &Request<Incoming>, control: &Control) -> Response<Full<Bytes>> {
    if !request.body().is_end_stream() {
        return refuse(StatusCode::PAYLOAD_TOO_LARGE, "expected a request without a body");
    }
    let path: Vec<&str> = request.uri().path().split('/').skip(1).collect();
    match (request.method(), path.as_slice()) {
        (&Method::GET, ["v1", "top"]) => json(StatusCode::OK, &control.top().await),
        (&Method::POST, ["v1", "check", name, "run"]) => control.run(name).await,
        (_, ["v1", "top"]) => refuse(StatusCode::METHOD_NOT_ALLOWED, "expected GET"),
        (_, ["v1", "check", _, "run"]) => refuse(StatusCode::METHOD_NOT_ALLOWED, "expected POST"),
        _ => refuse(
            StatusCode::NOT_FOUND,
            "there are GET /v1/top and POST /v1/check/NAME/run",
        ),
    }
}

impl Control {
    async fn top(&self) -> Top {
        let outlook = self.scheduler.outlook().await;
        let now_unix_ms = unix_ms();
        Top {
            spiffe_id: self.identity.current().identity().id().to_string(),
            now_unix_ms,
            started_at_unix_ms: self.started_at_unix_ms,
            concurrent_runs: self.concurrent_runs,
            checks: model::lines(
                &self.checks.load(),
                &self.meters.snapshot(),
                &outlook,
                now_unix_ms,
            ),
        }
    }

    async fn run(&self, name: &str) -> Response<Full<Bytes>> {
        let name: CheckName = match name.parse() {
            Ok(name) => name,
            Err(error) => {
                let error: picket_identity::name::NameError = error;
                return refuse(StatusCode::BAD_REQUEST, &error.to_string());
            }
        };
        match run_now(&self.scheduler, &self.spool, name).await {
            Ok((result, position)) => json(
                StatusCode::OK,
                &Ran {
                    result: ResultModel::from(&result),
                    stream: position.stream.to_string(),
                    seq: position.seq,
                },
            ),
            Err(error) => {
                let status = match error {
                    RunNowError::Unknown(_) => StatusCode::NOT_FOUND,
                    RunNowError::Running(_) => StatusCode::CONFLICT,
                    RunNowError::Stopping => StatusCode::SERVICE_UNAVAILABLE,
                    RunNowError::Lost(_) => StatusCode::INSUFFICIENT_STORAGE,
                };
                refuse(status, &error.to_string())
            }
        }
    }
}

fn refuse(status: StatusCode, sentence: &str) -> Response<Full<Bytes>> {
    let error = sentence.to_owned();
    json(status, &Problem { error })
}

fn json(status: StatusCode, value: &impl Serialize) -> Response<Full<Bytes>> {
    let (status, text) = match serde_json::to_vec(value) {
        Ok(text) => (status, text),
        // Only a bug of ours makes a value that JSON has no words for.
        Err(_) => (StatusCode::INTERNAL_SERVER_ERROR, b"{}".to_vec()),
    };
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    let json = http::HeaderValue::from_static("application/json");
    response.headers_mut().insert(http::header::CONTENT_TYPE, json);
    response
}

#[cfg(test)]
mod tests;
