//! Format, lints and drift checks.

use std::path::Path;

use anyhow::{Context as _, bail};

use crate::cargo;

/// Runs all of them.
pub(crate) fn run() -> anyhow::Result<()> {
    cargo::run(cargo::cargo().args(["fmt", "--all", "--check"]))?;
    frozen_contract(&cargo::root().join("wit"))?;
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

/// A released version of the contract never changes: each of its files in `wit/frozen/VERSION` must be the file in
/// `wit/`, byte for byte, as long as `wit/` still has that version.
fn frozen_contract(wit: &Path) -> anyhow::Result<()> {
    let version = version(&wit.join("types.wit"))?;
    let frozen = wit.join("frozen").join(&version);
    if !frozen.is_dir() {
        bail!(
            "{} is missing: freeze this version of the contract by copying wit/*.wit there",
            frozen.display()
        );
    }
    let (now, then) = (contract_files(wit)?, contract_files(&frozen)?);
    if now != then {
        bail!(
            "wit/ has the files {now:?}, wit/frozen/{version}/ has {then:?}: the same version must have the same"
        );
    }
    for file in now {
        if std::fs::read(wit.join(&file))? != std::fs::read(frozen.join(&file))? {
            bail!(
                "wit/{file} differs from wit/frozen/{version}/{file}: inside a version nothing changes. \
                 wit/README.md says how the contract grows"
            );
        }
    }
    Ok(())
}

fn version(file: &Path) -> anyhow::Result<String> {
    let text = std::fs::read_to_string(file).with_context(|| format!("can't read {}", file.display()))?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("package picket:checker@")?.strip_suffix(';'));
    Ok(line
        .with_context(|| format!("{} has no line `package picket:checker@…;`", file.display()))?
        .to_owned())
}

fn contract_files(folder: &Path) -> anyhow::Result<Vec<String>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name.ends_with(".wit") {
            files.push(name);
        }
    }
    files.sort();
    Ok(files)
}
