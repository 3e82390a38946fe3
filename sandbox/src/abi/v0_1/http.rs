//! `http`.

use std::time::Duration;

use super::tls::{certificate, client_identity, trust};
use super::{View, micros};
use crate::bindings::picket::checker::http as wit;
use crate::host::http::{Client, Family, FetchError, HeaderValue, Problem, Request, Response};
use crate::host::secret::Refusal as SecretRefusal;
use crate::net::guard::Refusal;
use crate::net::tls::{Session, TlsError};

fn header_value(value: wit::HeaderValue) -> HeaderValue {
    match value {
        wit::HeaderValue::Text(text) => HeaderValue::Text(text),
        wit::HeaderValue::Secret(value) => HeaderValue::Secret {
            prefix: value.prefix,
            secret: value.secret,
        },
    }
}

fn request(request: wit::Request) -> Request {
    Request {
        method: request.method,
        url: request.url,
        headers: request
            .headers
            .into_iter()
            .map(|(name, value)| (name, header_value(value)))
            .collect(),
        basic_auth: request
            .basic_auth
            .map(|auth| (auth.username, auth.password_secret)),
        body: request.body,
        family: request.family.map(|family| match family {
            wit::AddressFamily::Ipv4 => Family::V4,
            wit::AddressFamily::Ipv6 => Family::V6,
        }),
        trust: trust(request.tls.trust),
        require_trusted: request.tls.require_trusted,
        server_name: request.tls.server_name,
        identity: request.tls.identity.map(client_identity),
        timeout: Duration::from_millis(request.timeout_ms.into()),
        max_body: usize::try_from(request.max_body_bytes).unwrap_or(usize::MAX),
    }
}

fn session(session: Session) -> wit::TlsSession {
    wit::TlsSession {
        version: session.version,
        cipher_suite: session.cipher_suite,
        alpn: session.alpn,
        peer_certificates: session.peer_certificates.into_iter().map(certificate).collect(),
        trusted: session.trusted,
    }
}

fn response(response: Response) -> wit::Response {
    let phases = response.phases;
    wit::Response {
        status: response.status,
        version: response.version.to_owned(),
        headers: response.headers,
        body: response.body,
        truncated: response.truncated,
        peer: response.peer,
        phases: wit::Phases {
            name_resolution_us: phases.name_resolution.map(micros),
            connect_us: micros(phases.connect),
            tls_us: phases.tls.map(micros),
            first_byte_us: micros(phases.first_byte),
            body_us: micros(phases.body),
            total_us: micros(phases.total),
        },
        tls: response.tls.map(session),
        extra: Vec::new(),
    }
}

fn error(error: FetchError) -> wit::Error {
    let kind = match &error.problem {
        Problem::Reach(Refusal::Denied(_)) | Problem::Secret(SecretRefusal::Denied(_)) => {
            wit::ErrorKind::Denied
        }
        Problem::Reach(Refusal::Unresolved(_)) => wit::ErrorKind::NameResolution,
        Problem::Reach(Refusal::Invalid(_))
        | Problem::Invalid(_)
        | Problem::Tls(TlsError::InvalidOptions(_)) => wit::ErrorKind::InvalidRequest,
        Problem::Secret(SecretRefusal::Missing(_)) => wit::ErrorKind::Other,
        Problem::Connect(_) => wit::ErrorKind::Connect,
        Problem::Timeout(_) => wit::ErrorKind::Timeout,
        Problem::Tls(TlsError::Untrusted { .. }) => wit::ErrorKind::Untrusted,
        Problem::Tls(TlsError::Handshake(_)) => wit::ErrorKind::Tls,
        Problem::Protocol(_) => wit::ErrorKind::Protocol,
    };
    wit::Error {
        kind,
        message: error.problem.to_string(),
        peer: error.peer,
        tls: error.tls.map(session),
        elapsed_us: micros(error.elapsed),
    }
}

impl wit::Host for View<'_> {
    async fn fetch(&mut self, wanted: wit::Request) -> Result<wit::Response, wit::Error> {
        let run = &*self.0;
        run.guard.count_call();
        let client = Client {
            guard: &run.guard,
            services: &run.services,
            secrets: &run.secrets,
            deadline: run.deadline,
        };
        client.fetch(request(wanted)).await.map(response).map_err(error)
    }
}
