//! Returns as many metrics as the host call carries.

#![cfg(target_family = "wasm")]

use guest_kit::{Error, Report, Request, metric, ok};

/// How many is the configuration's: a million is stopped as a host call, some thousands only by the report's limits.
fn run(request: &Request) -> Result<Report, Error> {
    let count = guest_kit::number(&request.config).unwrap_or(1_000_000);
    let mut report = ok("many metrics");
    report.metrics = (0..count).map(|_| metric("m", 1.0)).collect();
    Ok(report)
}

guest_kit::guest!(run);
