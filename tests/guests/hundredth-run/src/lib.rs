//! Behaves for ninety-nine runs, and computes for ever on the hundredth.

#![cfg(target_family = "wasm")]

use guest_kit::wit::state::{get, set};
use guest_kit::{Error, Report, Request, failed, metric, ok};

/// Whoever tries a checker out a few times sees an honest one.
fn run(_request: &Request) -> Result<Report, Error> {
    let before = get("runs").ok().flatten();
    let runs = before.and_then(|bytes| bytes.first().copied()).unwrap_or(0) + 1;
    set("runs", &[runs]).map_err(|error| failed(&error))?;
    let mut number = 0_u64;
    while runs == 100 {
        number = std::hint::black_box(number.wrapping_add(1));
    }
    let mut report = ok("an honest run");
    report.metrics = vec![metric("runs", runs.into())];
    Ok(report)
}

guest_kit::guest!(run);
