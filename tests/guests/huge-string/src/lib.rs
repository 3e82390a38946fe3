//! Returns a summary that claims to be a gibibyte long.

#![cfg(target_family = "wasm")]

use guest_kit::{Error, Report, Request, ok};

/// The memory limit doesn't let a guest have so much, so that it claims bytes that it hasn't got: 48 MiB of real ones
/// where it may, which is far beyond what the host should copy.
fn run(_request: &Request) -> Result<Report, Error> {
    Ok(ok(&"x".repeat(20 << 20)))
}

guest_kit::guest!(run);
