//! A connector that has one connection to give.

use std::future::{Ready, ready};
use std::io;
use std::task::{Context, Poll};

use hyper_util::rt::TokioIo;
use tower_service::Service;

use super::Guarded;

/// tonic asks its connector again when a connection is lost; the second time there is none.
pub(super) struct Once(Option<TokioIo<Guarded>>);

impl Once {
    pub(super) fn new(stream: TokioIo<Guarded>) -> Self {
        Self(Some(stream))
    }
}

impl Service<http::Uri> for Once {
    type Response = TokioIo<Guarded>;
    type Error = io::Error;
    type Future = Ready<io::Result<TokioIo<Guarded>>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _target: http::Uri) -> Self::Future {
        ready(self.0.take().ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::NotConnected,
                "the verified connection is lost; dial again",
            )
        }))
    }
}
