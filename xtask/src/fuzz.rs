//! Runs one fuzz target. What is fuzzed is in `tests/fuzz-targets/`, the shims for libFuzzer in `fuzz/`.

use std::path::Path;

use anyhow::{Context as _, bail};

use crate::cargo;

/// What to fuzz, and for how long.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The target's name; one of the files in `fuzz/fuzz_targets`
    name: String,
    /// How long to go on, unless something is found before
    #[arg(long, default_value_t = 60)]
    seconds: u32,
}

/// Builds and runs it. What libFuzzer learns stays below the build folder, so that the seeds in `fuzz/corpus` remain few
/// and chosen; what it finds goes to `fuzz/artifacts`, from where it belongs among the seeds once it is mended.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let fuzz = cargo::root().join("fuzz");
    let known = targets(&fuzz.join("fuzz_targets"))?;
    if !known.contains(&arguments.name) {
        bail!(
            "there is no target {}; expected one of {}",
            arguments.name,
            known.join(", ")
        );
    }
    if !has_cargo_fuzz() {
        bail!("cargo-fuzz isn't installed: `cargo install --locked cargo-fuzz` brings it");
    }
    let target = cargo::target_dir()?;
    let learnt = target.join("fuzz-corpus").join(&arguments.name);
    std::fs::create_dir_all(&learnt).with_context(|| format!("can't make {}", learnt.display()))?;
    let mut command = cargo::cargo();
    command
        .args(["fuzz", "run", "--sanitizer", "none", "--fuzz-dir"])
        .arg(&fuzz)
        .arg("--target-dir")
        .arg(target.join("fuzz"))
        .arg(&arguments.name)
        .arg(&learnt)
        .arg(fuzz.join("corpus").join(&arguments.name))
        .args(["--", "-timeout=10", "-rss_limit_mb=2048", "-max_len=65536"])
        .arg(format!("-max_total_time={}", arguments.seconds))
        // libFuzzer's coverage is behind flags that a stable compiler keeps to itself otherwise.
        .env("RUSTC_BOOTSTRAP", "1");
    cargo::run(&mut command)
}

fn targets(folder: &Path) -> anyhow::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(|| format!("can't read {}", folder.display()))? {
        let path = entry?.path();
        names.extend(path.file_stem().map(|stem| stem.to_string_lossy().into_owned()));
    }
    names.sort();
    Ok(names)
}

fn has_cargo_fuzz() -> bool {
    cargo::cargo()
        .args(["fuzz", "--version"])
        .output()
        .is_ok_and(|output| output.status.success())
}
