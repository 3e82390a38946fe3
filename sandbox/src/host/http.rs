//! `picket:checker/http`: one request over a connection of its own, with phases and certificates.

mod exchange;
mod outgoing;
mod request;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::{Duration, Instant};

pub(crate) use outgoing::{Outgoing, context as outgoing_context};

use crate::engine::Services;
use crate::grant::Protocol;
use crate::host::secret::{Refusal as SecretRefusal, SecretView};
use crate::host::tls::{ClientIdentity, identity};
use crate::net::connect::connect;
use crate::net::counted::Counted;
use crate::net::guard::{Guard, Refusal};
use crate::net::tls::{Options, Session, TlsError, Trust, handshake};

/// The most of a body that is ever read.
pub(crate) const MAX_BODY: usize = 4 << 20;

pub(crate) enum HeaderValue {
    Text(String),
    Secret { prefix: String, secret: String },
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    V4,
    V6,
}

pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) url: String,
    pub(crate) headers: Vec<(String, HeaderValue)>,
    /// User name, and the name of the password's secret.
    pub(crate) basic_auth: Option<(String, String)>,
    pub(crate) body: Option<Vec<u8>>,
    pub(crate) family: Option<Family>,
    pub(crate) trust: Trust,
    pub(crate) require_trusted: bool,
    pub(crate) server_name: Option<String>,
    pub(crate) identity: Option<ClientIdentity>,
    pub(crate) timeout: Duration,
    pub(crate) max_body: usize,
}

#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Phases {
    pub(crate) name_resolution: Option<Duration>,
    pub(crate) connect: Duration,
    pub(crate) tls: Option<Duration>,
    pub(crate) first_byte: Duration,
    pub(crate) body: Duration,
    pub(crate) total: Duration,
}

#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) version: &'static str,
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    pub(crate) body: Vec<u8>,
    pub(crate) truncated: bool,
    pub(crate) peer: String,
    pub(crate) phases: Phases,
    pub(crate) tls: Option<Session>,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum Problem {
    #[error("{0}")]
    Reach(#[from] Refusal),
    #[error("{0}")]
    Secret(#[from] SecretRefusal),
    #[error("{0}")]
    Invalid(String),
    #[error("{0}")]
    Connect(String),
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    #[error("{0}")]
    Tls(#[from] TlsError),
    #[error("the answer isn't HTTP, or broke off: {0}")]
    Protocol(String),
}

/// A failed request, with what is known of it.
#[derive(Debug)]
pub(crate) struct FetchError {
    pub(crate) problem: Problem,
    pub(crate) peer: Option<String>,
    pub(crate) tls: Option<Session>,
    pub(crate) elapsed: Duration,
}

/// What a request has found out so far; it survives a timeout.
#[derive(Default)]
struct Known {
    peer: Option<String>,
    tls: Option<Session>,
}

/// What one run's requests share.
pub(crate) struct Client<'a> {
    pub(crate) guard: &'a Arc<Guard>,
    pub(crate) services: &'a Services,
    pub(crate) secrets: &'a SecretView,
    pub(crate) deadline: Instant,
}

impl Client<'_> {
    pub(crate) async fn fetch(&self, request: Request) -> Result<Response, FetchError> {
        let began = Instant::now();
        let patience = request
            .timeout
            .min(self.deadline.saturating_duration_since(began));
        let mut known = Known::default();
        let attempt = tokio::time::timeout(
            patience,
            self.attempt(request, began, began + patience, &mut known),
        );
        let ended = attempt.await.unwrap_or(Err(Problem::Timeout(patience)));
        ended.map_err(|problem| {
            let refused = match &problem {
                Problem::Tls(TlsError::Untrusted {
                    session: Some(session),
                    ..
                }) => Some((**session).clone()),
                _ => None,
            };
            FetchError {
                problem,
                peer: known.peer,
                tls: refused.or(known.tls),
                elapsed: began.elapsed(),
            }
        })
    }

    async fn attempt(
        &self,
        request: Request,
        began: Instant,
        deadline: Instant,
        known: &mut Known,
    ) -> Result<Response, Problem> {
        let target = request::Destination::parse(&request.url).map_err(Problem::Invalid)?;
        let message = request::build(&request, &target, self.secrets).await?;
        let mut phases = Phases::default();

        let mut addresses = self
            .guard
            .reach(Protocol::Http, &target.host, target.port)
            .await?;
        if target.is_name() {
            phases.name_resolution = Some(began.elapsed());
        }
        if let Some(family) = request.family {
            addresses.retain(|address| address.is_ipv4() == (family == Family::V4));
            if addresses.is_empty() {
                return Err(Problem::Connect(format!(
                    "{} has no address of the wanted family",
                    target.host
                )));
            }
        }

        let connecting = Instant::now();
        let stream = connect(&addresses, target.port, deadline)
            .await
            .map_err(|error| match error.kind() {
                std::io::ErrorKind::TimedOut => Problem::Timeout(connecting.elapsed()),
                _ => Problem::Connect(format!("can't connect to {}: {error}", target.host)),
            })?;
        phases.connect = connecting.elapsed();
        let peer = stream
            .peer_addr()
            .map_or_else(|_| target.host.to_string(), |peer| peer.to_string());
        known.peer = Some(peer.clone());

        let stream = Counted::new(stream, Arc::clone(self.guard));
        let mut answer = if target.tls {
            let options = Options {
                server_name: request.server_name.unwrap_or_else(|| target.server_name()),
                trust: request.trust,
                require_trusted: request.require_trusted,
                alpn: vec!["h2".to_owned(), "http/1.1".to_owned()],
                identity: identity(request.identity, self.secrets).await?,
            };
            let (stream, session) = handshake(stream, options, &self.services.roots).await?;
            phases.tls = Some(session.handshake);
            let http2 = session.alpn.as_deref() == Some("h2");
            known.tls = Some(session);
            exchange::exchange(stream, http2, message, request.max_body.min(MAX_BODY), phases).await?
        } else {
            exchange::exchange(stream, false, message, request.max_body.min(MAX_BODY), phases).await?
        };
        answer.peer = peer;
        answer.tls = known.tls.take();
        answer.phases.total = began.elapsed();
        Ok(answer)
    }
}
