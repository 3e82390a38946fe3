//! Blocks on a pollable that never becomes ready, or polls nothing at all.

#![cfg(target_family = "wasm")]

use guest_kit::wasi::clocks::monotonic_clock::subscribe_duration;
use guest_kit::wasi::io::poll::poll;
use guest_kit::{Error, Report, Request, metric, ok};

/// With the configuration 1 it polls an empty list, for which WASI demands a trap; otherwise it waits until the end of
/// time, together with a clock that is ready at once and a hundred others that never are.
fn run(request: &Request) -> Result<Report, Error> {
    if guest_kit::number(&request.config) == Some(1) {
        poll(&[]);
    }
    let many: Vec<_> = (0..100).map(|_| subscribe_duration(u64::MAX)).collect();
    let ready = subscribe_duration(0);
    let mut all: Vec<_> = many.iter().collect();
    all.push(&ready);
    let first = poll(&all);
    all.pop();
    poll(&all);
    // Nothing comes here.
    let mut report = ok("waited");
    report.metrics = vec![metric("ready", first.len() as f64)];
    Ok(report)
}

guest_kit::guest!(run);
