//! `agent-host checker install`: the file becomes `checkers/NAME.wasm`, by the name that the checker describes itself with.
//! Where that is there in another version, the older file stays as `NAME@VERSION.wasm`, so that pinned checks go on.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use serde_json::json;

use super::confirm::confirm;
use super::inspect::show;
use crate::catalogue::candidate::Candidate;
use crate::catalogue::loaded::{CheckerError, Loaded};
use crate::catalogue::{Catalogue, folder, notes};
use crate::cli::{CliError, ConfigArg, Format, OutputArg, output};
use crate::config::AgentConfig;
use crate::reload::Reloader;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// A .wasm file; its signature is beside it as FILE.sig, or inside it
    file: PathBuf,
    /// Don't ask
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    config: ConfigArg,
    #[command(flatten)]
    output: OutputArg,
}

/// What is in the place of a new file.
#[derive(Debug, PartialEq, Eq)]
enum Before {
    Nothing,
    /// It can't be used, or it is the same version: nobody would miss it.
    Replaced,
    /// Another version, which stays under a name of its own.
    Kept {
        version: String,
        path: PathBuf,
    },
}

pub(super) async fn install(args: &Args) -> Result<ExitCode, CliError> {
    let config = AgentConfig::load(&args.config.config)?;
    let reloader = crate::cli::check::look(&config).await?;
    let failed = |source: CheckerError| CliError::Checker {
        path: args.file.clone(),
        source,
    };
    // Read once: what is verified and shown is what is written.
    let candidate = Arc::new(Candidate::read(&args.file).map_err(|error| failed(error.into()))?);
    let loaded = reloader.loader().admit(&candidate).await.map_err(failed)?;
    let descriptor = loaded.checker.descriptor();
    let (name, version) = (&descriptor.name, &descriptor.version);
    let target = config.checkers_dir.join(format!("{name}.wasm"));
    let before = before(
        &reloader.inventory().catalogue.load(),
        &loaded,
        &config.checkers_dir,
    )?;
    let note = note(&reloader, &loaded);
    if args.output.output == Format::Table {
        show(&loaded)?;
        if let Some(note) = &note {
            output::line(format!("note: {note}"))?;
        }
    }
    confirm(&question(&target, version, &before), args.yes)?;
    let write = |source| CliError::Io {
        action: "write to",
        path: config.checkers_dir.clone(),
        source,
    };
    if let Before::Kept { path, .. } = &before {
        copy(&target, path).map_err(write)?;
    }
    // Under the policy `off` a signature that can't be read is none.
    let sidecar = candidate.sidecar().unwrap_or_default();
    folder::put(&target, candidate.bytes(), sidecar).map_err(write)?;
    let kept = match &before {
        Before::Kept { path, .. } => Some(path.display().to_string()),
        Before::Nothing | Before::Replaced => None,
    };
    match args.output.output {
        Format::Json => output::json(&json!({
            "file": target.display().to_string(), "name": name, "version": version,
            "digest": loaded.checker.digest(), "signer": loaded.signer.to_string(),
            "kept": kept, "note": note,
        }))?,
        Format::Table => {
            output::line(format!("installed {}", target.display()))?;
            if let Before::Kept { version, path } = &before {
                output::line(format!(
                    "kept version {version} as {}; `agent-host checker remove {name}@{version}` removes it",
                    path.display()
                ))?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn question(target: &Path, version: &str, before: &Before) -> String {
    let target = target.display();
    match before {
        Before::Nothing => format!("Install version {version} as {target}?"),
        Before::Replaced => format!("Install version {version} in the place of {target}?"),
        Before::Kept { version: old, path } => {
            format!(
                "Install version {version} as {target}, and keep version {old} as {}?",
                path.display()
            )
        }
    }
}

fn before(catalogue: &Catalogue, loaded: &Loaded, folder: &Path) -> Result<Before, CliError> {
    let descriptor = loaded.checker.descriptor();
    let Some(entry) = catalogue.entries().get(&descriptor.name) else {
        return Ok(Before::Nothing);
    };
    let Some(old) = &entry.checker else {
        return Ok(Before::Replaced);
    };
    let old = old.descriptor();
    if old.name != descriptor.name {
        return Err(CliError::Refused(format!(
            "{} is another checker, `{}`, and checks that name the file use it: rename or remove it first. Nothing was \
             changed",
            entry.file.display(),
            old.name
        )));
    }
    if old.version == descriptor.version {
        return Ok(Before::Replaced);
    }
    Ok(Before::Kept {
        version: old.version.clone(),
        path: folder.join(format!("{}.wasm", notes::aside(&old.name, &old.version))),
    })
}

/// What the list will say of it.
fn note(reloader: &Reloader, loaded: &Loaded) -> Option<String> {
    let seen = reloader.signed_versions();
    match loaded.signer.trusted() {
        Some(manifest) => notes::rollback(manifest, seen),
        None => notes::untrusted(&loaded.signer, Some(&loaded.checker.descriptor().name), seen),
    }
}

fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    let bytes = std::fs::read(from)?;
    let sidecar = match std::fs::read(folder::sidecar(from)) {
        Ok(sidecar) => Some(sidecar),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    folder::put(to, &bytes, sidecar.as_deref())
}
