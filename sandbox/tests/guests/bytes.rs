//! What a guest moves over its own sockets is counted, and bounded.

use std::io::{Read, Write};
use std::net::{TcpListener, UdpSocket};
use std::thread;

use picket_sandbox::run::FailureClass;

use crate::support::{failed, number, run_guest, spec};

const GRANTS: &[&str] = &["tcp:127.0.0.1:*", "udp:127.0.0.1:*"];

/// Takes 1,000 bytes, and sends `answers` of 3,000 bytes each until the peer has enough.
fn tcp(answers: usize) -> (u16, thread::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let serving = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.read_exact(&mut [0; 1000]).unwrap();
        for _ in 0..answers {
            if stream.write_all(&[9; 3000]).is_err() {
                break;
            }
        }
    });
    (port, serving)
}

#[tokio::test]
async fn move_bytes_is_counted_byte_for_byte() {
    let (port, serving) = tcp(1);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let udp_port = socket.local_addr().unwrap().port();
    let answering = thread::spawn(move || {
        let mut buffer = [0; 2000];
        let (length, peer) = socket.recv_from(&mut buffer).unwrap();
        assert_eq!(length, 1000);
        socket.send_to(&[9; 500], peer).unwrap();
    });
    let outcome = run_guest("move-bytes", spec(&format!("{port} {udp_port}"), GRANTS)).await;
    assert_eq!(number(&outcome, "received"), 3500.0);
    assert_eq!(outcome.usage.bytes_in, 3500);
    assert_eq!(outcome.usage.bytes_out, 2000);
    serving.join().unwrap();
    answering.join().unwrap();
}

#[tokio::test]
async fn move_bytes_is_stopped_at_its_limit() {
    let (port, serving) = tcp(usize::MAX);
    let mut spec = spec(&format!("{port} 9"), GRANTS);
    spec.limits.bytes = 1 << 20;
    let outcome = run_guest("move-bytes", spec).await;
    let sentence = failed(&outcome, FailureClass::BadOutput);
    assert!(
        sentence.contains("more than 1 MiB over the network"),
        "{sentence}"
    );
    // What was under way when the limit was passed is one read more at most.
    assert!(
        outcome.usage.bytes_in <= (1 << 20) + (64 << 10),
        "{:?}",
        outcome.usage
    );
    serving.join().unwrap();
}
