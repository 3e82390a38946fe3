//! Ends its process instead of returning.

#![cfg(target_family = "wasm")]

use guest_kit::{Error, Report, Request};

fn run(_request: &Request) -> Result<Report, Error> {
    std::process::exit(0)
}

guest_kit::guest!(run);
