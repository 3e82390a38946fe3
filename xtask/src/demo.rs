//! The whole road on one machine. What it starts is in `tests/src/bin/demo.rs`; this builds it.

use std::os::unix::process::CommandExt as _;
use std::process::Command;

use anyhow::Context as _;

use crate::{cargo, guests, setup};

/// How to run the demo.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Run unattended: wait for every result, show that tenants are kept apart, print a table, and end
    #[arg(long)]
    check: bool,
    /// The port of the web pages; any free one where it is taken
    #[arg(long, default_value_t = 8443)]
    port: u16,
}

/// Builds what the demo needs and becomes it, so that Ctrl-C reaches it alone.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    setup::packages(&[setup::TO_BUILD])?;
    let guests = guests::build()?;
    cargo::run(cargo::cargo().args([
        "build",
        "--quiet",
        "--locked",
        "--bins",
        "--package=picket-agent-host",
        "--package=picket-gateway",
        "--package=picket-platform",
        "--package=picket-tests",
    ]))?;
    let programs = cargo::target_dir()?.join("debug");
    let mut demo = Command::new(programs.join("picket-demo"));
    demo.env("PICKET_BIN_DIR", &programs)
        .env("PICKET_CHECKERS_DIR", guests.checkers)
        .env("PICKET_GUESTS_DIR", guests.guests)
        .arg("--port")
        .arg(arguments.port.to_string());
    if arguments.check {
        demo.arg("--check");
    }
    Err(demo.exec()).context("can't start the demo")
}
