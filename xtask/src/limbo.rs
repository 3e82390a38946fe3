//! Path building, beside x509-limbo's test vectors. They are no part of Picket; what compares is in `tests/src/bin/limbo/`.

use std::path::PathBuf;

use anyhow::Context as _;

use crate::cargo;

/// Where the vectors are.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// x509-limbo's limbo.json (https://github.com/C2SP/x509-limbo)
    vectors: PathBuf,
}

/// Compares, and fails where a case is decided otherwise than is known.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    // cargo runs in the workspace's root, wherever this was called.
    let vectors = arguments.vectors.canonicalize();
    let vectors = vectors.with_context(|| format!("can't find {}", arguments.vectors.display()))?;
    cargo::run(
        cargo::cargo()
            .args([
                "run",
                "--quiet",
                "--locked",
                "--package",
                "picket-tests",
                "--bin",
                "picket-limbo",
                "--",
            ])
            .arg(vectors),
    )
}
