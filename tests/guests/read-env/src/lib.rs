//! Looks for environment, arguments, standard input and files.

#![cfg(target_family = "wasm")]

use std::io::Read;

use guest_kit::{Error, Report, Request, metric, ok};

const FILES: [&str; 5] = ["/etc/passwd", "/proc/self/environ", "/", ".", "../etc/passwd"];

fn run(_request: &Request) -> Result<Report, Error> {
    let variables = std::env::vars().count();
    let arguments = std::env::args().count();
    let mut input = Vec::new();
    let typed = std::io::stdin().take(16).read_to_end(&mut input).unwrap_or(0);
    let files = FILES
        .iter()
        .filter(|path| std::fs::read(path).is_ok() || std::fs::read_dir(path).is_ok())
        .count();
    let written = ["/tmp/guest", "guest"]
        .iter()
        .filter(|path| std::fs::write(path, b"x").is_ok())
        .count();
    let found = variables + arguments + typed + files + written;
    let mut report = ok("looked everywhere");
    report.metrics = vec![metric("found", found as f64)];
    Ok(report)
}

guest_kit::guest!(run);
