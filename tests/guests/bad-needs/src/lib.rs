//! Says nonsense of what it needs and is.

#![cfg(target_family = "wasm")]

use guest_kit::{Error, Report, Request, ok};

fn run(_request: &Request) -> Result<Report, Error> {
    let mut report = ok("fine");
    report.labels = vec![("a".to_owned(), "b".repeat(5_000))];
    Ok(report)
}

guest_kit::guest!(run, needs: ["everything please"]);
