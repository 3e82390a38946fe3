//! A TCP connection, or TLS over one.

use std::net::SocketAddr;
use std::time::Duration;

use crate::bindings::picket::checker::tls as contract;
use crate::bindings::wasi::io::streams::{InputStream, OutputStream, StreamError};
use crate::bindings::wasi::sockets::tcp::TcpSocket;
use crate::host::Stream;
use crate::host::wasi::wait::Deadline;
use crate::net::{Error, ErrorKind};
use crate::tls;

/// A TCP connection, or TLS over one.
///
/// The streams are the socket's children, and a child must go before its parent: fields drop in this order.
#[derive(Debug)]
pub struct WasiStream {
    input: InputStream,
    output: OutputStream,
    socket: TcpSocket,
    peer: SocketAddr,
}

impl WasiStream {
    pub(super) fn new(peer: SocketAddr, socket: TcpSocket, input: InputStream, output: OutputStream) -> Self {
        Self {
            input,
            output,
            socket,
            peer,
        }
    }

    fn timed_out(&self) -> Error {
        Error::new(ErrorKind::Timeout, format!("{}: timed out", self.peer))
    }

    fn broken(&self, error: &StreamError) -> Error {
        let message = match error {
            StreamError::Closed => format!("{}: the peer closed the connection", self.peer),
            StreamError::LastOperationFailed(error) => format!("{}: {}", self.peer, error.to_debug_string()),
        };
        Error::new(ErrorKind::Reset, message)
    }

    /// Waits until the stream takes bytes, and says how many.
    fn room(&self, deadline: Deadline) -> Result<usize, Error> {
        loop {
            let room = self.output.check_write().map_err(|error| self.broken(&error))?;
            if room > 0 {
                return Ok(usize::try_from(room).unwrap_or(usize::MAX));
            }
            if !deadline.wait(&self.output.subscribe()) {
                return Err(self.timed_out());
            }
        }
    }
}

impl Stream for WasiStream {
    fn read(&mut self, most: usize, timeout: Duration) -> Result<Vec<u8>, Error> {
        let deadline = Deadline::after(timeout);
        loop {
            match self.input.read(most as u64) {
                Ok(bytes) if !bytes.is_empty() => return Ok(bytes),
                Ok(_) => {
                    if !deadline.wait(&self.input.subscribe()) {
                        return Err(self.timed_out());
                    }
                }
                Err(StreamError::Closed) => return Ok(Vec::new()),
                Err(error) => return Err(self.broken(&error)),
            }
        }
    }

    fn write(&mut self, bytes: &[u8], timeout: Duration) -> Result<(), Error> {
        let deadline = Deadline::after(timeout);
        let mut rest = bytes;
        while !rest.is_empty() {
            let (now, later) = rest.split_at(self.room(deadline)?.min(rest.len()));
            self.output.write(now).map_err(|error| self.broken(&error))?;
            rest = later;
        }
        self.output.flush().map_err(|error| self.broken(&error))?;
        self.room(deadline)?;
        Ok(())
    }

    fn upgrade(self, options: &tls::Options) -> Result<(Self, tls::Session), tls::Error> {
        let Self {
            input,
            output,
            socket,
            peer,
        } = self;
        let contract::Connection {
            session,
            input,
            output,
        } = contract::upgrade(input, output, options)?;
        Ok((
            Self {
                input,
                output,
                socket,
                peer,
            },
            session,
        ))
    }
}
