//! Fills its state beyond every limit.

#![cfg(target_family = "wasm")]

use guest_kit::wit::state::set;
use guest_kit::{Error, Report, Request, metric, ok};

fn run(_request: &Request) -> Result<Report, Error> {
    let stored = (0..1_000)
        .filter(|n| set(&format!("key-{n}"), &[0; 8192]).is_ok())
        .count();
    let mut report = ok("stored what fits");
    report.metrics = vec![metric("stored", stored as f64)];
    Ok(report)
}

guest_kit::guest!(run);
