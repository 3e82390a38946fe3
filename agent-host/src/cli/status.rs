//! `agent-host status`: from the folders, so that it works whether the agent runs or not.

use std::process::ExitCode;

use picket_identity::verify;
use serde_json::json;

use super::{CliError, ConfigArg, Format, OutputArg, output};
use crate::app;
use crate::config::AgentConfig;
use crate::config::quantity::show_size;
use crate::identity::validity::trouble;
use crate::identity::{AgentIdentity, Validity};
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
    let now = verify::now();
    let validity = identity
        .as_ref()
        .ok()
        .map(|loaded| Validity::of(loaded.identity(), now));
    let trouble = match &identity {
        Ok(loaded) => trouble(loaded.identity(), now),
        Err(error) => Some(error.to_string()),
    };
    // What ends soon is good still.
    let is_good = validity.is_some_and(|validity| !validity.is_expired());
    let mut problems: Vec<String> = trouble.iter().filter(|_| !is_good).cloned().collect();
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
    let mut notes: Vec<String> = trouble.into_iter().filter(|_| is_good).collect();
    let noted = catalogue
        .entries()
        .iter()
        .filter_map(|(stem, entry)| Some(format!("checker `{stem}`: {}", entry.note.as_ref()?)));
    notes.extend(noted);
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
            "certificate": identity.as_ref().ok().map(|loaded| json!({
                "state": Validity::of(loaded.identity(), now).as_str(),
                "not_after_unix_ms": verify::unix_millis(loaded.identity().verified().not_after()),
                "trust_sequence": loaded.identity().trust_sequence(),
            })),
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
            let certificate = validity.map_or("none", |validity| match validity {
                Validity::Good => "good",
                Validity::EndsSoon => "ends soon",
                Validity::Recoverable | Validity::Lost => "expired",
            });
            let certificate = certificate.to_owned();
            let rows = [
                ("agent", id.unwrap_or_else(|| "not enrolled".to_owned())),
                ("certificate", certificate),
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
