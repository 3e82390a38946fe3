//! Sleeps for ever in a host call, where no epoch reaches it.

#![cfg(target_family = "wasm")]

use std::time::Duration;

use guest_kit::{Error, Report, Request};

fn run(_request: &Request) -> Result<Report, Error> {
    loop {
        std::thread::sleep(Duration::from_secs(3600));
    }
}

guest_kit::guest!(run);
