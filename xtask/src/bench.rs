//! Measurements. What is measured is in `tests/src/bin/bench.rs`; this builds it optimised.

use std::process::Command;

use crate::{cargo, guests, setup};

/// What to measure.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The measurement's name; `skeleton` is the only one so far
    name: String,
    /// Print one line of JSON in place of the table
    #[arg(long)]
    json: bool,
}

/// Builds in release and measures.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    setup::packages(&[setup::TO_BUILD])?;
    let guests = guests::build()?;
    cargo::run(cargo::cargo().args([
        "build",
        "--quiet",
        "--locked",
        "--release",
        "--bins",
        "--package=picket-agent-host",
        "--package=picket-gateway",
        "--package=picket-platform",
        "--package=picket-tests",
    ]))?;
    let programs = cargo::target_dir()?.join("release");
    let mut bench = Command::new(programs.join("picket-bench"));
    bench
        .env("PICKET_BIN_DIR", &programs)
        .env("PICKET_CHECKERS_DIR", guests.checkers)
        .env("PICKET_GUESTS_DIR", guests.guests)
        .arg(&arguments.name);
    if arguments.json {
        bench.arg("--json");
    }
    cargo::run(&mut bench)
}
