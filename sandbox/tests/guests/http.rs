//! Servers that want to be waited for, and a guest that lets them.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use picket_sandbox::run::{FailureClass, RunOutcome};

use crate::support::{failed, number, reported, run_guest, spec};

const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\nserver: hostile\r\n";

/// Counts what it could send: what nobody reads, the kernel takes some of, and no more.
struct Server {
    port: u16,
    sent: Arc<AtomicU64>,
}

impl Server {
    /// Answers every connection with `first`, then with `then` over and over, resting between, until it is hung up on.
    fn start(first: Vec<u8>, then: Vec<u8>, rest: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let sent = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&sent);
        // Ends with the test's process: a test that fails must not wait for it.
        std::thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                let (first, then, counter) = (first.clone(), then.clone(), Arc::clone(&counter));
                std::thread::spawn(move || answer(stream, &first, &then, rest, &counter));
            }
        });
        Self { port, sent }
    }

    async fn meet(&self, what: u8) -> RunOutcome {
        let grant = format!("http:127.0.0.1:{}", self.port);
        run_guest("http-hoard", spec(&format!("{} {what}", self.port), &[&grant])).await
    }
}

fn answer(mut stream: TcpStream, first: &[u8], then: &[u8], rest: Duration, sent: &AtomicU64) {
    let mut request = [0; 4096];
    let _ = stream.read(&mut request);
    let mut send = |bytes: &[u8]| {
        sent.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        stream.write_all(bytes).is_ok()
    };
    if !send(first) {
        return;
    }
    while !then.is_empty() && send(then) {
        std::thread::sleep(rest);
    }
}

fn resident_mib() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = statm.split(' ').nth(1).unwrap().parse().unwrap();
    (pages * 4096) >> 20
}

/// What the kernel's buffers hold of a stream that nobody reads any more, for three requests.
const UNREAD: u64 = 3 * (16 << 20);

#[tokio::test]
async fn http_hoard_of_its_own_headers_is_refused() {
    let server = Server::start(
        [HEAD, b"content-length: 0\r\n\r\n"].concat(),
        Vec::new(),
        Duration::ZERO,
    );
    let honest = server.meet(0).await;
    assert_eq!(reported(&honest).summary, "200 with truncated=false");
    let many = server.meet(1).await;
    // Ten thousand headers are too many, if they are carried over to the host at all.
    match &many.result {
        Ok(report) => assert!(report.summary.contains("at most 100"), "{}", report.summary),
        Err(failure) => assert_eq!(failure.class, FailureClass::BadOutput, "{failure}"),
    }
    // One huge header and ninety large ones are a guest's and a server's own business, within what one call carries.
    for what in [2, 3] {
        assert!(server.meet(what).await.result.is_ok());
    }
}

#[tokio::test]
async fn http_hoard_of_thousands_of_answered_headers_is_refused() {
    let mut many = HEAD.to_vec();
    for number in 0..5_000 {
        many.extend_from_slice(format!("x-{number}: y\r\n").as_bytes());
    }
    many.extend_from_slice(b"content-length: 0\r\n\r\n");
    let outcome = Server::start(many, Vec::new(), Duration::ZERO).meet(0).await;
    let summary = &reported(&outcome).summary;
    assert!(summary.starts_with("protocol:"), "{summary}");
}

/// A header that never ends is read as far as a head may go.
#[tokio::test]
async fn http_hoard_of_an_endless_header_is_cut_off() {
    let server = Server::start([HEAD, b"x: "].concat(), vec![b'y'; 16 << 10], Duration::ZERO);
    // What the engine and the compiler take is no part of what the header costs.
    crate::support::guest("http-hoard");
    let before = resident_mib();
    let outcome = server.meet(0).await;
    let summary = &reported(&outcome).summary;
    assert!(summary.starts_with("protocol:"), "{summary}");
    assert!(server.sent.load(Ordering::Relaxed) < UNREAD);
    assert!(
        resident_mib() < before + 32,
        "{} MiB, {before} before",
        resident_mib()
    );
}

#[tokio::test]
async fn http_hoard_of_an_endless_body_is_cut_off() {
    let server = Server::start([HEAD, b"\r\n"].concat(), vec![b'y'; 16 << 10], Duration::ZERO);
    let outcome = server.meet(0).await;
    // 4 MiB fit the contract, and more than one call carries: the guest is stopped, or gets a cut body.
    match &outcome.result {
        Ok(report) => {
            assert_eq!(report.summary, "200 with truncated=true");
            assert!(number(&outcome, "body") <= f64::from(4 << 20));
        }
        Err(_) => {
            failed(&outcome, FailureClass::Memory);
        }
    }
    assert!(server.sent.load(Ordering::Relaxed) < UNREAD);
}

/// A byte now and then keeps no request alive beyond its own time: neither in the head nor in the body.
#[tokio::test]
async fn http_hoard_of_a_slow_drip_ends_at_its_timeout() {
    for first in [[HEAD, b"x: "].concat(), [HEAD, b"\r\n"].concat()] {
        let began = Instant::now();
        let outcome = Server::start(first, b"y".to_vec(), Duration::from_millis(20))
            .meet(0)
            .await;
        let summary = &reported(&outcome).summary;
        assert!(summary.starts_with("timeout:"), "{summary}");
        assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
        assert!(outcome.usage.cpu < Duration::from_secs(1), "{:?}", outcome.usage);
    }
}
