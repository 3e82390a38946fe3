//! The whole road on one machine. What it starts is in `tests/src/bin/demo/`; this builds it.

use std::os::unix::process::CommandExt as _;

use anyhow::Context as _;

use crate::programs::{Profile, Programs};

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
    let mut demo = Programs::build(Profile::Dev)?.command("picket-demo");
    demo.arg("--port").arg(arguments.port.to_string());
    if arguments.check {
        demo.arg("--check");
    }
    Err(demo.exec()).context("can't start the demo")
}
