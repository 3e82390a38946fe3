//! Asks for secrets that it was not given.

#![cfg(target_family = "wasm")]

use guest_kit::wit::secret::{check, reveal};
use guest_kit::{Error, Report, Request, metric, ok};

/// `used` was granted for use only, the others not at all.
fn run(_request: &Request) -> Result<Report, Error> {
    let names = ["other", "../used", "used/../other", "", "used\0"];
    let stolen = names
        .iter()
        .filter(|name| check(name).is_ok() || reveal(name).is_ok())
        .count();
    let mut report = ok(&format!(
        "check of used: {:?}, reveal of used: {:?}",
        check("used"),
        reveal("used")
    ));
    report.metrics = vec![metric("stolen", stolen as f64)];
    Ok(report)
}

guest_kit::guest!(run);
