//! Removes what is left of a tenant that was deleted: its authorities' keys, then its data, a bounded piece at a time, so
//! that ingest never waits long.

use async_trait::async_trait;

use super::{Handler, Job, JobError, NewJob, Outcome, UPKEEP};
use crate::app::Services;
use crate::clock::UnixMs;
use crate::metrics::jobs as report;
use crate::store::{self, Connection, StoreError};

/// The kind of this job.
pub const KIND: &str = "tenant-removal";

/// Rows that go in one transaction: ingest waits behind it, so it has to be short.
const ROWS_AT_ONCE: u32 = 500;

/// The job.
#[derive(Debug)]
pub struct TenantRemoval;

/// Has a deleted tenant removed, in the caller's transaction.
///
/// # Errors
/// [`StoreError`].
pub async fn enqueue(connection: &mut Connection, tenant: &str, now: UnixMs) -> Result<(), StoreError> {
    let job = NewJob {
        arguments: serde_json::json!({ "tenant": tenant }),
        unique_key: Some(tenant),
        ..NewJob::new(UPKEEP, KIND)
    };
    super::enqueue(connection, &job, now).await?;
    Ok(())
}

#[async_trait]
impl Handler for TenantRemoval {
    async fn run(&self, services: &Services, job: &Job) -> Result<Outcome, JobError> {
        let Some(tenant) = job.arguments["tenant"].as_str() else {
            return Ok(Outcome::Cancel("it names no tenant".to_owned()));
        };
        services
            .authority
            .destroy_tenant_keys(tenant)
            .await
            .map_err(|error| JobError::Failed(error.to_string()))?;
        loop {
            let mut write = services.store.write().await?;
            let removed = store::removal::step(&mut write, tenant, ROWS_AT_ONCE).await?;
            write.commit().await?;
            match removed {
                Some((table, rows)) => report::pruned(table, rows),
                None => return Ok(Outcome::Done),
            }
        }
    }
}
