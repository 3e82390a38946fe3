//! Standard streams of guests. What is written is kept up to a limit and swallowed beyond it, never an error, so that a
//! panic always gets out.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::io::AsyncWrite;
use wasmtime_wasi::WasiCtxBuilder;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::pipe::MemoryInputPipe;
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

/// Bytes of standard error that are kept.
const STDERR: usize = 16 << 10;
/// Bytes that a guest may write at once.
const AT_ONCE: usize = 16 << 10;

/// What a command is given and where its output goes. Components of the contract have none of it.
pub(crate) struct CommandIo {
    /// From the program's name on.
    pub(crate) arguments: Vec<String>,
    pub(crate) stdin: Bytes,
    pub(crate) stdout: Capture,
}

impl CommandIo {
    pub(super) fn give(self, wasi: &mut WasiCtxBuilder) {
        wasi.args(&self.arguments)
            .stdin(MemoryInputPipe::new(self.stdin))
            .stdout(self.stdout);
    }
}

/// The beginning of what was written.
#[derive(Clone)]
pub(crate) struct Capture {
    kept: Arc<Mutex<Vec<u8>>>,
    limit: usize,
}

impl Default for Capture {
    /// For standard error.
    fn default() -> Self {
        Self::keeping(STDERR)
    }
}

impl Capture {
    /// Keeps so many bytes.
    pub(crate) fn keeping(limit: usize) -> Self {
        Self {
            kept: Arc::default(),
            limit,
        }
    }

    fn keep(&self, bytes: &[u8]) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let room = self.limit.saturating_sub(kept.len()).min(bytes.len());
        kept.extend_from_slice(&bytes[..room]);
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes()).into_owned()
    }
}

impl IsTerminal for Capture {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Capture {
    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }

    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }
}

impl OutputStream for Capture {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.keep(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(AT_ONCE)
    }
}

#[async_trait::async_trait]
impl Pollable for Capture {
    async fn ready(&mut self) {}
}

impl AsyncWrite for Capture {
    fn poll_write(self: Pin<&mut Self>, _cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.keep(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_swallowed_and_its_beginning_kept() {
        let mut capture = Capture::default();
        for _ in 0..100 {
            capture.write(Bytes::from_static(&[b'x'; 1024])).unwrap();
        }
        assert_eq!(capture.text().len(), STDERR);
    }
}
