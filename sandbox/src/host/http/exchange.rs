//! One message out, one answer in.

use std::time::Instant;

use bytes::Bytes;
use http::Version;
use http::header::HOST;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::task::AbortOnDropHandle;

use super::request::Message;
use super::{Phases, Problem, Response};

/// Bytes of the answer's head.
pub(super) const MAX_HEAD: usize = 64 << 10;

fn protocol(error: &hyper::Error) -> Problem {
    // The source says what went wrong, hyper's own words only where.
    let source = std::error::Error::source(error)
        .map(|source| format!(": {source}"))
        .unwrap_or_default();
    Problem::Protocol(format!("{error}{source}"))
}

pub(super) async fn exchange<S>(
    stream: S,
    http2: bool,
    message: Message,
    max_body: usize,
    mut phases: Phases,
) -> Result<Response, Problem>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let io = TokioIo::new(stream);
    let sending = Instant::now();
    // The connection's task ends with this function, however it ends.
    let (answer, _connection) = if http2 {
        over_http2(io, message).await?
    } else {
        over_http1(io, message).await?
    };
    phases.first_byte = sending.elapsed();
    let (head, body) = answer.into_parts();
    let reading = Instant::now();
    let (body, truncated) = read(body, max_body).await?;
    phases.body = reading.elapsed();
    Ok(Response {
        status: head.status.as_u16(),
        version: match head.version {
            Version::HTTP_2 => "HTTP/2",
            Version::HTTP_10 => "HTTP/1.0",
            _ => "HTTP/1.1",
        },
        headers: head
            .headers
            .iter()
            .map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec()))
            .collect(),
        body,
        truncated,
        peer: String::new(),
        phases,
        tls: None,
    })
}

type Answer = (http::Response<Incoming>, AbortOnDropHandle<()>);

async fn over_http1<S>(io: TokioIo<S>, mut message: Message) -> Result<Answer, Problem>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    // HTTP/1.1 sends the path alone; the host is in its header.
    let path = message.uri().path_and_query().map_or("/", |path| path.as_str());
    *message.uri_mut() = path
        .parse()
        .map_err(|error| Problem::Invalid(format!("{path}: {error}")))?;
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(MAX_HEAD)
        .handshake(io)
        .await
        .map_err(|error| protocol(&error))?;
    let task = AbortOnDropHandle::new(tokio::spawn(async move {
        // What goes wrong is seen by the one who waits for the answer.
        let _ = connection.await;
    }));
    let answer = sender
        .send_request(message)
        .await
        .map_err(|error| protocol(&error))?;
    Ok((answer, task))
}

async fn over_http2<S>(io: TokioIo<S>, mut message: Message) -> Result<Answer, Problem>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    // RFC 9113, 8.3.1: the authority stands for the host.
    if let Some(host) = message.headers_mut().remove(HOST) {
        let mut parts = message.uri().clone().into_parts();
        let invalid = |reason: String| Problem::Invalid(format!("the header host can't be sent: {reason}"));
        parts.authority = Some(
            host.as_bytes()
                .try_into()
                .map_err(|error: http::uri::InvalidUri| invalid(error.to_string()))?,
        );
        *message.uri_mut() = http::Uri::from_parts(parts).map_err(|error| invalid(error.to_string()))?;
    }
    let (mut sender, connection) = http2::Builder::new(TokioExecutor::new())
        .max_header_list_size(u32::try_from(MAX_HEAD).unwrap_or(u32::MAX))
        .handshake::<_, Full<Bytes>>(io)
        .await
        .map_err(|error| protocol(&error))?;
    let task = AbortOnDropHandle::new(tokio::spawn(async move {
        let _ = connection.await;
    }));
    let answer = sender
        .send_request(message)
        .await
        .map_err(|error| protocol(&error))?;
    Ok((answer, task))
}

async fn read(mut body: Incoming, max: usize) -> Result<(Vec<u8>, bool), Problem> {
    let mut kept = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| protocol(&error))?;
        if let Some(data) = frame.data_ref() {
            let room = max - kept.len();
            kept.extend_from_slice(&data[..room.min(data.len())]);
            if data.len() > room {
                return Ok((kept, true));
            }
        }
    }
    Ok((kept, false))
}
