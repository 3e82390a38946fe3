//! Guests that reach for the network.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use picket_sandbox::component::Checker;
use picket_sandbox::grant::GrantSet;
use picket_sandbox::net::resolve::{ResolveError, Resolver};
use picket_sandbox::run::run;

use crate::support::{engine_with, guest_path, number, run_guest, spec};

/// Everything in every spelling, under the widest wildcards there are; a listener sees whether anything got through.
#[tokio::test]
async fn denied_connect_reaches_nothing() {
    let v4 = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = v4.local_addr().unwrap().port();
    let v6 = TcpListener::bind(("::1", port)).ok();
    for listener in [Some(&v4), v6.as_ref()].into_iter().flatten() {
        listener.set_nonblocking(true).unwrap();
    }
    let grants = [
        "tcp:*:*",
        "http:*:*",
        "tcp:0.0.0.0/0:*",
        "tcp:[::/0]:*",
        "http:0.0.0.0/0:*",
        "http:[::/0]:*",
    ];
    let outcome = run_guest("denied-connect", spec(&port.to_string(), &grants)).await;
    assert_eq!(number(&outcome, "sockets"), 0.0);
    assert_eq!(number(&outcome, "requests"), 0.0);
    assert!(v4.accept().is_err(), "a connection got through");
    assert!(
        v6.is_none_or(|v6| v6.accept().is_err()),
        "a connection got through"
    );
    assert!(
        outcome
            .denials
            .iter()
            .any(|line| line.contains("http:127.0.0.1:")),
        "{:?}",
        outcome.denials
    );
    assert!(
        outcome.denials.iter().any(|line| line.contains("tcp:127.0.0.1:")),
        "{:?}",
        outcome.denials
    );
}

/// The counter-test: with the grant that names it, loopback is reached, so that the test above means something.
#[tokio::test]
async fn granted_connect_reaches_what_is_granted() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let grant = format!("tcp:localhost:{port}");
    let outcome = run_guest("denied-connect", spec(&port.to_string(), &[&grant])).await;
    assert!(number(&outcome, "sockets") >= 1.0, "{:?}", outcome.denials);
    assert_eq!(number(&outcome, "requests"), 0.0);
}

/// A run that learns reaches this machine, and what it used is told; addresses that hand out credentials it never reaches.
#[tokio::test]
async fn denied_connect_learns_what_it_needs_and_no_more() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut spec = spec(&port.to_string(), &[]);
    spec.grants = std::sync::Arc::new(GrantSet::default().learning());
    let outcome = run_guest("denied-connect", spec).await;
    assert!(number(&outcome, "sockets") >= 1.0, "{:?}", outcome.denials);
    let learned: Vec<_> = outcome.learned.iter().map(ToString::to_string).collect();
    assert!(learned.contains(&format!("tcp:127.0.0.1:{port}")), "{learned:?}");
    assert!(learned.contains(&format!("http:127.0.0.1:{port}")), "{learned:?}");
    for never in ["169.254.", "fe80:", "0.0.0.0"] {
        assert!(!learned.iter().any(|grant| grant.contains(never)), "{learned:?}");
        assert!(
            outcome.denials.iter().any(|line| line.contains(never)),
            "{:?}",
            outcome.denials
        );
    }
}

#[tokio::test]
async fn denied_udp_sends_nothing() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    let port = socket.local_addr().unwrap().port();
    let outcome = run_guest(
        "denied-udp",
        spec(&port.to_string(), &["udp:*:*", "tcp:127.0.0.1:*"]),
    )
    .await;
    assert_eq!(number(&outcome, "sent"), 0.0);
    assert!(socket.recv(&mut [0; 16]).is_err(), "a datagram got through");
    let granted = run_guest("denied-udp", spec(&port.to_string(), &["udp:127.0.0.1:*"])).await;
    assert!(number(&granted, "sent") >= 1.0, "{:?}", granted.denials);
}

#[tokio::test]
async fn listen_opens_nothing() {
    let outcome = run_guest("listen", spec("{}", &["tcp:*:*", "udp:*:*", "tcp:127.0.0.1:*"])).await;
    assert_eq!(number(&outcome, "opened"), 0.0);
}

#[tokio::test]
async fn socket_hoard_is_bounded() {
    let outcome = run_guest("socket-hoard", spec("{}", &["udp:*:*"])).await;
    // Either a call fails, which the guest sees, or the run is stopped: both within the handles of one run.
    if outcome.result.is_ok() {
        assert!(number(&outcome, "sockets") <= 256.0);
    }
}

/// Everywhere that a redirect could lead to and that isn't granted; `{port}` is one where somebody would answer.
const TARGETS: [&str; 8] = [
    "http://127.0.0.1:{port}/",
    "http://localhost:{port}/",
    "http://[::1]:{port}/",
    "http://0x7f000001:{port}/",
    "http://[::ffff:127.0.0.1]:{port}/",
    "http://169.254.169.254/latest/meta-data/",
    "http://[::ffff:169.254.169.254]/",
    "http://metadata.google.internal:{port}/",
];

/// Answers `/N` with a redirect to the Nth target; 404 after the last one.
fn redirect_from(listener: &TcpListener, port: u16) {
    while let Ok((mut stream, _)) = listener.accept() {
        let mut request = [0; 1024];
        let length = stream.read(&mut request).unwrap_or(0);
        let text = String::from_utf8_lossy(&request[..length]).into_owned();
        let number = text
            .strip_prefix("GET /")
            .and_then(|rest| rest.split(' ').next()?.parse::<usize>().ok());
        let target = number.and_then(|number| TARGETS.get(number));
        let answer = match target {
            Some(target) => {
                let location = target.replace("{port}", &port.to_string());
                format!("HTTP/1.1 302 Found\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n")
            }
            None => "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n".to_owned(),
        };
        let _ = stream.write_all(answer.as_bytes());
        if target.is_none() {
            return;
        }
    }
}

/// Each hop is a request of its own, and as such checked against the grants.
#[tokio::test]
async fn follow_redirects_reaches_only_what_is_granted() {
    let front = TcpListener::bind("127.0.0.1:0").unwrap();
    let inner = TcpListener::bind("127.0.0.1:0").unwrap();
    inner.set_nonblocking(true).unwrap();
    let (port, target) = (
        front.local_addr().unwrap().port(),
        inner.local_addr().unwrap().port(),
    );
    let server = std::thread::spawn(move || redirect_from(&front, target));
    let grants = [format!("http:127.0.0.1:{port}"), "http:*:*".to_owned()];
    let grants: Vec<&str> = grants.iter().map(String::as_str).collect();
    let outcome = run_guest("follow-redirects", spec(&port.to_string(), &grants)).await;
    assert_eq!(number(&outcome, "redirects"), TARGETS.len() as f64);
    assert_eq!(number(&outcome, "reached"), 0.0, "{:?}", outcome.denials);
    assert!(
        inner.accept().is_err(),
        "a redirect was followed into the machine"
    );
    for words in [&format!("http:127.0.0.1:{target}"), "http:169.254.169.254:80"] {
        assert!(
            outcome.denials.iter().any(|line| line.contains(words)),
            "{words} is not in {:?}",
            outcome.denials
        );
    }
    server.join().unwrap();
}

/// A name server that answers with an address outside first, and from then on with one inside.
#[derive(Default)]
struct Rebinding {
    asked: AtomicUsize,
}

#[async_trait::async_trait]
impl Resolver for Rebinding {
    async fn resolve(&self, name: &str) -> Result<Vec<IpAddr>, ResolveError> {
        assert_eq!(name, "rebinding.example", "only what is granted is asked for");
        let inside = [
            IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V4(Ipv4Addr::LOCALHOST.to_ipv6_mapped().to_ipv4_mapped().unwrap()),
            IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)),
            IpAddr::V6(Ipv4Addr::LOCALHOST.to_ipv6_mapped()),
            "64:ff9b::7f00:1".parse().unwrap(),
        ];
        Ok(match self.asked.fetch_add(1, Ordering::Relaxed) {
            // TEST-NET-1 (RFC 5737): nobody is there.
            0 => vec![IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1))],
            count => vec![inside[count % inside.len()]],
        })
    }
}

#[tokio::test]
async fn rebinding_reaches_nothing_inside() {
    let resolver = Arc::new(Rebinding::default());
    let engine = engine_with(Arc::clone(&resolver) as Arc<_>);
    let checker = Checker::load_file(&engine, &guest_path("rebinding"), None).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    let datagrams = UdpSocket::bind(("127.0.0.1", port)).unwrap();
    datagrams.set_nonblocking(true).unwrap();
    let grants = ["tcp", "udp", "http"].map(|kind| format!("{kind}:rebinding.example:{port}"));
    let grants: Vec<&str> = grants.iter().map(String::as_str).collect();
    let outcome = run(&checker, spec(&port.to_string(), &grants)).await;
    assert_eq!(number(&outcome, "resolved"), 6.0);
    assert!(resolver.asked.load(Ordering::Relaxed) >= 12);
    assert!(listener.accept().is_err(), "a connection got inside");
    assert!(datagrams.recv(&mut [0; 16]).is_err(), "a datagram got inside");
    for words in [format!("tcp:127.0.0.1:{port}"), format!("http:127.0.0.1:{port}")] {
        assert!(
            outcome.denials.iter().any(|line| line.contains(&words)),
            "{words} is not in {:?}",
            outcome.denials
        );
    }
}

/// Answers never, and counts who still waits.
#[derive(Default)]
struct Silent {
    waiting: Arc<AtomicUsize>,
    asked: AtomicUsize,
}

struct Waits(Arc<AtomicUsize>);

impl Drop for Waits {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[async_trait::async_trait]
impl Resolver for Silent {
    async fn resolve(&self, _name: &str) -> Result<Vec<IpAddr>, ResolveError> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let _waits = Waits(Arc::clone(&self.waiting));
        std::future::pending().await
    }
}

/// Sockets of this process that are connecting to a port of loopback: state 02, SYN_SENT, of proc(5).
fn connecting_to(port: u16) -> usize {
    let remote = format!("0100007F:{port:04X}");
    let table = std::fs::read_to_string("/proc/self/net/tcp").unwrap();
    let words = table
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>());
    words
        .filter(|words| words.get(2) == Some(&remote.as_str()) && words.get(3) == Some(&"02"))
        .count()
}

/// What a run has begun ends with it: connections that aren't made yet, look-ups, clocks.
#[tokio::test]
async fn lingering_leaves_nothing_behind() {
    let resolver = Arc::new(Silent::default());
    let engine = engine_with(Arc::clone(&resolver) as Arc<_>);
    let checker = Checker::load_file(&engine, &guest_path("lingering"), None).unwrap();
    // A listener whose queue is full: the kernel drops what knocks, so that connecting goes on until somebody ends it.
    let listener = rustix::net::socket(
        rustix::net::AddressFamily::INET,
        rustix::net::SocketType::STREAM,
        None,
    )
    .unwrap();
    rustix::net::bind(&listener, &std::net::SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    rustix::net::listen(&listener, 0).unwrap();
    let listener = TcpListener::from(listener);
    let address = listener.local_addr().unwrap();
    let mut filling = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(200)) {
        filling.push(stream);
    }
    let grants = [
        format!("tcp:127.0.0.1:{}", address.port()),
        "tcp:slow.example:1".to_owned(),
    ];
    let grants: Vec<&str> = grants.iter().map(String::as_str).collect();
    let outcome = run(&checker, spec(&address.port().to_string(), &grants)).await;
    assert_eq!(number(&outcome, "connecting"), 16.0);
    assert_eq!(number(&outcome, "looking-up"), 16.0);
    assert_eq!(resolver.asked.load(Ordering::Relaxed), 16, "they were under way");
    let deadline = Instant::now() + Duration::from_secs(10);
    let left = || {
        (
            connecting_to(address.port()),
            resolver.waiting.load(Ordering::Relaxed),
        )
    };
    while left() != (0, 0) {
        assert!(
            Instant::now() < deadline,
            "connecting and looking up: {:?}",
            left()
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // Now that there is room, nobody comes: only those who were here before.
    listener.set_nonblocking(true).unwrap();
    let mut accepted = 0;
    while listener.accept().is_ok() {
        accepted += 1;
    }
    assert!(accepted <= filling.len(), "{accepted} of {}", filling.len());
}
