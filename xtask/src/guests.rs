//! Everything that compiles to WebAssembly: the first-party checkers, and the guests that the tests use.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use crate::cargo;
use crate::setup::{self, WASM_TARGET};

/// Where the components are.
pub(crate) struct Guests {
    /// `http.wasm`, `tcp.wasm`, …
    pub(crate) checkers: PathBuf,
    /// `spin.wasm`, …
    pub(crate) guests: PathBuf,
}

/// Compiles all of them into `target/checkers` and `target/guests`.
pub(crate) fn build() -> anyhow::Result<Guests> {
    setup::wasm_target()?;
    let root = cargo::root();
    let target = cargo::target_dir()?;
    let checkers = packages(&root.join("checkers"), "checker-")?;
    let guests = packages(&root.join("tests/guests"), "guest-")?;

    let mut build = cargo::cargo();
    build.args([
        "build",
        "--quiet",
        "--locked",
        "--profile",
        "checker",
        "--target",
        WASM_TARGET,
    ]);
    for package in checkers.iter().chain(&guests) {
        build.args(["--package", package]);
    }
    cargo::run(&mut build)?;

    let built = target.join(WASM_TARGET).join("checker");
    let result = Guests {
        checkers: target.join("checkers"),
        guests: target.join("guests"),
    };
    collect(&built, &checkers, "checker-", &result.checkers)?;
    collect(&built, &guests, "guest-", &result.guests)?;
    Ok(result)
}

/// The packages in a folder that have its prefix: `checkers/http` is `checker-http`. Others are libraries.
fn packages(folder: &Path, prefix: &str) -> anyhow::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(|| format!("can't read {}", folder.display()))? {
        let manifest = entry?.path().join("Cargo.toml");
        let Ok(text) = std::fs::read_to_string(&manifest) else {
            continue;
        };
        let name = text
            .lines()
            .find_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"'));
        let Some(name) = name else {
            bail!("{} has no line `name = \"…\"`", manifest.display())
        };
        // A library that several share isn't a component.
        if name.starts_with(prefix) && text.contains("\"cdylib\"") {
            names.push(name.to_owned());
        }
    }
    names.sort();
    Ok(names)
}

/// Copies each package's component under its short name; what an earlier build left there goes.
fn collect(built: &Path, packages: &[String], prefix: &str, into: &Path) -> anyhow::Result<()> {
    if into.exists() {
        std::fs::remove_dir_all(into)?;
    }
    std::fs::create_dir_all(into)?;
    for package in packages {
        let from = built.join(format!("{}.wasm", package.replace('-', "_")));
        let to = into.join(format!("{}.wasm", package.trim_start_matches(prefix)));
        std::fs::copy(&from, &to)
            .with_context(|| format!("can't copy {} to {}", from.display(), to.display()))?;
    }
    Ok(())
}
