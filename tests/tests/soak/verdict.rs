//! What the minute came to, from the results alone.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use picket_proto::agent::v1::{CheckResult, FailureClass, Status};

use crate::checks::{Expected, HONEST};

/// Late by more than this is late. A run waits for a place, and for a processor that fifty others want too.
const LATE_MS: u64 = 2_000;
/// What guests count that worked, although it mustn't have.
const FORBIDDEN: [&str; 8] = [
    "sockets",
    "requests",
    "sent",
    "opened",
    "found",
    "stolen",
    "reached",
    "succeeded",
];

/// The wall clock, in ms since 1970.
pub(crate) fn unix_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |age| age.as_millis() as u64)
}

fn by_check(results: &[CheckResult]) -> BTreeMap<&str, Vec<&CheckResult>> {
    let mut checks: BTreeMap<&str, Vec<&CheckResult>> = BTreeMap::new();
    for result in results {
        checks.entry(&result.check).or_default().push(result);
    }
    checks
}

fn lateness(result: &CheckResult) -> u64 {
    result
        .started_at_unix_ms
        .saturating_sub(result.scheduled_at_unix_ms)
}

pub(crate) fn honest_checks_were_on_time_and_well(results: &[CheckResult], began: u64, ended: u64) {
    let during: Vec<_> = results
        .iter()
        .filter(|result| (began..ended).contains(&result.scheduled_at_unix_ms))
        .filter(|result| result.check.starts_with("honest-"))
        .cloned()
        .collect();
    let checks = by_check(&during);
    assert_eq!(checks.len(), HONEST);
    let expected = (ended - began) / 1_000;
    for (check, runs) in &checks {
        for run in runs {
            assert_eq!(run.failure(), FailureClass::Unspecified, "{run:?}");
            // What the machine's own figures say is the machine's business.
            let is_measured = ["cpu", "memory", "disk"].iter().any(|kind| check.contains(kind));
            assert!(is_measured || run.status() == Status::Ok, "{run:?}");
        }
        assert!(
            runs.len() as u64 * 10 >= expected * 9,
            "{check} ran {} times in {expected} s",
            runs.len()
        );
    }
    let mut late: Vec<u64> = during.iter().map(lateness).collect();
    late.sort_unstable();
    // A machine that stops for a moment makes a few runs late; an agent that is kept from its work makes many.
    let (most, worst) = (late[late.len() * 95 / 100], late[late.len() - 1]);
    assert!(
        most < LATE_MS && worst < 5 * LATE_MS,
        "19 of 20 honest runs were late by less than {most} ms, the worst by {worst} ms"
    );
    eprintln!(
        "{} honest runs; 19 of 20 late by less than {most} ms, the worst by {worst} ms",
        late.len()
    );
}

pub(crate) fn hostile_checks_came_to_what_they_must(results: &[CheckResult], hostile: &[Expected]) {
    let checks = by_check(results);
    for (name, expected) in hostile {
        let runs = checks.get(name).map(Vec::as_slice).unwrap_or_default();
        assert!(runs.len() >= 10, "{name} ran {} times", runs.len());
        assert!(
            runs.iter().any(|run| expected.contains(&run.failure())),
            "{name}: {:?}",
            runs[0]
        );
        for run in runs {
            // On a machine without time to spare any of them may run out of it first.
            let is_contained = expected.contains(&run.failure()) || run.failure() == FailureClass::Timeout;
            assert!(is_contained, "{name}: {run:?}");
            if run.failure() == FailureClass::Unspecified {
                let worked = run
                    .metrics
                    .iter()
                    .find(|metric| FORBIDDEN.contains(&metric.name.as_str()) && metric.value > 0.0);
                assert_eq!(worked, None, "{name}");
            } else {
                assert_eq!(run.status(), Status::Unknown, "{name}: {run:?}");
                assert!(!run.summary.is_empty(), "{name}");
            }
        }
    }
}
