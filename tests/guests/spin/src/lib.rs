//! Computes for ever.

#![cfg(target_family = "wasm")]

use guest_kit::{Error, Report, Request};

fn run(_request: &Request) -> Result<Report, Error> {
    let mut number = 0_u64;
    loop {
        number = std::hint::black_box(number.wrapping_add(1));
    }
}

guest_kit::guest!(run);
