//! Requests against real servers on loopback.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::Full;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::engine::{EngineConfig, SandboxEngine};
use crate::grant::GrantSet;
use crate::host::secret::{Secret, SecretError, SecretSource};

struct OneSecret;

#[async_trait::async_trait]
impl SecretSource for OneSecret {
    async fn get(&self, name: &str) -> Result<Option<Secret>, SecretError> {
        Ok((name == "token").then(|| Secret::new(b"s3cret\n".to_vec())))
    }
}

/// Answers with the method, path, host and authorization that it saw.
async fn answer(
    request: http::Request<hyper::body::Incoming>,
) -> Result<http::Response<Full<Bytes>>, Infallible> {
    let header = |name: &str| {
        let value = request.headers().get(name);
        value
            .and_then(|value| value.to_str().ok())
            .unwrap_or("-")
            .to_owned()
    };
    let host = request
        .uri()
        .authority()
        .map_or_else(|| header("host"), ToString::to_string);
    let text = format!(
        "{} {} {host} {}",
        request.method(),
        request.uri().path(),
        header("authorization")
    );
    Ok(http::Response::builder()
        .status(203)
        .header("X-Seen", "yes")
        .body(Full::new(text.into()))
        .unwrap())
}

/// A server that ends with the test's runtime; with a certificate and protocols where it speaks TLS.
pub(super) async fn serve(tls: Option<(&rcgen::CertifiedKey<rcgen::KeyPair>, &[&str])>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let acceptor = tls.map(|(certified, protocols)| {
        let key = PrivateKeyDer::try_from(certified.signing_key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![CertificateDer::from(certified.cert.der().to_vec())], key)
            .unwrap();
        config.alpn_protocols = protocols
            .iter()
            .map(|protocol| protocol.as_bytes().to_vec())
            .collect();
        TlsAcceptor::from(Arc::new(config))
    });
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Some(acceptor) = acceptor else {
                    let http = hyper::server::conn::http1::Builder::new();
                    let _ = http
                        .serve_connection(TokioIo::new(stream), service_fn(answer))
                        .await;
                    return;
                };
                let Ok(stream) = acceptor.accept(stream).await else {
                    return;
                };
                if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
                    let http = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                    let _ = http
                        .serve_connection(TokioIo::new(stream), service_fn(answer))
                        .await;
                } else {
                    let http = hyper::server::conn::http1::Builder::new();
                    let _ = http
                        .serve_connection(TokioIo::new(stream), service_fn(answer))
                        .await;
                }
            });
        }
    });
    address
}

pub(super) fn certificate() -> rcgen::CertifiedKey<rcgen::KeyPair> {
    rcgen::generate_simple_self_signed(vec!["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap()
}

fn get(url: String) -> Request {
    Request {
        method: "GET".to_owned(),
        url,
        headers: Vec::new(),
        basic_auth: None,
        body: None,
        family: None,
        trust: Trust::Platform,
        require_trusted: true,
        server_name: None,
        identity: None,
        timeout: Duration::from_secs(5),
        max_body: 1024,
    }
}

async fn fetch(request: Request, grants: &[&str]) -> Result<Response, FetchError> {
    let config = EngineConfig {
        concurrent_runs: 1,
        ..EngineConfig::default()
    };
    let engine = SandboxEngine::new(config).unwrap();
    let grants = Arc::new(GrantSet::parse(grants).unwrap());
    let guard = Arc::new(Guard::new(grants, engine.services().resolver_for("test")));
    let secrets = SecretView::new(Arc::clone(&guard), Arc::new(OneSecret));
    let deadline = Instant::now() + Duration::from_secs(10);
    let client = Client {
        guard: &guard,
        services: engine.services(),
        secrets: &secrets,
        deadline,
    };
    client.fetch(request).await
}

fn text(response: &Response) -> &str {
    std::str::from_utf8(&response.body).unwrap()
}

const LOCAL: &[&str] = &["http:localhost:*", "secret:token"];

#[tokio::test]
async fn a_plain_request_shows_its_phases() {
    let server = serve(None).await;
    let response = fetch(get(format!("http://localhost:{}/path?q#f", server.port())), LOCAL)
        .await
        .unwrap();
    assert_eq!((response.status, response.version), (203, "HTTP/1.1"));
    assert_eq!(
        text(&response),
        format!("GET /path localhost:{} -", server.port())
    );
    assert!(response.headers.contains(&("x-seen".to_owned(), b"yes".to_vec())));
    assert!(response.phases.name_resolution.is_some() && response.phases.tls.is_none());
    assert!(response.phases.total >= response.phases.first_byte);
    assert_eq!(response.peer, server.to_string());
}

#[tokio::test]
async fn http2_is_spoken_where_the_server_offers_it() {
    let certified = certificate();
    let server = serve(Some((&certified, &["h2", "http/1.1"]))).await;
    let mut request = get(format!("https://localhost:{}/", server.port()));
    request.trust = Trust::Roots(vec![certified.cert.pem().into_bytes()]);
    let response = fetch(request, LOCAL).await.unwrap();
    assert_eq!(response.version, "HTTP/2");
    assert_eq!(text(&response), format!("GET / localhost:{} -", server.port()));
    let tls = response.tls.unwrap();
    assert_eq!((tls.version.as_str(), tls.trusted), ("TLSv1.3", Ok(())));
    assert!(tls.cipher_suite.starts_with("TLS_"), "{}", tls.cipher_suite);
    assert_eq!(tls.peer_certificates[0].names, ["dns:localhost", "ip:127.0.0.1"]);
}

#[tokio::test]
async fn an_untrusted_peer_is_an_error_that_shows_its_certificate() {
    let certified = certificate();
    let server = serve(Some((&certified, &["http/1.1"]))).await;
    let error = fetch(get(format!("https://localhost:{}/", server.port())), LOCAL)
        .await
        .unwrap_err();
    assert!(
        matches!(error.problem, Problem::Tls(TlsError::Untrusted { .. })),
        "{}",
        error.problem
    );
    assert_eq!(error.tls.unwrap().peer_certificates.len(), 1);
}

#[tokio::test]
async fn an_untrusted_peer_may_be_looked_at_and_the_verdict_is_told() {
    let certified = certificate();
    let server = serve(Some((&certified, &["http/1.1"]))).await;
    let mut request = get(format!("https://127.0.0.1:{}/", server.port()));
    request.require_trusted = false;
    let response = fetch(request, LOCAL).await.unwrap();
    assert_eq!(response.version, "HTTP/1.1");
    assert!(response.tls.unwrap().trusted.is_err());
}

#[tokio::test]
async fn a_certificate_for_another_name_is_untrusted() {
    let certified = certificate();
    let server = serve(Some((&certified, &[]))).await;
    let mut request = get(format!("https://localhost:{}/", server.port()));
    request.trust = Trust::Roots(vec![certified.cert.der().to_vec()]);
    request.server_name = Some("other.example".to_owned());
    let error = fetch(request, LOCAL).await.unwrap_err().problem.to_string();
    assert!(
        error.contains("other.example") || error.contains("name"),
        "{error}"
    );
}

#[tokio::test]
async fn secrets_are_put_in_their_place_by_the_host() {
    let server = serve(None).await;
    let url = format!("http://localhost:{}/", server.port());
    let mut bearer = get(url.clone());
    let value = HeaderValue::Secret {
        prefix: "Bearer ".to_owned(),
        secret: "token".to_owned(),
    };
    bearer.headers = vec![("Authorization".to_owned(), value)];
    assert!(text(&fetch(bearer, LOCAL).await.unwrap()).ends_with("Bearer s3cret"));
    let mut basic = get(url.clone());
    basic.basic_auth = Some(("user".to_owned(), "token".to_owned()));
    assert!(text(&fetch(basic, LOCAL).await.unwrap()).ends_with("Basic dXNlcjpzM2NyZXQ="));
    let mut denied = get(url);
    denied.basic_auth = Some(("user".to_owned(), "other".to_owned()));
    let error = fetch(denied, LOCAL).await.unwrap_err();
    assert!(
        error.problem.to_string().contains("secret:other"),
        "{}",
        error.problem
    );
}

#[tokio::test]
async fn a_body_is_read_up_to_its_limit() {
    let server = serve(None).await;
    let mut request = get(format!("http://localhost:{}/", server.port()));
    request.max_body = 3;
    let response = fetch(request, LOCAL).await.unwrap();
    assert_eq!((text(&response), response.truncated), ("GET", true));
}

#[tokio::test]
async fn what_is_not_granted_is_refused_with_the_line() {
    let error = fetch(get("http://localhost:81/".to_owned()), &["http:localhost:80"])
        .await
        .unwrap_err();
    assert!(
        error
            .problem
            .to_string()
            .contains(r#"allow = ["http:localhost:81"]"#),
        "{}",
        error.problem
    );
}

#[tokio::test]
async fn a_server_that_says_nothing_times_out_with_what_is_known() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut request = get(format!("http://{}/", listener.local_addr().unwrap()));
    request.timeout = Duration::from_millis(100);
    let error = fetch(request, LOCAL).await.unwrap_err();
    assert!(matches!(error.problem, Problem::Timeout(_)), "{}", error.problem);
    assert_eq!(error.peer, Some(listener.local_addr().unwrap().to_string()));
}

#[tokio::test]
async fn headers_that_could_smuggle_are_refused() {
    for name in ["Transfer-Encoding", "content-length", "Connection", "bad name"] {
        let mut request = get("http://localhost:80/".to_owned());
        request.headers = vec![(name.to_owned(), HeaderValue::Text("x".to_owned()))];
        assert!(
            matches!(
                fetch(request, LOCAL).await.unwrap_err().problem,
                Problem::Invalid(_)
            ),
            "{name}"
        );
    }
}

#[tokio::test]
async fn a_peer_that_speaks_something_else_is_a_protocol_error() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = tokio::io::AsyncWriteExt::write_all(&mut stream, b"SSH-2.0-OpenSSH_9\r\n").await;
        }
    });
    assert!(matches!(
        fetch(get(url), LOCAL).await.unwrap_err().problem,
        Problem::Protocol(_)
    ));
}
