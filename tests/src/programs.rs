//! Where the built programs, checkers and guests are.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

/// The folder of the built programs: `PICKET_BIN_DIR`, or where this program itself was built.
pub fn program(name: &str) -> anyhow::Result<PathBuf> {
    found("PICKET_BIN_DIR", &build_folder()?, name)
}

/// A first-party checker's component.
pub fn checker(name: &str) -> anyhow::Result<PathBuf> {
    let default = build_folder()?
        .parent()
        .map(|target| target.join("checkers"))
        .unwrap_or_default();
    found("PICKET_CHECKERS_DIR", &default, &format!("{name}.wasm"))
}

/// A test guest's component.
pub fn guest(name: &str) -> anyhow::Result<PathBuf> {
    let default = build_folder()?
        .parent()
        .map(|target| target.join("guests"))
        .unwrap_or_default();
    found("PICKET_GUESTS_DIR", &default, &format!("{name}.wasm"))
}

fn found(variable: &str, default: &Path, file: &str) -> anyhow::Result<PathBuf> {
    let folder = std::env::var_os(variable).map_or_else(|| default.to_path_buf(), PathBuf::from);
    let path = folder.join(file);
    if !path.is_file() {
        bail!(
            "{} isn't there: `cargo xtask test` builds it before it runs the tests",
            path.display()
        );
    }
    Ok(path)
}

/// `target/debug`, from `target/debug/deps/some_test` or `target/debug/picket-demo`.
fn build_folder() -> anyhow::Result<PathBuf> {
    let program = std::env::current_exe().context("can't tell where this program is")?;
    let folder = program.parent().context("this program has no folder")?;
    let folder = if folder.ends_with("deps") {
        folder.parent().unwrap_or(folder)
    } else {
        folder
    };
    Ok(folder.to_path_buf())
}
