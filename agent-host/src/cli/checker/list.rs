//! `agent-host checker list`.

use std::process::ExitCode;

use serde_json::json;

use super::{listed, users};
use crate::catalogue::loaded::LoadedChecker;
use crate::cli::error::FOUND_PROBLEMS;
use crate::cli::{CliError, ConfigArg, Format, OutputArg, output};
use crate::config::AgentConfig;
use crate::config::quantity::show_size;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    config: ConfigArg,
    #[command(flatten)]
    output: OutputArg,
}

pub(super) async fn list(args: &Args) -> Result<ExitCode, CliError> {
    let config = AgentConfig::load(&args.config.config)?;
    let reloader = crate::cli::check::look(&config).await?;
    let inventory = reloader.inventory();
    let (catalogue, checks) = (inventory.catalogue.load_full(), inventory.checks.load_full());
    let rows = catalogue.entries().iter().map(|(stem, entry)| {
        let signer = entry.checker.as_ref().map(|_| entry.signer.to_string());
        (stem, entry, signer, users(&catalogue, &checks, stem))
    });
    match args.output.output {
        Format::Json => {
            let items: Vec<_> = rows
                .map(|(stem, entry, signer, used_by)| {
                    let checker = entry.checker.as_deref();
                    json!({
                        "file": stem,
                        "name": checker.map(|checker| &checker.descriptor().name),
                        "version": checker.map(|checker| &checker.descriptor().version),
                        "summary": checker.map(|checker| &checker.descriptor().summary),
                        "digest": checker.map(LoadedChecker::digest),
                        "size": checker.map(LoadedChecker::size),
                        "signer": signer,
                        "used_by": used_by,
                        "problem": entry.problem,
                        "note": entry.note,
                    })
                })
                .collect();
            output::json(&json!({ "items": items }))?;
        }
        Format::Table => {
            let rows: Vec<_> = rows
                .map(|(stem, entry, signer, used_by)| {
                    let known = |text: fn(&LoadedChecker) -> String| {
                        entry.checker.as_deref().map_or_else(|| "-".to_owned(), text)
                    };
                    let dash = |text: Option<&String>| text.cloned().unwrap_or_else(|| "-".to_owned());
                    vec![
                        stem.clone(),
                        known(|checker| checker.descriptor().name.clone()),
                        known(|checker| checker.descriptor().version.clone()),
                        dash(signer.as_ref()),
                        known(|checker| show_size(checker.size() as u64)),
                        listed(&used_by),
                        dash(entry.problem.as_ref()),
                        dash(entry.note.as_ref()),
                    ]
                })
                .collect();
            output::table(
                &[
                    "FILE", "NAME", "VERSION", "SIGNER", "SIZE", "USED BY", "PROBLEM", "NOTE",
                ],
                &rows,
            )?;
        }
    }
    let has_problems = catalogue.entries().values().any(|entry| entry.problem.is_some());
    Ok(ExitCode::from(if has_problems { FOUND_PROBLEMS } else { 0 }))
}
