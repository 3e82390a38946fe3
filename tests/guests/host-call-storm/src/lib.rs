//! Calls the host as often as it can.

#![cfg(target_family = "wasm")]

use guest_kit::wit::state::get;
use guest_kit::{Error, Report, Request};

fn run(_request: &Request) -> Result<Report, Error> {
    loop {
        let _ = get("nothing");
    }
}

guest_kit::guest!(run);
