//! `agent-host status`: from the folders, so that it works whether the agent runs or not.

use std::process::ExitCode;

use serde_json::json;

use super::{CliError, ConfigArg, Format, OutputArg, output};
use crate::app;
use crate::config::AgentConfig;
use crate::config::quantity::show_size;
use crate::identity::AgentIdentity;
use crate::spool;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    config: ConfigArg,
    #[command(flatten)]
    output: OutputArg,
}

pub(super) async fn status(args: &Args) -> Result<ExitCode, CliError> {
    let config = AgentConfig::load(&args.config.config)?;
    let identity = AgentIdentity::load(&config.identity_dir);
    let folder = app::spool_dir(&config);
    let (view, is_running) = if folder.is_dir() {
        let read = spool::peek(&folder, config.spool.quota);
        let view = read.map_err(|source| CliError::Io {
            action: "read",
            path: folder.clone(),
            source,
        })?;
        (Some(view), spool::is_locked(&folder))
    } else {
        (None, false)
    };
    let reloader = super::check::look(&config).await?;
    let inventory = reloader.inventory();
    let (checks, catalogue) = (inventory.checks.load_full(), inventory.catalogue.load_full());
    let mut problems: Vec<String> = identity
        .as_ref()
        .err()
        .map(ToString::to_string)
        .into_iter()
        .collect();
    problems.extend(
        catalogue
            .entries()
            .values()
            .filter_map(|entry| entry.problem.clone()),
    );
    problems.extend(
        checks
            .values()
            .filter_map(|check| Some(format!("check `{}`: {}", check.name, check.problem()?))),
    );
    problems.extend(reloader.set().unreadable().iter().cloned());
    let notes: Vec<String> = catalogue
        .entries()
        .iter()
        .filter_map(|(stem, entry)| Some(format!("checker `{stem}`: {}", entry.note.as_ref()?)))
        .collect();
    let id = identity
        .as_ref()
        .map(|loaded| loaded.identity().id().to_string())
        .ok();
    let waiting = view
        .as_ref()
        .map_or(0, |view| view.last_seq().saturating_sub(view.acknowledged()));
    match args.output.output {
        Format::Json => output::json(&json!({
            "spiffe_id": id,
            "running": is_running,
            "checks": checks.len(),
            "checkers": catalogue.entries().len(),
            "spool": view.as_ref().map(|view| json!({
                "stream": view.stream().to_string(),
                "first_seq": view.first_seq(), "last_seq": view.last_seq(),
                "acknowledged_seq": view.acknowledged(), "waiting": waiting,
                "bytes": view.bytes(), "quota_bytes": view.quota(), "dropped": view.dropped(),
            })),
            "problems": problems,
            "notes": notes,
        }))?,
        Format::Table => {
            let spool = view.as_ref().map_or_else(
                || "empty".to_owned(),
                |view| {
                    format!(
                        "{waiting} results wait, {} of {}, {} dropped",
                        show_size(view.bytes()),
                        show_size(view.quota()),
                        view.dropped()
                    )
                },
            );
            let rows = [
                ("agent", id.unwrap_or_else(|| "not enrolled".to_owned())),
                ("running", if is_running { "yes" } else { "no" }.to_owned()),
                ("checks", checks.len().to_string()),
                ("checkers", catalogue.entries().len().to_string()),
                ("spool", spool),
            ];
            let rows: Vec<_> = rows
                .into_iter()
                .map(|(name, value)| vec![name.to_owned(), value])
                .collect();
            output::table(&["STATUS", ""], &rows)?;
            for problem in &problems {
                output::line(format!("problem: {problem}"))?;
            }
            for note in &notes {
                output::line(format!("note: {note}"))?;
            }
        }
    }
    Ok(ExitCode::from(if problems.is_empty() {
        0
    } else {
        super::error::FOUND_PROBLEMS
    }))
}
