//! Logs without end, then reports.

#![cfg(target_family = "wasm")]

use guest_kit::wit::log::{Level, log};
use guest_kit::{Error, Report, Request, ok};

fn run(_request: &Request) -> Result<Report, Error> {
    for _ in 0..20_000 {
        log(
            Level::Info,
            "a line of a flood, long enough to count for something",
            &[],
        );
    }
    Ok(ok("logged"))
}

guest_kit::guest!(run);
