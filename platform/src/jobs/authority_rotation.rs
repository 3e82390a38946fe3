//! Goes on with rotations of authorities, every half minute while one is under way.

use async_trait::async_trait;

use super::{Handler, Job, JobError, NewJob, Outcome, UPKEEP};
use crate::app::Services;
use crate::clock::UnixMs;
use crate::store::{Connection, StoreError};

/// The kind of this job.
pub const KIND: &str = "authority-rotation";

/// How long until the next look.
const AGAIN_MS: i64 = 30_000;

/// The job.
#[derive(Debug)]
pub struct AuthorityRotation;

/// Has the job run, in the caller's transaction, unless it waits already.
///
/// # Errors
/// [`StoreError`].
pub async fn enqueue(connection: &mut Connection, now: UnixMs) -> Result<(), StoreError> {
    let job = NewJob {
        unique_key: Some(KIND),
        ..NewJob::new(UPKEEP, KIND)
    };
    super::enqueue(connection, &job, now).await?;
    Ok(())
}

#[async_trait]
impl Handler for AuthorityRotation {
    async fn run(&self, services: &Services, _job: &Job) -> Result<Outcome, JobError> {
        let more = services
            .authority
            .advance_rotations()
            .await
            .map_err(|error| JobError::Failed(error.to_string()))?;
        Ok(if more {
            Outcome::Snooze(AGAIN_MS)
        } else {
            Outcome::Done
        })
    }
}
