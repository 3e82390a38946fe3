//! The command line's side of the control socket.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use picket_identity::name::CheckName;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;

use super::model::{Problem, Ran, Top};
use super::{ControlError, socket_path};

/// An agent that runs answers at once; one that doesn't within this hangs.
const PATIENCE: Duration = Duration::from_secs(10);
/// A run takes up to the longest timeout of a check, after waiting for a place to run in.
const RUN_PATIENCE: Duration = Duration::from_secs(20 * 60);
/// Thousands of checks.
const ANSWER_BYTES: usize = 64 << 20;

/// What asks a running agent.
#[derive(Clone, Debug)]
pub struct Client {
    path: PathBuf,
}

impl Client {
    /// For the agent with this data folder.
    ///
    /// # Errors
    /// The folder's path is too long for a socket.
    pub fn new(data_dir: &Path) -> Result<Self, ControlError> {
        socket_path(data_dir).map(|path| Self { path })
    }

    /// Every check with what it costs.
    ///
    /// # Errors
    /// No agent runs there, or it doesn't answer this user.
    pub async fn top(&self) -> Result<Top, ControlError> {
        self.ask(Method::GET, "/v1/top", PATIENCE).await
    }

    /// Runs a check now; its result is in the agent's spool when this returns.
    ///
    /// # Errors
    /// As [`Client::top`]; the agent has no such check, or it is running.
    pub async fn run(&self, check: &CheckName) -> Result<Ran, ControlError> {
        let path = format!("/v1/check/{check}/run");
        self.ask(Method::POST, &path, RUN_PATIENCE).await
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        patience: Duration,
    ) -> Result<T, ControlError> {
        let stream = UnixStream::connect(&self.path)
            .await
            .map_err(|error| self.unreachable(error))?;
        let asked = tokio::time::timeout(patience, self.exchange(stream, method, path)).await;
        let (status, text) = asked.unwrap_or_else(|_| Err(self.failed(io::ErrorKind::TimedOut.into())))?;
        if status != StatusCode::OK {
            let problem: Problem = self.parse(&text)?;
            return Err(ControlError::Answer {
                status,
                sentence: problem.error,
            });
        }
        self.parse(&text)
    }

    async fn exchange(
        &self,
        stream: UnixStream,
        method: Method,
        path: &str,
    ) -> Result<(StatusCode, Bytes), ControlError> {
        // A connection that ends before the answer: the agent looked at who we are, and hung up.
        let hung_up = |_: hyper::Error| ControlError::Refused(self.path.clone());
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(hung_up)?;
        // Its errors come back with the answer.
        let connection = tokio::spawn(connection);
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(http::header::HOST, "agent")
            .body(Empty::<Bytes>::new())
            .map_err(|error| self.nonsense(&error))?;
        let response = sender.send_request(request).await.map_err(hung_up)?;
        let status = response.status();
        let body = Limited::new(response.into_body(), ANSWER_BYTES);
        let text = body
            .collect()
            .await
            .map_err(|error| self.failed(io::Error::other(error)))?
            .to_bytes();
        connection.abort();
        Ok((status, text))
    }

    fn unreachable(&self, error: io::Error) -> ControlError {
        match error.kind() {
            // The file of an agent that died stays behind, and nobody listens.
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
                ControlError::NoAgent(self.path.clone())
            }
            io::ErrorKind::PermissionDenied => ControlError::Refused(self.path.clone()),
            _ => self.failed(error),
        }
    }

    fn failed(&self, source: io::Error) -> ControlError {
        ControlError::Io {
            path: self.path.clone(),
            source,
        }
    }

    fn nonsense(&self, reason: &dyn std::fmt::Display) -> ControlError {
        ControlError::Nonsense {
            path: self.path.clone(),
            reason: reason.to_string(),
        }
    }

    fn parse<T: DeserializeOwned>(&self, text: &[u8]) -> Result<T, ControlError> {
        serde_json::from_slice(text).map_err(|error| self.nonsense(&error))
    }
}
