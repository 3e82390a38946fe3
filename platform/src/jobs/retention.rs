//! Forgets what is older than it has to be kept.

use async_trait::async_trait;

use super::{Handler, Job, JobError, Outcome};
use crate::app::Services;
use crate::config::RetentionConfig;
use crate::metrics::jobs as report;
use crate::store;

/// The kind of this job.
pub const KIND: &str = "retention";

const DAY_MS: i64 = 86_400_000;

/// Batches that are forgotten in one transaction: ingest waits behind it, so it has to be short.
const CHUNKS_AT_ONCE: u32 = 500;

/// The job.
#[derive(Debug)]
pub struct Retention(pub RetentionConfig);

#[async_trait]
impl Handler for Retention {
    async fn run(&self, services: &Services, _job: &Job) -> Result<Outcome, JobError> {
        let days = |days: u32| i64::from(days) * DAY_MS;
        let chunks = self.chunks(services, days(self.0.results_days)).await?;

        let mut write = services.store.write().await?;
        let now = write.now();
        let events = store::checks::prune_events(&mut write, now - days(self.0.events_days)).await?;
        let checks =
            store::checks::prune_states(&mut write, now - days(self.0.silent_checks_days), now).await?;
        let alerts = store::alerts::prune(&mut write, now - days(self.0.alerts_days)).await?;
        let jobs = store::jobs::prune(&mut write, now - days(self.0.jobs_days)).await?;
        let certificates = store::certificates::prune(&mut write, now - days(self.0.alerts_days)).await?;
        let activations = store::activations::prune(&mut write, now - days(self.0.alerts_days)).await?;
        let changes = store::registry::prune_changes(&mut write, now - days(self.0.jobs_days)).await?;
        let sessions = store::sessions::prune(&mut write, now).await?;
        write.commit().await?;

        for (table, rows) in [
            ("sample_chunk", chunks),
            ("state_event", events),
            ("check_state", checks),
            ("alert", alerts),
            ("job", jobs),
            ("certificate", certificates),
            ("activation", activations),
            ("registry_change", changes),
            ("web_session", sessions),
        ] {
            report::pruned(table, rows);
        }
        Ok(Outcome::Done)
    }
}

impl Retention {
    async fn chunks(&self, services: &Services, age_ms: i64) -> Result<u64, JobError> {
        let mut total = 0;
        loop {
            let mut write = services.store.write().await?;
            let before = write.now() - age_ms;
            let pruned = store::chunks::prune(&mut write, before, CHUNKS_AT_ONCE).await?;
            write.commit().await?;
            total += pruned;
            if pruned < u64::from(CHUNKS_AT_ONCE) {
                return Ok(total);
            }
        }
    }
}
