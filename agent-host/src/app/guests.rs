//! The threads that checkers compute on.

use std::io;

use tokio::runtime::{Builder, Handle, Runtime};

/// A runtime of its own for guests: a checker that computes delays no gateway.
#[derive(Debug)]
pub(super) struct GuestRuntime(Option<Runtime>);

impl GuestRuntime {
    pub(super) fn start() -> io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .thread_name("guest")
            .enable_all()
            .build()?;
        Ok(Self(Some(runtime)))
    }

    pub(super) fn handle(&self) -> Handle {
        self.0
            .as_ref()
            .map_or_else(Handle::current, |runtime| runtime.handle().clone())
    }

    /// Ends what still runs; doesn't wait for it.
    pub(super) fn stop(mut self) {
        self.shut_down();
    }

    fn shut_down(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

impl Drop for GuestRuntime {
    fn drop(&mut self) {
        // A runtime that is dropped waits for its threads, which it may not do inside another one.
        self.shut_down();
    }
}
