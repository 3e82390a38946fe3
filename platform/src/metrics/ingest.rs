//! What ingest says.

use std::time::Duration;

use metrics::{counter, describe_counter, describe_histogram, histogram};

use crate::store::StoreError;

const BATCHES: &str = "picket_platform_batches_total";
const RESULTS: &str = "picket_platform_results_committed_total";
const LOST: &str = "picket_platform_results_lost_total";
const COMMIT: &str = "picket_platform_ingest_commit_seconds";

pub(super) fn describe() {
    describe_counter!(BATCHES, "Batches that were submitted, by outcome");
    describe_counter!(RESULTS, "Results that were committed");
    describe_counter!(LOST, "Results that agents reported as lost");
    describe_histogram!(
        COMMIT,
        metrics::Unit::Seconds,
        "How long one transaction of batches took"
    );
}

/// A batch was answered.
pub fn answered(outcome: &'static str) {
    counter!(BATCHES, "outcome" => outcome).increment(1);
}

/// Results were committed.
pub fn committed(results: u64, lost: u64) {
    counter!(RESULTS).increment(results);
    counter!(LOST).increment(lost);
}

/// A transaction of batches ended.
pub fn flushed(batches: usize, took: Duration) {
    histogram!(COMMIT).record(took.as_secs_f64());
    tracing::trace!(batches, ?took, "committed batches");
}

/// A batch isn't what it claims to be.
pub fn refused(gateway: &str, tenant: &str, agent: &str, detail: &str) {
    tracing::warn!(gateway, tenant, agent, detail, "a batch was refused");
}

/// A transaction of batches failed.
pub fn flush_failed(error: &StoreError) {
    tracing::error!(%error, "batches could not be committed; the agents keep them");
}
