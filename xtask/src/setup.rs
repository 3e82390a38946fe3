//! What a machine must have: the compiler's WebAssembly target and some system packages.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};

use crate::cargo;

/// What checkers and guests are compiled to.
pub(crate) const WASM_TARGET: &str = "wasm32-wasip2";

/// A program that must be there, by its name in PATH or its whole path, and the Debian package that brings it.
pub(crate) struct Need {
    pub(crate) program: &'static str,
    pub(crate) package: &'static str,
}

/// What every build needs: aws-lc and SQLite are C.
pub(crate) const TO_BUILD: &[Need] = &[Need {
    program: "cc",
    package: "gcc",
}];

/// What the tests start or use, besides Picket itself.
pub(crate) const TO_TEST: &[Need] = &[
    Need {
        program: "nginx",
        package: "nginx-light",
    },
    Need {
        program: "dnsmasq",
        package: "dnsmasq-base",
    },
    Need {
        program: "openssl",
        package: "openssl",
    },
    Need {
        program: "dbus-daemon",
        package: "dbus-daemon",
    },
    Need {
        program: "ip",
        package: "iproute2",
    },
    Need {
        program: "script",
        package: "bsdutils",
    },
    // Debian's own Python has it, whatever other one is in PATH.
    Need {
        program: "/usr/bin/python3",
        package: "python3-minimal",
    },
    // A gRPC client that isn't ours.
    Need {
        program: "/usr/lib/python3/dist-packages/grpc/__init__.py",
        package: "python3-grpcio",
    },
    // Forbids a program new code with one system call.
    Need {
        program: "perl",
        package: "perl-base",
    },
];

/// What compiles commands in C to WebAssembly, which tests run as checkers.
pub(crate) const TO_COMPILE_C: &[Need] = &[
    Need {
        program: "clang",
        package: "clang",
    },
    Need {
        program: "wasm-ld",
        package: "lld",
    },
];

/// The packages of libraries that it needs for WASI.
pub(crate) const WASI_LIBRARIES: &[&str] = &["wasi-libc", "libclang-rt-dev-wasm32"];

/// What the measurements start beside Picket: servers, and peers to compare with.
pub(crate) const TO_BENCH: &[Need] = &[
    Need {
        program: "nginx",
        package: "nginx-light",
    },
    // It has all plugins in one folder, which is in nobody's PATH.
    Need {
        program: "/usr/lib/nagios/plugins/check_http",
        package: "monitoring-plugins-basic",
    },
];

/// Adds the compiler's WebAssembly target where it is missing.
pub(crate) fn wasm_target() -> anyhow::Result<()> {
    let installed = Command::new("rustup")
        .args(["target", "list", "--installed"])
        .current_dir(cargo::root())
        .stderr(Stdio::inherit())
        .output()
        .context("can't run `rustup`: Picket is built with rustup's toolchains (https://rustup.rs)")?;
    if String::from_utf8_lossy(&installed.stdout)
        .lines()
        .any(|line| line.trim() == WASM_TARGET)
    {
        return Ok(());
    }
    cargo::run(
        Command::new("rustup")
            .args(["target", "add", WASM_TARGET])
            .current_dir(cargo::root()),
    )
    .with_context(|| {
        format!("the target {WASM_TARGET} is missing; `rustup target add {WASM_TARGET}` adds it")
    })
}

/// Sees that all programs are there. As root on a Debian system the missing ones are installed; elsewhere the error
/// names their packages.
pub(crate) fn packages(needs: &[&[Need]]) -> anyhow::Result<()> {
    let missing = missing(needs);
    if missing.is_empty() {
        return Ok(());
    }
    install(&missing)?;
    match self::missing(needs).as_slice() {
        [] => Ok(()),
        still => bail!(
            "installed {}, but still missing: {}",
            missing.join(" "),
            still.join(" ")
        ),
    }
}

/// Installs packages where that is possible; elsewhere the error names them.
pub(crate) fn install(packages: &[&str]) -> anyhow::Result<()> {
    let names = packages.join(" ");
    if !(Path::new("/usr/bin/apt-get").exists() && is_root()?) {
        bail!(
            "missing packages: {names}. Install them (on Debian: `apt-get install {names}`) and run this again"
        );
    }
    // A fresh machine has no package lists yet, a used one may have old ones: refresh them before every install.
    cargo::run(Command::new("apt-get").arg("update").stdout(Stdio::null()))?;
    cargo::run(
        Command::new("apt-get")
            .args(["install", "--yes", "--no-install-recommends"])
            .args(packages)
            .env("DEBIAN_FRONTEND", "noninteractive")
            // Without this, Debian would start each server that it installs. The tests start their own.
            .env("RUNLEVEL", "1")
            .stdout(Stdio::null()),
    )
}

fn missing(needs: &[&[Need]]) -> Vec<&'static str> {
    needs
        .iter()
        .flat_map(|list| list.iter())
        .filter(|need| !is_there(need.program))
        .map(|need| need.package)
        .collect()
}

fn is_there(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    folders.into_iter().any(|folder| folder.join(program).is_file())
}

fn is_root() -> anyhow::Result<bool> {
    let output = Command::new("id")
        .arg("-u")
        .output()
        .context("can't run `id -u`")?;
    Ok(String::from_utf8_lossy(&output.stdout).trim() == "0")
}
