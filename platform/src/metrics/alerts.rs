//! What the alerts say.

use metrics::{counter, describe_counter};

use crate::store::StoreError;
use crate::store::alerts::{Content, Subject};

const RAISED: &str = "picket_platform_alerts_raised_total";
const RESOLVED: &str = "picket_platform_alerts_resolved_total";

pub(super) fn describe() {
    describe_counter!(RAISED, "Alerts raised, by kind");
    describe_counter!(RESOLVED, "Alerts resolved, by kind");
}

/// An alert was raised.
pub fn raised(subject: &Subject<'_>, content: &Content) {
    counter!(RAISED, "kind" => subject.kind.to_owned()).increment(1);
    tracing::info!(
        tenant = subject.tenant,
        kind = subject.kind,
        agent = subject.agent,
        check = subject.name,
        severity = content.severity,
        cause = content.cause,
        "alert raised"
    );
}

/// An alert was resolved.
pub fn resolved(subject: &Subject<'_>) {
    counter!(RESOLVED, "kind" => subject.kind.to_owned()).increment(1);
    tracing::info!(
        tenant = subject.tenant,
        kind = subject.kind,
        agent = subject.agent,
        check = subject.name,
        "alert resolved"
    );
}

/// The freshness scan could not read or write.
pub fn scan_failed(error: &StoreError) {
    tracing::warn!(%error, "the freshness scan failed; it is tried again");
}
