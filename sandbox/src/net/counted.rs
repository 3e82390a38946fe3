//! Streams whose bytes are counted for the run that moves them, on the wire: what TLS and HTTP add is in it.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::guard::Guard;

/// A connection that counts, and that fails once the run has moved more than it may.
pub(crate) struct Counted<S> {
    stream: S,
    guard: Arc<Guard>,
}

impl<S> Counted<S> {
    pub(crate) fn new(stream: S, guard: Arc<Guard>) -> Self {
        Self { stream, guard }
    }

    fn sent(&self, sent: io::Result<usize>) -> io::Result<usize> {
        let sent = sent?;
        self.guard.count_bytes(0, sent).map_err(io::Error::other)?;
        Ok(sent)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Counted<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        let received = buffer.filled().len() - before;
        Poll::Ready(self.guard.count_bytes(received, 0).map_err(io::Error::other))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Counted<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let sent = ready!(Pin::new(&mut self.stream).poll_write(cx, bytes));
        Poll::Ready(self.sent(sent))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let sent = ready!(Pin::new(&mut self.stream).poll_write_vectored(cx, slices));
        Poll::Ready(self.sent(sent))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::grant::GrantSet;
    use crate::net::resolve::SystemResolver;

    #[tokio::test]
    async fn both_directions_are_counted_until_the_limit() {
        let guard = Guard::new(Arc::new(GrantSet::default()), Arc::new(SystemResolver::default()));
        let guard = Arc::new(guard.moving_at_most(1 << 20));
        let (ours, mut theirs) = tokio::io::duplex(2 << 20);
        let mut ours = Counted::new(ours, Arc::clone(&guard));
        ours.write_all(b"hello").await.unwrap();
        theirs.write_all(b"goodbye").await.unwrap();
        ours.read_exact(&mut [0; 7]).await.unwrap();
        assert_eq!(guard.counted(), (0, 7, 5));
        let error = ours.write_all(&[0; 1 << 20]).await.unwrap_err().to_string();
        assert!(error.contains("more than 1 MiB"), "{error}");
    }
}
