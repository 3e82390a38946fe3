//! Recurses until the stack is gone.

#![cfg(target_family = "wasm")]

use guest_kit::{Error, Report, Request, ok};

fn dive(depth: u64) -> u64 {
    let here = std::hint::black_box([depth; 16]);
    if depth == u64::MAX {
        depth
    } else {
        dive(depth + 1) + here[3]
    }
}

fn run(_request: &Request) -> Result<Report, Error> {
    Ok(ok(&dive(0).to_string()))
}

guest_kit::guest!(run);
