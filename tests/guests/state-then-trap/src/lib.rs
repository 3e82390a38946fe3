//! Changes its state and crashes, or reports if the configuration says so.

#![cfg(target_family = "wasm")]

use guest_kit::wit::state::{get, set};
use guest_kit::{Error, Report, Request, metric, ok};

/// With the configuration 1 it reports, with anything else it crashes, each time after counting up.
fn run(request: &Request) -> Result<Report, Error> {
    let runs = get("runs")
        .ok()
        .flatten()
        .and_then(|bytes| bytes.first().copied())
        .unwrap_or(0)
        + 1;
    let _ = set("runs", &[runs]);
    if guest_kit::number(&request.config) != Some(1) {
        core::arch::wasm32::unreachable()
    }
    let mut report = ok("counted");
    report.metrics = vec![metric("runs", runs.into())];
    Ok(report)
}

guest_kit::guest!(run);
