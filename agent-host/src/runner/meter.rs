//! What each check has cost and how it stands: the numbers behind metrics, `top` and `Describe`.
//!
//! One entry for each check that there is: the numbers of a check that is removed go with it.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use picket_identity::name::CheckName;
use picket_proto::agent::v1::{CheckResult, FailureClass, Status, Usage};

use super::Checks;
use crate::schedule::course::Course;
use crate::schedule::health::Health;

/// One check's numbers, since the agent started or the check was added.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Meter {
    /// When its first run was due, in ms since 1970.
    pub since_unix_ms: u64,
    /// The checker that ran last, as results name it.
    pub checker: String,
    /// Its version.
    pub checker_version: String,
    /// Runs that ended ok, warning, critical, unknown.
    pub runs: [u64; 4],
    /// Runs that didn't happen.
    pub skipped: u64,
    /// What all runs used, limits left out; the peak of memory is the highest.
    pub total: Usage,
    /// What the newest run used, with its limits.
    pub last: Usage,
    /// From when the newest run was due to when it started, in ms.
    pub late_ms: u64,
    /// The same, the longest.
    pub most_late_ms: u64,
    /// The newest run's status.
    pub status: Status,
    /// Why it gave no report.
    pub failure: FailureClass,
    /// Where the check stands.
    pub course: Course,
}

/// The statuses that [`Meter::runs`] counts, in its order.
pub const STATUSES: [Status; 4] = [Status::Ok, Status::Warning, Status::Critical, Status::Unknown];

impl Meter {
    /// The numbers after one more run.
    fn record(&mut self, result: &CheckResult, course: Course) {
        if self.since_unix_ms == 0 {
            self.since_unix_ms = result.scheduled_at_unix_ms;
        }
        if self.checker != result.checker || self.checker_version != result.checker_version {
            self.checker.clone_from(&result.checker);
            self.checker_version.clone_from(&result.checker_version);
        }
        self.status = result.status();
        self.failure = result.failure();
        let place = STATUSES.iter().position(|&status| status == self.status);
        // What has no status is unknown.
        if let Some(count) = self.runs.get_mut(place.unwrap_or(3)) {
            *count += 1;
        }
        self.skipped += u64::from(result.skipped);
        self.late_ms = late_ms(result);
        self.most_late_ms = self.most_late_ms.max(self.late_ms);
        self.last = result.usage.unwrap_or_default();
        let (total, last) = (&mut self.total, &self.last);
        total.cpu_us = total.cpu_us.saturating_add(last.cpu_us);
        total.wall_us = total.wall_us.saturating_add(last.wall_us);
        total.host_calls = total.host_calls.saturating_add(last.host_calls);
        total.bytes_sent = total.bytes_sent.saturating_add(last.bytes_sent);
        total.bytes_received = total.bytes_received.saturating_add(last.bytes_received);
        total.peak_memory_bytes = total.peak_memory_bytes.max(last.peak_memory_bytes);
        self.course = course;
    }

    /// All runs.
    #[must_use]
    pub fn run_count(&self) -> u64 {
        self.runs.iter().sum()
    }
}

/// How late a result's run started, in ms: also by waiting for a place to run in.
#[must_use]
pub fn late_ms(result: &CheckResult) -> u64 {
    result
        .started_at_unix_ms
        .saturating_sub(result.scheduled_at_unix_ms)
}

/// The meters of all checks.
#[derive(Debug, Default)]
pub struct Meters {
    by_check: Mutex<BTreeMap<CheckName, Meter>>,
}

impl Meters {
    /// Counts a run.
    pub fn record(&self, check: &CheckName, result: &CheckResult, course: Course) {
        let mut meters = self.lock();
        if !meters.contains_key(check) {
            meters.insert(check.clone(), Meter::default());
        }
        if let Some(meter) = meters.get_mut(check) {
            meter.record(result, course);
        }
    }

    /// Forgets the checks that are gone.
    pub fn retain(&self, wanted: impl Fn(&CheckName) -> bool) {
        self.lock().retain(|check, _| wanted(check));
    }

    /// Every check that has run.
    #[must_use]
    pub fn snapshot(&self) -> BTreeMap<CheckName, Meter> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<CheckName, Meter>> {
        // Numbers have no state that a panic could leave half done.
        self.by_check.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How checks and checkers do, in words; empty for those that haven't run.
#[derive(Clone, Debug, Default)]
pub struct Healths {
    by_check: BTreeMap<CheckName, Health>,
    by_digest: BTreeMap<String, Vec<Health>>,
}

impl Healths {
    /// Of these checks, as far as they have run.
    #[must_use]
    pub fn new(checks: &Checks, meters: &BTreeMap<CheckName, Meter>) -> Self {
        let mut healths = Self::default();
        for (name, check) in checks {
            let Some(meter) = meters.get(name) else { continue };
            let health = meter.course.health();
            healths.by_check.insert(name.clone(), health);
            if let Some(checker) = &check.checker {
                let of_checker = healths.by_digest.entry(checker.digest().to_owned());
                of_checker.or_default().push(health);
            }
        }
        healths
    }

    /// A check's.
    #[must_use]
    pub fn of_check(&self, check: &CheckName) -> String {
        words(self.by_check.get(check).copied())
    }

    /// That of all checks of the checker with this digest.
    #[must_use]
    pub fn of_checker(&self, digest: &str) -> String {
        words(self.by_digest.get(digest).into_iter().flatten().copied())
    }
}

fn words(healths: impl IntoIterator<Item = Health>) -> String {
    Health::of_checker(healths).map_or_else(String::new, |health| health.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result(status: Status, cpu_us: u64, memory: u64, late_ms: u64) -> CheckResult {
        CheckResult {
            checker: "http".to_owned(),
            status: status.into(),
            scheduled_at_unix_ms: 1_000,
            started_at_unix_ms: 1_000 + late_ms,
            skipped: 1,
            usage: Some(Usage {
                cpu_us,
                peak_memory_bytes: memory,
                memory_limit_bytes: 64,
                ..Usage::default()
            }),
            ..CheckResult::default()
        }
    }

    #[test]
    fn runs_add_up_and_peaks_stay() {
        let meters = Meters::default();
        let check: CheckName = "web".parse().unwrap();
        meters.record(&check, &result(Status::Ok, 10, 30, 500), Course::default());
        meters.record(&check, &result(Status::Unknown, 5, 20, 0), Course::default());
        let meter = &meters.snapshot()[&check];
        assert_eq!(meter.runs, [1, 0, 0, 1]);
        assert_eq!((meter.run_count(), meter.skipped), (2, 2));
        assert_eq!((meter.total.cpu_us, meter.last.cpu_us), (15, 5));
        assert_eq!(
            (meter.total.peak_memory_bytes, meter.last.peak_memory_bytes),
            (30, 20)
        );
        assert_eq!(
            (meter.late_ms, meter.most_late_ms, meter.since_unix_ms),
            (0, 500, 1_000)
        );
        assert_eq!(meter.checker, "http");
    }

    #[test]
    fn a_check_that_is_gone_takes_its_numbers_along() {
        let meters = Meters::default();
        for check in ["web", "dns"] {
            meters.record(
                &check.parse().unwrap(),
                &result(Status::Ok, 1, 1, 0),
                Course::default(),
            );
        }
        meters.retain(|check| check.as_str() == "dns");
        let left: Vec<_> = meters
            .snapshot()
            .into_keys()
            .map(|check| check.to_string())
            .collect();
        assert_eq!(left, ["dns"]);
    }
}
