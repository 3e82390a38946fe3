//! A pair of WASI streams as one byte stream of tokio's.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, StreamError};

type Waiting<S> = Pin<Box<dyn Future<Output = S> + Send>>;

/// A stream that is at hand, or that a wait for readiness has borrowed.
enum Slot<S> {
    Idle(S),
    Waiting(Waiting<S>),
    Gone,
}

/// Both directions. WASI's streams say only whether they are ready; a wait takes the stream and gives it back.
pub(crate) struct GuestStream {
    input: Slot<DynInputStream>,
    output: Slot<DynOutputStream>,
}

impl GuestStream {
    pub(crate) fn new(input: DynInputStream, output: DynOutputStream) -> Self {
        Self {
            input: Slot::Idle(input),
            output: Slot::Idle(output),
        }
    }
}

fn io_error(error: StreamError) -> io::Error {
    match error {
        StreamError::Closed => io::ErrorKind::BrokenPipe.into(),
        StreamError::LastOperationFailed(error) | StreamError::Trap(error) => {
            io::Error::other(format!("{error:#}"))
        }
    }
}

impl<S> Slot<S> {
    /// The stream, once the wait is over.
    fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<&mut S>> {
        if let Self::Waiting(waiting) = self {
            let stream = ready!(waiting.as_mut().poll(cx));
            *self = Self::Idle(stream);
        }
        match self {
            Self::Idle(stream) => Poll::Ready(Ok(stream)),
            _ => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        }
    }

    fn wait(&mut self, ready: impl FnOnce(S) -> Waiting<S>) {
        if let Self::Idle(stream) = std::mem::replace(self, Self::Gone) {
            *self = Self::Waiting(ready(stream));
        }
    }
}

impl AsyncRead for GuestStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            let stream = ready!(self.input.poll_idle(cx))?;
            match stream.read(buffer.remaining()) {
                Ok(bytes) if bytes.is_empty() => {}
                Ok(bytes) => {
                    buffer.put_slice(&bytes);
                    return Poll::Ready(Ok(()));
                }
                Err(StreamError::Closed) => return Poll::Ready(Ok(())),
                Err(error) => return Poll::Ready(Err(io_error(error))),
            }
            self.input.wait(|mut stream| {
                Box::pin(async move {
                    stream.ready().await;
                    stream
                })
            });
        }
    }
}

impl GuestStream {
    fn wait_for_output(&mut self) {
        self.output.wait(|mut stream| {
            Box::pin(async move {
                stream.ready().await;
                stream
            })
        });
    }
}

impl AsyncWrite for GuestStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            let stream = ready!(self.output.poll_idle(cx))?;
            let room = stream.check_write().map_err(io_error)?.min(bytes.len());
            if room > 0 || bytes.is_empty() {
                stream
                    .write(Bytes::copy_from_slice(&bytes[..room]))
                    .map_err(io_error)?;
                return Poll::Ready(Ok(room));
            }
            self.wait_for_output();
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let stream = ready!(self.output.poll_idle(cx))?;
        // What was written goes out by itself; a next write waits for it.
        Poll::Ready(stream.flush().map_err(io_error))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.as_mut().poll_flush(cx))?;
        self.output = Slot::Gone;
        Poll::Ready(Ok(()))
    }
}
