//! Format, lints and what the dependencies may be.

use crate::cargo;

/// Runs all of them.
pub(crate) fn run() -> anyhow::Result<()> {
    cargo::run(cargo::cargo().args(["fmt", "--all", "--check"]))?;
    cargo::run(cargo::cargo().args([
        "clippy",
        "--quiet",
        "--locked",
        "--workspace",
        "--all-targets",
        "--",
        "--deny",
        "warnings",
    ]))?;
    dependencies()
}

/// Licences, sources and bans, where cargo-deny is installed: it takes longer to build than Picket. Advisories are left to
/// `cargo deny check advisories`, which needs the network and fails for reasons outside this tree.
fn dependencies() -> anyhow::Result<()> {
    let there = cargo::cargo()
        .args(["deny", "--version"])
        .output()
        .is_ok_and(|output| output.status.success());
    if there {
        return cargo::run(cargo::cargo().args([
            "deny",
            "--log-level",
            "error",
            "check",
            "bans",
            "licenses",
            "sources",
        ]));
    }
    eprintln!(
        "xtask: cargo-deny isn't installed, so deny.toml wasn't applied (`cargo install --locked cargo-deny`)"
    );
    Ok(())
}
