//! Moves bytes over TCP and UDP, and says how many came.

#![cfg(target_family = "wasm")]

use std::io::{Read, Write};
use std::net::{TcpStream, UdpSocket};

use guest_kit::{Error, Report, Request, failed, metric, ok};

const SENT: usize = 1000;

/// The configuration is a TCP port and a UDP port on loopback: the one sends until it closes, the other answers once.
fn run(request: &Request) -> Result<Report, Error> {
    let mut ports = request.config.split_whitespace().filter_map(guest_kit::number);
    let mut port = || ports.next().ok_or_else(|| failed(&"expected two ports"));
    let tcp = format!("127.0.0.1:{}", port()?);
    let udp = format!("127.0.0.1:{}", port()?);
    let mut received = 0;

    let mut stream = TcpStream::connect(tcp).map_err(|error| failed(&error))?;
    stream.write_all(&[7; SENT]).map_err(|error| failed(&error))?;
    let mut buffer = [0; 16 << 10];
    loop {
        match stream.read(&mut buffer).map_err(|error| failed(&error))? {
            0 => break,
            length => received += length,
        }
    }

    let socket = UdpSocket::bind("0.0.0.0:0").map_err(|error| failed(&error))?;
    socket.send_to(&[7; SENT], udp).map_err(|error| failed(&error))?;
    let (length, _) = socket.recv_from(&mut buffer).map_err(|error| failed(&error))?;
    received += length;

    let mut report = ok("moved");
    report.metrics = vec![
        metric("received", received as f64),
        metric("sent", 2.0 * SENT as f64),
    ];
    Ok(report)
}

guest_kit::guest!(run);
