//! Commands as checkers: programs in C (WASI preview1) and Rust (WASI 0.2) that print a Nagios line. The sources are in the
//! workspace's `examples/commands/` and `tests/commands/`.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "these are tests, and their tools"
)]

#[path = "guests/support.rs"]
#[expect(dead_code, reason = "shared with the tests of guests")]
mod support;

#[path = "commands/examples.rs"]
mod examples;
#[path = "commands/hostile.rs"]
mod hostile;
#[path = "commands/loading.rs"]
mod loading;

use std::path::{Path, PathBuf};

use picket_sandbox::component::Checker;
use picket_sandbox::run::{RunOutcome, RunSpec, run};

use support::{engine, spec};

fn command_path(name: &str) -> PathBuf {
    let folder = std::env::var_os("PICKET_COMMANDS_DIR").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/commands"),
        PathBuf::from,
    );
    let path = folder.join(name).with_extension("wasm");
    assert!(
        path.exists(),
        "{} is missing: build the commands with `cargo xtask checkers`",
        path.display()
    );
    path
}

fn command(name: &str) -> Checker {
    Checker::load_file(engine(), &command_path(name), None).unwrap()
}

fn with_arguments(arguments: &[&str], grants: &[&str]) -> RunSpec {
    spec(&serde_json::json!({ "arguments": arguments }).to_string(), grants)
}

async fn run_command(name: &str, arguments: &[&str], grants: &[&str]) -> RunOutcome {
    run(&command(name), with_arguments(arguments, grants)).await
}
