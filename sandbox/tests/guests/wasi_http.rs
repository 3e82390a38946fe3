//! A guest that speaks `wasi:http`.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;
use std::time::Duration;

use picket_sandbox::run::FailureClass;

use crate::support::{failed, number, reported, run_guest, spec};

/// Answers every connection: with a whole answer, or with one that never ends.
fn serve(slow: bool) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut head = [0; 4096];
            let _ = stream.read(&mut head);
            let _ = stream.write_all(b"HTTP/1.1 202 Accepted\r\ncontent-length: 1000\r\n\r\n");
            if !slow {
                let _ = stream.write_all(&[b'x'; 1000]);
                continue;
            }
            while stream.write_all(b"x").is_ok() {
                thread::sleep(Duration::from_millis(50));
            }
        }
    });
    port
}

#[tokio::test]
async fn wasi_http_sends_what_is_granted() {
    let port = serve(false);
    for host in ["127.0.0.1", "localhost"] {
        let grant = format!("http:{host}:{port}");
        let outcome = run_guest(
            "wasi-http",
            spec(&format!("get http://{host}:{port}/path"), &[&grant]),
        )
        .await;
        assert_eq!(reported(&outcome).summary, "status 202", "{:?}", outcome.denials);
        assert_eq!(number(&outcome, "length"), 1000.0);
        assert!(
            outcome.usage.bytes_in > 1000 && outcome.usage.bytes_out > 0,
            "{:?}",
            outcome.usage
        );
        assert!(outcome.usage.host_calls >= 1);
    }
}

#[tokio::test]
async fn wasi_http_is_refused_with_the_line_to_add() {
    let port = serve(false);
    let url = format!("http://127.0.0.1:{port}/");
    let none = run_guest("wasi-http", spec(&format!("get {url}"), &["tcp:127.0.0.1:*"])).await;
    assert!(
        reported(&none).summary.contains("HttpRequestDenied"),
        "{:?}",
        reported(&none)
    );
    assert!(
        none.denials[0].contains(&format!("http:127.0.0.1:{port}")),
        "{:?}",
        none.denials
    );
    // A wildcard isn't loopback, under whatever name.
    for host in ["127.0.0.1", "localhost", "2130706433", "[::ffff:127.0.0.1]"] {
        let config = format!("get http://{host}:{port}/");
        let outcome = run_guest("wasi-http", spec(&config, &["http:*:*", "http:0.0.0.0/0:*"])).await;
        assert!(
            reported(&outcome).summary.contains("HttpRequestDenied"),
            "{host}: {:?}",
            reported(&outcome)
        );
        assert_eq!(outcome.usage.bytes_out, 0);
    }
}

#[tokio::test]
async fn wasi_http_fields_are_bounded() {
    let outcome = run_guest("wasi-http", spec("fields", &[])).await;
    let sentence = failed(&outcome, FailureClass::Crash);
    assert!(
        sentence.contains("total size of fields exceeds limit"),
        "{sentence}"
    );
}

#[tokio::test]
async fn wasi_http_body_that_never_ends_is_stopped_by_the_deadline() {
    let port = serve(true);
    let mut spec = spec(&format!("get http://127.0.0.1:{port}/"), &["http:127.0.0.1:*"]);
    spec.limits.wall = Duration::from_secs(1);
    failed(&run_guest("wasi-http", spec).await, FailureClass::Timeout);
}

/// wasmtime-wasi-http keeps the options of each request until the run ends: the run's table is what bounds them.
#[tokio::test]
async fn wasi_http_requests_of_one_run_are_bounded() {
    let port = serve(false);
    let config = format!("repeat 10000 http://127.0.0.1:{port}/");
    let outcome = run_guest("wasi-http", spec(&config, &["http:127.0.0.1:*"])).await;
    failed(&outcome, FailureClass::Crash);
    assert!(outcome.usage.host_calls <= 300, "{:?}", outcome.usage);
}
