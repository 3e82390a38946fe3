//! Reports numbers that are none.

#![cfg(target_family = "wasm")]

use guest_kit::{Error, Report, Request, metric, ok};

fn run(_request: &Request) -> Result<Report, Error> {
    let mut report = ok("not numbers");
    report.metrics = vec![metric("nan", f64::NAN), metric("infinite", f64::INFINITY)];
    Ok(report)
}

guest_kit::guest!(run);
