//! Panics with a message.

#![cfg(target_family = "wasm")]

use guest_kit::{Error, Report, Request};

#[expect(clippy::panic, reason = "this guest is about panics")]
fn run(_request: &Request) -> Result<Report, Error> {
    panic!("the guest panicked on purpose")
}

guest_kit::guest!(run);
