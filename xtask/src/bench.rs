//! Measurements. What is measured is in `tests/src/bin/bench/`; this builds it optimised.

use crate::cargo;
use crate::programs::{Profile, Programs};
use crate::setup;

/// What to measure.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The measurement's name: `skeleton`, `sandbox` or `identity`
    name: String,
    /// Print one line of JSON in place of the table
    #[arg(long)]
    json: bool,
}

/// Builds in release and measures.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    setup::packages(&[setup::TO_BENCH])?;
    let mut bench = Programs::build(Profile::Release)?.command("picket-bench");
    bench.arg(&arguments.name);
    if arguments.json {
        bench.arg("--json");
    }
    cargo::run(&mut bench)
}
