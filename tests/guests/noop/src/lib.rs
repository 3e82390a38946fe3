//! An honest guest that does nothing: what a run itself costs.

#![cfg(target_family = "wasm")]

use guest_kit::{Error, Report, Request, ok};

fn run(_request: &Request) -> Result<Report, Error> {
    Ok(ok("nothing was done"))
}

guest_kit::guest!(run);
