//! Running a check out of its turn, for whoever asks.

use picket_identity::name::CheckName;
use picket_proto::agent::v1::CheckResult;

use crate::schedule::Scheduler;
use crate::schedule::table::Refused;
use crate::spool::{AppendError, Position, Spool};

/// Why a check that was to run now gave no result.
#[derive(Debug, thiserror::Error)]
pub enum RunNowError {
    /// There is no such check.
    #[error("there is no check `{0}` that can run on this agent")]
    Unknown(CheckName),
    /// It is running already.
    #[error("check `{0}` is running; ask again")]
    Running(CheckName),
    /// The agent is ending.
    #[error("the agent is shutting down")]
    Stopping,
    /// It ran, and its result isn't on disk.
    #[error(transparent)]
    Lost(#[from] AppendError),
}

/// Runs a check now, and waits until its result is on disk.
///
/// # Errors
/// It doesn't run, or its result is lost.
pub async fn run_now(
    scheduler: &Scheduler,
    spool: &Spool,
    check: CheckName,
) -> Result<(CheckResult, Position), RunNowError> {
    let finished = scheduler
        .run_now(check.clone())
        .await
        .map_err(|refused| match refused {
            Refused::Unknown => RunNowError::Unknown(check),
            Refused::Running => RunNowError::Running(check),
            Refused::Stopping => RunNowError::Stopping,
        })?;
    // Whoever asked to run it now wants it now: no waiting for others to share the sync.
    spool.flush().await;
    let position = finished.appended.durable().await?;
    Ok((finished.result, position))
}
