//! Opening a TCP connection to one of several addresses.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use tokio::net::TcpStream;

/// Tries the addresses in order until one answers. Each gets an equal share of the time that is left, so that a silent
/// first one doesn't use it all up.
pub(crate) async fn connect(addresses: &[IpAddr], port: u16, deadline: Instant) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "there is no address to connect to");
    for (index, address) in addresses.iter().enumerate() {
        let left = deadline.saturating_duration_since(Instant::now());
        if left == Duration::ZERO {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let share = left / u32::try_from(addresses.len() - index).unwrap_or(1);
        let peer = SocketAddr::new(*address, port);
        match tokio::time::timeout(share, TcpStream::connect(peer)).await {
            Ok(Ok(stream)) => {
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Ok(Err(error)) => last = io::Error::new(error.kind(), format!("{peer}: {error}")),
            Err(_) => {
                last = io::Error::new(
                    io::ErrorKind::TimedOut,
                    format!("{peer}: no answer within {share:?}"),
                );
            }
        }
    }
    Err(last)
}
