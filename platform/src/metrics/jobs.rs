//! What the jobs say.

use metrics::{counter, describe_counter};

use crate::jobs::schedule::ScheduleError;
use crate::store::StoreError;

const FINISHED: &str = "picket_platform_jobs_finished_total";
const RESCUED: &str = "picket_platform_jobs_rescued_total";
const REFUSED: &str = "picket_platform_jobs_completions_refused_total";
const PRUNED: &str = "picket_platform_rows_pruned_total";

pub(super) fn describe() {
    describe_counter!(FINISHED, "Attempts that ended, by kind and outcome");
    describe_counter!(RESCUED, "Jobs whose worker stopped answering, by kind");
    describe_counter!(
        REFUSED,
        "Completions that came after the lease had been lost, by kind"
    );
    describe_counter!(PRUNED, "Rows that were older than they have to be kept, by table");
}

/// An attempt ended.
pub fn finished(kind: &str, outcome: &'static str) {
    counter!(FINISHED, "kind" => kind.to_owned(), "outcome" => outcome).increment(1);
    match outcome {
        "discarded" => tracing::error!(
            kind,
            "a job was given up after its last attempt; its row has the error"
        ),
        "failed" => tracing::warn!(kind, "a job failed; it is tried again"),
        _ => tracing::debug!(kind, outcome, "a job ended"),
    }
}

/// A job was put back.
pub fn rescued(kind: &str, id: &str) {
    counter!(RESCUED, "kind" => kind.to_owned()).increment(1);
    tracing::warn!(
        kind,
        id,
        "a job's worker stopped answering; the job is another's now"
    );
}

/// A worker came back too late.
pub fn completion_refused(kind: &str, id: &str) {
    counter!(REFUSED, "kind" => kind.to_owned()).increment(1);
    tracing::warn!(
        kind,
        id,
        "a job took longer than its lease; what it says is not written"
    );
}

/// The database refused a round.
pub fn round_failed(error: &StoreError) {
    tracing::warn!(%error, "looking for jobs failed; it is tried again");
}

/// A schedule can't be followed.
pub fn schedule_broken(error: &ScheduleError) {
    tracing::error!(%error, "a schedule can't be followed");
}

/// Rows were forgotten.
pub fn pruned(table: &'static str, rows: u64) {
    counter!(PRUNED, "table" => table).increment(rows);
    if rows > 0 {
        tracing::info!(table, rows, "forgot what is older than it has to be kept");
    }
}
