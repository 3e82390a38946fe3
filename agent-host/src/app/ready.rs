//! Telling others that the agent is ready: a file for scripts and tests, a datagram for systemd.

use std::io;
use std::path::Path;

use serde::Serialize;

use super::Addresses;
use crate::internal_events as events;
use crate::spool::disk::{Disk, RealDisk};

#[derive(Serialize)]
struct Ready<'a> {
    pid: u32,
    addresses: &'a Addresses,
}

/// Writes the ready file: whole, or not at all.
///
/// # Errors
/// It can't be written.
pub fn write_file(path: &Path, addresses: &Addresses) -> io::Result<()> {
    let text = serde_json::to_vec(&Ready {
        pid: std::process::id(),
        addresses,
    })
    .map_err(io::Error::other)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    match folder {
        Some(_) => RealDisk.replace(path, &text),
        None => RealDisk.replace(&Path::new(".").join(path), &text),
    }
}

/// Tells the service manager, where there is one.
pub fn notify() {
    if let Err(error) = sd_notify::notify(&[sd_notify::NotifyState::Ready]) {
        events::notify_failed(&error);
    }
}

/// Tells the service manager that the end has begun.
pub fn notify_stopping() {
    if let Err(error) = sd_notify::notify(&[sd_notify::NotifyState::Stopping]) {
        events::notify_failed(&error);
    }
}
