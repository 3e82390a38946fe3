//! Every check and every test, in one run.

use crate::{cargo, commands, guests, lint, setup};

/// How to run the tests.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Leave out format, lints and dependencies
    #[arg(long)]
    no_lint: bool,
    /// Run only tests whose name contains this
    filter: Option<String>,
}

/// Runs the linters first, for they are quick to fail, then all tests; the test runner's summary comes last.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    setup::packages(&[setup::TO_BUILD, setup::TO_TEST])?;
    setup::wasm_target()?;
    if !arguments.no_lint {
        lint::run()?;
    }
    let guests = guests::build()?;
    let commands = commands::build()?;
    let target = cargo::target_dir()?;

    // The tests start the programs themselves: they must be there, and as new as the tests.
    cargo::run(cargo::cargo().args(["test", "--quiet", "--locked", "--workspace", "--no-run"]))?;
    let mut tests = cargo::cargo();
    if has_nextest() {
        tests.args(["nextest", "run", "--locked", "--workspace", "--no-fail-fast"]);
    } else {
        tests.args(["test", "--locked", "--workspace", "--no-fail-fast"]);
    }
    tests.args(&arguments.filter);
    tests
        .env("PICKET_BIN_DIR", target.join("debug"))
        .env("PICKET_CHECKERS_DIR", guests.checkers)
        .env("PICKET_GUESTS_DIR", guests.guests)
        .env("PICKET_COMMANDS_DIR", commands);
    cargo::run(&mut tests)
}

/// nextest runs each test in a process of its own, which is quicker and says more of a failure. Without it the tests
/// are the same.
fn has_nextest() -> bool {
    cargo::cargo()
        .args(["nextest", "--version"])
        .output()
        .is_ok_and(|output| output.status.success())
}
