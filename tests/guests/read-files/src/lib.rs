//! Reads what was granted, and tries to write, rename, link and leave the folder.

#![cfg(target_family = "wasm")]

use std::fs;
use std::path::Path;

use guest_kit::{Error, Report, Request, failed, metric, ok};

/// The configuration is the granted folder, as a JSON string. It holds `inside`, and `escape`, a link that leaves it.
fn run(request: &Request) -> Result<Report, Error> {
    let folder = Path::new(request.config.trim_matches('"'));
    let inside = fs::read_to_string(folder.join("inside")).map_err(|error| failed(&error))?;
    let attempts = [
        fs::write(folder.join("inside"), b"changed").is_ok(),
        fs::write(folder.join("new"), b"new").is_ok(),
        fs::rename(folder.join("inside"), folder.join("moved")).is_ok(),
        fs::hard_link(folder.join("inside"), folder.join("link")).is_ok(),
        fs::remove_file(folder.join("inside")).is_ok(),
        fs::create_dir(folder.join("folder")).is_ok(),
        fs::File::options()
            .write(true)
            .truncate(true)
            .open(folder.join("inside"))
            .is_ok(),
        fs::read(folder.join("escape")).is_ok(),
        fs::read(folder.join("../outside")).is_ok(),
        fs::read("/etc/passwd").is_ok(),
    ];
    let mut report = ok(inside.trim());
    report.metrics = vec![metric(
        "succeeded",
        attempts.iter().filter(|done| **done).count() as f64,
    )];
    Ok(report)
}

guest_kit::guest!(run);
