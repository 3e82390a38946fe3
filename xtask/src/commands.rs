//! Commands that are run as checkers: ordinary programs in C and Rust, compiled to WebAssembly.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};

use crate::cargo;
use crate::setup::{self, WASM_TARGET};

/// What Debian's clang compiles to: core modules for WASI preview1.
const C_TARGET: &str = "--target=wasm32-wasi";
/// Optimised for size, as checkers are, without debugging information (the C library brings its own), and with no warning
/// left unread.
const C_FLAGS: &[&str] = &[
    C_TARGET,
    "-Os",
    "-Wall",
    "-Wextra",
    "-Werror",
    "-Wl,--strip-debug",
];
const RUST_COMMANDS: &[&str] = &["check_port"];

/// Compiles the examples into `target/commands` and the tests' own into `target/commands/hostile`; gives the first.
pub(crate) fn build() -> anyhow::Result<PathBuf> {
    c_toolchain()?;
    setup::wasm_target()?;
    let (root, target) = (cargo::root(), cargo::target_dir()?);
    let commands = target.join("commands");
    if commands.exists() {
        std::fs::remove_dir_all(&commands)?;
    }
    let hostile = commands.join("hostile");
    std::fs::create_dir_all(&hostile)?;
    compile_folder(&root.join("examples/commands"), &commands)?;
    compile_folder(&root.join("tests/commands"), &hostile)?;

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
    for package in RUST_COMMANDS {
        build.args(["--package", package]);
    }
    cargo::run(&mut build)?;
    for package in RUST_COMMANDS {
        let file = format!("{package}.wasm");
        let from = target.join(WASM_TARGET).join("checker").join(&file);
        std::fs::copy(&from, commands.join(&file))
            .with_context(|| format!("can't copy {}", from.display()))?;
    }
    Ok(commands)
}

fn compile_folder(folder: &Path, into: &Path) -> anyhow::Result<()> {
    for entry in std::fs::read_dir(folder).with_context(|| format!("can't read {}", folder.display()))? {
        let source = entry?.path();
        if source.extension().is_some_and(|suffix| suffix == "c") {
            let stem = source.file_stem().unwrap_or_default();
            let output = into.join(stem).with_extension("wasm");
            cargo::run(clang().arg("-o").arg(output).arg(source))?;
        }
    }
    Ok(())
}

fn clang() -> Command {
    let mut clang = Command::new("clang");
    clang.args(C_FLAGS);
    clang
}

/// Sees that clang can compile a C program for WASI. Its C library and runtime have no program to look for, so that what
/// tells whether they are there is compiling one.
fn c_toolchain() -> anyhow::Result<()> {
    setup::packages(&[setup::TO_COMPILE_C])?;
    if works()?.is_none() {
        return Ok(());
    }
    setup::install(setup::WASI_LIBRARIES)?;
    match works()? {
        None => Ok(()),
        Some(said) => bail!(
            "clang can't compile C for WASI; it needs {}: {said}",
            setup::WASI_LIBRARIES.join(" and ")
        ),
    }
}

/// What clang says where it doesn't work.
fn works() -> anyhow::Result<Option<String>> {
    let source = std::env::temp_dir().join(format!("picket-xtask-{}.c", std::process::id()));
    std::fs::write(
        &source,
        "#include <stdio.h>\nint main(void) { return puts(\"\") < 0; }\n",
    )?;
    let output = clang()
        .arg("-o")
        .arg("/dev/null")
        .arg(&source)
        .stdin(Stdio::null())
        .output();
    std::fs::remove_file(&source)?;
    let output = output.context("can't run clang")?;
    Ok((!output.status.success()).then(|| String::from_utf8_lossy(&output.stderr).into_owned()))
}
