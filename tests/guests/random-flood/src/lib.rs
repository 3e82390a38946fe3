//! Asks for a gibibyte of random bytes at once, or for a little without end.

#![cfg(target_family = "wasm")]

use guest_kit::wasi::random::random::get_random_bytes;
use guest_kit::{Error, Report, Request, ok};

/// With the configuration 1 it asks for no more at once than it may, and never stops.
fn run(request: &Request) -> Result<Report, Error> {
    if guest_kit::number(&request.config) == Some(1) {
        loop {
            std::hint::black_box(get_random_bytes(64 << 10));
        }
    }
    let bytes = get_random_bytes(1 << 30);
    Ok(ok(&format!("got {} bytes", bytes.len())))
}

guest_kit::guest!(run);
