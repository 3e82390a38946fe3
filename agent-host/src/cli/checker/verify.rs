//! `agent-host checker verify`: from signatures alone, nothing is compiled or run.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use picket_sandbox::component::signature::Manifest;
use serde_json::json;

use crate::catalogue::candidate::Candidate;
use crate::catalogue::signed_versions::SignedVersions;
use crate::catalogue::trust::{self, Signer};
use crate::catalogue::{folder, notes};
use crate::cli::error::FOUND_PROBLEMS;
use crate::cli::{CliError, ConfigArg, Format, OutputArg, output};
use crate::config::{AgentConfig, Policy, SignatureSettings, nearest};

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// Files, or names of installed ones; all installed ones where none is given
    #[arg(value_name = "FILE|NAME")]
    targets: Vec<String>,
    /// Another policy than agent.toml's: what would be refused under it
    #[arg(long)]
    policy: Option<Policy>,
    #[command(flatten)]
    config: ConfigArg,
    #[command(flatten)]
    output: OutputArg,
}

struct Row {
    file: PathBuf,
    /// Who signed, or why the policy refuses it.
    judged: Result<Signer, String>,
    note: Option<String>,
}

pub(super) fn verify(args: &Args) -> Result<ExitCode, CliError> {
    let config = AgentConfig::load(&args.config.config)?;
    let installed = installed(&config.checkers_dir)?;
    let files = if args.targets.is_empty() {
        installed
    } else {
        let find = |target: &String| find(target, &installed, &config.checkers_dir);
        args.targets.iter().map(find).collect::<Result<_, _>>()?
    };
    let policy = args.policy.unwrap_or(config.signatures.policy);
    let settings = SignatureSettings {
        // Somebody asked: under `off` they are told what `warn` would say.
        policy: if policy == Policy::Off {
            Policy::Warn
        } else {
            policy
        },
        ..config.signatures
    };
    let path = SignedVersions::path(&config.data_dir);
    let seen = SignedVersions::load(&path).map_err(|source| CliError::Io {
        action: "read",
        path,
        source,
    })?;
    let rows: Vec<Row> = files
        .into_iter()
        .map(|file| row(file, &settings, &seen))
        .collect();
    match args.output.output {
        Format::Json => {
            let items: Vec<_> = rows.iter().map(to_json).collect();
            output::json(&json!({ "policy": policy.as_str(), "items": items }))?;
        }
        Format::Table => {
            output::table(
                &["FILE", "VERSION", "SIGNER", "PROBLEM", "NOTE"],
                &rows.iter().map(to_cells).collect::<Vec<_>>(),
            )?;
        }
    }
    let is_right = rows.iter().all(|row| row.judged.is_ok());
    Ok(ExitCode::from(if is_right { 0 } else { FOUND_PROBLEMS }))
}

fn row(file: PathBuf, settings: &SignatureSettings, seen: &SignedVersions) -> Row {
    let judged = Candidate::read(&file)
        .map_err(|error| error.to_string())
        .and_then(|candidate| trust::judge(settings, &candidate).map_err(|error| error.to_string()));
    let note = judged.as_ref().ok().and_then(|signer| match signer.trusted() {
        Some(manifest) => {
            let aside = notes::aside(manifest.checker(), &manifest.version().to_string());
            // It is there for checks that ask for its version.
            let is_aside = file
                .file_stem()
                .is_some_and(|stem| stem.to_string_lossy() == aside);
            notes::rollback(manifest, seen).filter(|_| !is_aside)
        }
        None => notes::untrusted(signer, signer.manifest().map(Manifest::checker), seen),
    });
    Row { file, judged, note }
}

fn to_json(row: &Row) -> serde_json::Value {
    let signer = row.judged.as_ref().ok();
    let manifest = signer.and_then(Signer::manifest);
    json!({
        "file": row.file.display().to_string(),
        "name": manifest.map(|manifest| manifest.checker()),
        "version": manifest.map(|manifest| manifest.version().to_string()),
        "signer": signer.map(ToString::to_string),
        "trusted": signer.is_some_and(|signer| signer.trusted().is_some()),
        "problem": row.judged.as_ref().err(),
        "note": row.note,
    })
}

fn to_cells(row: &Row) -> Vec<String> {
    let dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let signer = row.judged.as_ref().ok();
    let version = signer
        .and_then(Signer::manifest)
        .map(|manifest| manifest.version().to_string());
    vec![
        row.file.display().to_string(),
        dash(version),
        dash(signer.map(ToString::to_string)),
        dash(row.judged.as_ref().err().cloned()),
        dash(row.note.clone()),
    ]
}

fn installed(checkers: &Path) -> Result<Vec<PathBuf>, CliError> {
    let files = folder::wasm_files(checkers).map_err(|source| CliError::Io {
        action: "read",
        path: checkers.to_path_buf(),
        source,
    })?;
    Ok(files.into_values().map(|(file, _)| file).collect())
}

/// A path, or the name of an installed file.
fn find(target: &str, installed: &[PathBuf], checkers: &Path) -> Result<PathBuf, CliError> {
    let named = checkers.join(format!("{target}.wasm"));
    if installed.contains(&named) {
        return Ok(named);
    }
    if target.contains('/') || Path::new(target).exists() {
        return Ok(PathBuf::from(target));
    }
    let stems: Vec<_> = installed
        .iter()
        .filter_map(|file| file.file_stem())
        .map(|stem| stem.to_string_lossy())
        .collect();
    let hint = nearest(target, stems.iter().map(|stem| stem.as_ref()))
        .map(|near| format!("; did you mean `{near}`?"))
        .unwrap_or_default();
    Err(CliError::Unknown(format!(
        "there is no file {target}, and no {target}.wasm in {}{hint}",
        checkers.display()
    )))
}
