//! Guests that reach for the network.

use std::net::{TcpListener, UdpSocket};
use std::time::Duration;

use picket_sandbox::grant::GrantSet;

use crate::support::{number, run_guest, spec};

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
