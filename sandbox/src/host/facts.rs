//! `picket:checker/host-facts`: what the agent's own machine says of itself, from `/proc` and `/sys`; services
//! from systemd.
//!
//! Each part is a pure parser of the kernel's text, and a small function that reads the files. Reading happens where
//! blocking is allowed: a hanging network file system must not hold up the runtime.

pub(crate) mod cpu;
pub(crate) mod disk;
pub(crate) mod interface;
pub(crate) mod memory;
pub(crate) mod pressure;
pub(crate) mod process;
pub(crate) mod service;
pub(crate) mod uptime;

use std::path::Path;

use crate::grant::{Denied, FactKind};
use crate::net::guard::Guard;

#[derive(Debug, thiserror::Error)]
pub(crate) enum FactError {
    #[error("{0}")]
    Denied(#[from] Denied),
    #[error("this machine doesn't offer it: {0}")]
    Unsupported(String),
    #[error("{0}")]
    Other(String),
}

/// Checks the grant, then reads where blocking is allowed.
pub(crate) async fn read<T, F>(guard: &Guard, kind: FactKind, read: F) -> Result<T, FactError>
where
    T: Send + 'static,
    F: FnOnce() -> Result<T, FactError> + Send + 'static,
{
    guard.count_call();
    guard.note(guard.grants().allows_facts(kind))?;
    tokio::task::spawn_blocking(read)
        .await
        .map_err(|error| FactError::Other(error.to_string()))?
}

fn text(path: impl AsRef<Path>) -> Result<String, FactError> {
    let path = path.as_ref();
    std::fs::read_to_string(path)
        .map_err(|error| FactError::Unsupported(format!("{}: {error}", path.display())))
}

/// For what isn't there on every kernel.
fn optional(path: impl AsRef<Path>) -> Option<String> {
    std::fs::read_to_string(path).ok()
}

fn unreadable(what: &str) -> FactError {
    FactError::Other(format!("{what} isn't as this agent knows it"))
}

/// Ticks of the clock that `/proc` counts in (`USER_HZ`).
fn ticks_per_second() -> f64 {
    rustix::param::clock_ticks_per_second() as f64
}
