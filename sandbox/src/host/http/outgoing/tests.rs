//! Requests of `wasi:http` against real servers on loopback, without a guest.

use http_body_util::Empty;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::super::tests::{certificate, serve};
use super::*;
use crate::engine::{EngineConfig, SandboxEngine};
use crate::grant::GrantSet;

fn outgoing(grants: &[&str], roots: Vec<Vec<u8>>) -> Outgoing {
    let config = EngineConfig {
        concurrent_runs: 1,
        extra_roots: roots,
        ..EngineConfig::default()
    };
    let engine = SandboxEngine::new(config).unwrap();
    let grants = Arc::new(GrantSet::parse(grants).unwrap());
    Outgoing {
        guard: Arc::new(Guard::new(grants, engine.services().resolver_for("test"))),
        services: Arc::clone(engine.services()),
        deadline: Instant::now() + Duration::from_secs(10),
    }
}

fn request(method: &str, url: &str) -> http::Request<WasiBody> {
    let body = Empty::<Bytes>::new()
        .map_err(|never| match never {})
        .boxed_unsync();
    http::Request::builder()
        .method(method)
        .uri(url)
        .body(body)
        .unwrap()
}

async fn get(outgoing: &Outgoing, url: &str, options: RequestOptions) -> Result<(u16, usize), Error> {
    let (answer, _finish) = outgoing.clone().send(request("GET", url), options).await?;
    let status = answer.status().as_u16();
    let body = answer.into_body().collect().await?.to_bytes();
    Ok((status, body.len()))
}

#[tokio::test]
async fn tls_is_verified_against_the_hosts_roots() {
    let certified = certificate();
    let server = serve(Some((&certified, &["h2", "http/1.1"]))).await;
    let url = format!("https://localhost:{}/path", server.port());
    let trusting = outgoing(&["http:localhost:*"], vec![certified.cert.der().to_vec()]);
    let (status, length) = get(&trusting, &url, RequestOptions::default()).await.unwrap();
    assert_eq!(status, 203);
    // On the wire: the handshake and the head are in it.
    let (_, received, sent) = trusting.guard.counted();
    assert!(received > 500 + length as u64 && sent > 200, "{received} {sent}");
    let doubting = outgoing(&["http:localhost:*"], Vec::new());
    let refused = get(&doubting, &url, RequestOptions::default()).await;
    assert!(matches!(refused, Err(Error::TlsCertificateError)), "{refused:?}");
}

#[tokio::test]
async fn a_tunnel_and_a_user_in_the_url_are_refused() {
    let outgoing = outgoing(&["http:localhost:*"], Vec::new());
    let tunnel = outgoing.clone().send(
        request("CONNECT", "http://localhost:1/"),
        RequestOptions::default(),
    );
    assert!(matches!(tunnel.await, Err(Error::HttpRequestMethodInvalid)));
    let user = get(
        &outgoing,
        "http://user:password@localhost:1/",
        RequestOptions::default(),
    )
    .await;
    assert!(matches!(user, Err(Error::HttpRequestUriInvalid)));
}

#[tokio::test]
async fn the_guests_own_timeouts_hold() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let outgoing = outgoing(&["http:127.0.0.1:*"], Vec::new());
    // Accepts nothing: the kernel does, so that the connection stands and nobody answers.
    let first = RequestOptions {
        first_byte_timeout: Some(Duration::from_millis(50)),
        ..RequestOptions::default()
    };
    assert!(matches!(
        get(&outgoing, &url, first).await,
        Err(Error::HttpResponseTimeout)
    ));
    drop(listener.accept().await.unwrap());
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.read_exact(&mut [0; 16]).await.unwrap();
        stream
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf")
            .await
            .unwrap();
        // Until the other side gives up.
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
    });
    let between = RequestOptions {
        between_bytes_timeout: Some(Duration::from_millis(50)),
        ..RequestOptions::default()
    };
    assert!(matches!(
        get(&outgoing, &url, between).await,
        Err(Error::ConnectionReadTimeout)
    ));
}
