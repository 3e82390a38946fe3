//! The same probes without a sandbox, as somebody would write them into a monitor in Rust: a timeout, a verdict, a
//! sentence and the times as metrics. What they were told to do was read before.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

/// As the checkers have it by default.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The most of a body that the checker reads.
const MAX_BODY: usize = 1 << 20;

/// What a check comes to.
pub(crate) struct Verdict {
    pub(crate) ok: bool,
    pub(crate) summary: String,
    pub(crate) metrics: Vec<(&'static str, f64)>,
}

/// What a request found.
struct Answer {
    status: StatusCode,
    body: usize,
    connect: Duration,
    first_byte: Duration,
}

/// Connects.
pub(crate) async fn tcp(peer: SocketAddr) -> Verdict {
    let began = Instant::now();
    match timeout(TIMEOUT, TcpStream::connect(peer)).await {
        Ok(Ok(_stream)) => {
            let seconds = began.elapsed().as_secs_f64();
            Verdict {
                ok: true,
                summary: format!("{peer} answered in {:.1} ms", seconds * 1e3),
                metrics: vec![("connect", seconds)],
            }
        }
        Ok(Err(error)) => failed(format!("{peer}: {error}")),
        Err(_) => failed(format!("{peer}: timed out")),
    }
}

/// Gets a page over a connection of its own.
pub(crate) async fn http(peer: SocketAddr) -> Verdict {
    let began = Instant::now();
    match timeout(TIMEOUT, get(peer)).await {
        Ok(Ok(answer)) => {
            let seconds = began.elapsed().as_secs_f64();
            Verdict {
                ok: answer.status.is_success(),
                summary: format!("GET http://{peer}/: {} in {:.0} ms", answer.status, seconds * 1e3),
                metrics: vec![
                    ("response_time", seconds),
                    ("connect", answer.connect.as_secs_f64()),
                    ("first_byte", answer.first_byte.as_secs_f64()),
                    ("size", answer.body as f64),
                ],
            }
        }
        Ok(Err(error)) => failed(format!("{peer}: {error:#}")),
        Err(_) => failed(format!("{peer}: timed out")),
    }
}

async fn get(peer: SocketAddr) -> anyhow::Result<Answer> {
    let began = Instant::now();
    let stream = TcpStream::connect(peer).await.context("can't connect")?;
    stream.set_nodelay(true)?;
    let connect = began.elapsed();
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let _connection = AbortOnDropHandle::new(tokio::spawn(async move {
        // What goes wrong is seen by the one who waits for the answer.
        let _ = connection.await;
    }));
    let request = Request::get("/")
        .header(header::HOST, peer.to_string())
        .body(Empty::<Bytes>::new())?;
    let sent = Instant::now();
    let response = sender.send_request(request).await?;
    let first_byte = sent.elapsed();
    let (head, mut incoming) = response.into_parts();
    let mut body = Vec::new();
    while let Some(frame) = incoming.frame().await {
        if let Some(data) = frame?.data_ref() {
            anyhow::ensure!(body.len() + data.len() <= MAX_BODY, "the body is too long");
            body.extend_from_slice(data);
        }
    }
    Ok(Answer {
        status: head.status,
        body: body.len(),
        connect,
        first_byte,
    })
}

fn failed(summary: String) -> Verdict {
    Verdict {
        ok: false,
        summary,
        metrics: Vec::new(),
    }
}

/// A verdict that must be well; the compiler can't leave out what nobody reads.
pub(crate) fn expect_ok(verdict: Verdict) -> anyhow::Result<()> {
    let verdict = std::hint::black_box(verdict);
    anyhow::ensure!(verdict.ok, "{}", verdict.summary);
    anyhow::ensure!(!verdict.metrics.is_empty(), "no metrics");
    Ok(())
}
