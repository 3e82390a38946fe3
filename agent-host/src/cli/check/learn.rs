//! `agent-host check run NAME --learn`: the least grants for what the check just did.

use std::process::ExitCode;

use picket_sandbox::grant::Grant;
use serde_json::json;

use super::{output, show};
use crate::cli::{CliError, Format};
use crate::control::result::ResultModel;
use crate::runner::Executor;
use crate::runner::learn::Lesson;
use crate::runner::prepared::Prepared;

pub(super) async fn learn(
    executor: &Executor,
    prepared: &Prepared,
    format: Format,
) -> Result<ExitCode, CliError> {
    let Some(lesson) = executor.learn(prepared).await else {
        let problem = prepared.problem().unwrap_or("its checker isn't loaded");
        return Err(CliError::Unknown(format!(
            "check `{}` can't run: {problem}",
            prepared.name
        )));
    };
    match format {
        Format::Json => output::json(&json!({
            "result": ResultModel::from(&lesson.result),
            "allow": spelt(&lesson.least),
            "unused": spelt(&lesson.unused),
            "announced": lesson.announced.iter().map(|need| need.grant.to_string()).collect::<Vec<_>>(),
            "refused": lesson.refused,
        }))?,
        Format::Table => {
            show(&lesson.result)?;
            tell(prepared, &lesson)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn spelt(grants: &[Grant]) -> Vec<String> {
    grants.iter().map(ToString::to_string).collect()
}

/// The line as it goes into the check's table.
fn line(grants: &[Grant]) -> String {
    let quoted: Vec<_> = grants
        .iter()
        .map(|grant| format!("{:?}", grant.to_string()))
        .collect();
    format!("allow = [{}]", quoted.join(", "))
}

fn tell(prepared: &Prepared, lesson: &Lesson) -> std::io::Result<()> {
    output::line(format!(
        "\nthe least that this run needed, for [check.{}]:\n  {}",
        prepared.name,
        line(&lesson.least)
    ))?;
    if !lesson.unused.is_empty() {
        output::line("granted now, and not used by this run:")?;
        for grant in &lesson.unused {
            output::line(format!("  {grant}"))?;
        }
    }
    if !lesson.announced.is_empty() {
        output::line("the checker says that it needs this too, which this run didn't use:")?;
        for need in &lesson.announced {
            output::line(format!("  {} ({})", need.grant, need.reason))?;
        }
    }
    if !lesson.refused.is_empty() {
        output::line("refused even while learning; grant it yourself if you mean it:")?;
        for sentence in &lesson.refused {
            output::line(format!("  {sentence}"))?;
        }
    }
    Ok(())
}
