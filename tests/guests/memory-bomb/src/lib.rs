//! Takes memory until there is none.

#![cfg(target_family = "wasm")]

use guest_kit::{Error, Report, Request};

fn run(_request: &Request) -> Result<Report, Error> {
    let mut hoard = Vec::new();
    loop {
        hoard.push(vec![1_u8; 1 << 20]);
        std::hint::black_box(&hoard);
    }
}

guest_kit::guest!(run);
