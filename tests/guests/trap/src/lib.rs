//! Executes an unreachable instruction.

#![cfg(target_family = "wasm")]

use guest_kit::{Error, Report, Request};

fn run(_request: &Request) -> Result<Report, Error> {
    core::arch::wasm32::unreachable()
}

guest_kit::guest!(run);
