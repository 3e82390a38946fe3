//! `platform job`.

use super::super::arguments::JobCommand;
use super::super::{CliError, Site, actor, output};
use crate::jobs::{self, NewJob};
use crate::store::{self, views};

/// How many jobs are listed.
const LISTED: u32 = 200;

/// Lists, or enqueues one.
///
/// # Errors
/// [`CliError`].
pub async fn run(command: JobCommand) -> Result<(), CliError> {
    match command {
        JobCommand::List(listing) => {
            let site = Site::open(&listing.at.config).await?;
            let jobs = views::operations::jobs(&site.store, None, 0, LISTED).await?;
            let row = |job: &views::operations::JobLine| {
                vec![
                    job.id.clone().into(),
                    job.kind.clone().into(),
                    job.state.clone().into(),
                    format!("{}/{}", job.attempt, job.max_attempts).into(),
                    job.node.clone().unwrap_or_else(|| "-".to_owned()).into(),
                    output::time(job.run_at).into(),
                    job.finished_at
                        .map_or_else(|| "-".to_owned(), output::time)
                        .into(),
                    job.last_error.clone().unwrap_or_default().into(),
                ]
            };
            let rows: Vec<_> = jobs.iter().map(row).collect();
            let head = [
                "id",
                "kind",
                "state",
                "attempt",
                "node",
                "due",
                "finished",
                "last error",
            ];
            output::rows(listing.output, &head, &rows)
        }
        JobCommand::Run { kind, at } => {
            let site = Site::open(&at.config).await?;
            let schedules = jobs::schedules();
            let Some(schedule) = schedules.iter().find(|schedule| schedule.kind == kind) else {
                let known: Vec<&str> = schedules.iter().map(|schedule| schedule.kind).collect();
                return Err(CliError::NoSuchJob {
                    found: kind,
                    known: known.join(", "),
                });
            };
            let mut write = site.store.write().await?;
            let now = write.now();
            let job = NewJob {
                unique_key: Some("by-hand"),
                ..NewJob::new(schedule.queue, schedule.kind)
            };
            let id = jobs::enqueue(&mut write, &job, now).await?;
            store::audit::record(&mut write, now, &actor(), "job.run", None, schedule.kind, "").await?;
            write.commit().await?;
            output::line(id.as_deref().unwrap_or("one is waiting already"))
        }
    }
}
