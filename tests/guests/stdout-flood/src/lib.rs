//! Writes to standard output and standard error without end, then reports.

#![cfg(target_family = "wasm")]

use std::io::Write;

use guest_kit::{Error, Report, Request, failed, ok};

fn run(_request: &Request) -> Result<Report, Error> {
    let line = [b'x'; 4096];
    for _ in 0..1_000 {
        std::io::stdout()
            .write_all(&line)
            .map_err(|error| failed(&error))?;
        std::io::stderr()
            .write_all(&line)
            .map_err(|error| failed(&error))?;
    }
    Ok(ok("written"))
}

guest_kit::guest!(run);
