//! Runs one check: what it may use, the run itself, and what becomes of the outcome.
//!
//! - [`prepared`]: a configured check with its checker and what it lacks.
//! - [`state`]: the files behind the checkers' key-value store.
//! - [`secrets`]: the files behind secrets.
//! - [`convert`]: a sandbox's outcome as a result of the contract.
//! - [`learn`]: a run that shows what its check needs.
//! - [`meter`]: what each check has cost, and how it stands.
//! - [`now`]: running a check out of its turn.

pub mod convert;
pub mod learn;
pub mod meter;
pub mod now;
pub mod prepared;
pub mod secrets;
pub mod state;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use picket_identity::name::CheckName;
use picket_proto::agent::v1::{CheckResult, FailureClass};
use picket_sandbox::run::{Limits, RunSpec};
use prost::Message;

use crate::config;
use crate::internal_events as events;
use crate::schedule::course::{Course, Outcome};
use crate::schedule::table::Due;
use crate::schedule::{Finished, Run};
use crate::spool::{Appended, Spool, record};
use meter::Meters;
use prepared::Prepared;
use secrets::FileSecrets;
use state::FileState;

/// The checks as they are now, by name.
pub type Checks = BTreeMap<CheckName, Arc<Prepared>>;

/// Everything that runs need; shared by all of them.
#[derive(Debug)]
pub struct Runner {
    checks: Arc<ArcSwap<Checks>>,
    meters: Arc<Meters>,
    spool: Spool,
    executor: Executor,
}

/// Runs checks one by one and keeps nothing.
#[derive(Debug)]
pub struct Executor {
    limits: config::Limits,
    state: Arc<FileState>,
    secrets: Arc<FileSecrets>,
    /// Guests compute here, apart from the runtime that serves gateways: a busy checker delays no pull.
    guests: tokio::runtime::Handle,
}

impl Executor {
    /// Puts an executor together; guests run on `guests`.
    #[must_use]
    pub fn new(
        limits: config::Limits,
        state: Arc<FileState>,
        secrets: Arc<FileSecrets>,
        guests: tokio::runtime::Handle,
    ) -> Self {
        Self {
            limits,
            state,
            secrets,
            guests,
        }
    }

    fn spec(&self, prepared: &Prepared, scheduled_at_unix_ms: u64) -> RunSpec {
        RunSpec {
            check: prepared.name.to_string(),
            config: prepared.config_json(),
            grants: Arc::clone(&prepared.grants),
            limits: Limits {
                cpu: self.limits.cpu,
                wall: prepared.timeout,
                memory: usize::try_from(self.limits.memory).unwrap_or(usize::MAX),
                bytes: self.limits.bytes,
            },
            state: Arc::clone(&self.state) as _,
            secrets: Arc::clone(&self.secrets) as _,
            scheduled_at_unix_ms,
        }
    }

    /// Runs a check and gives its result, which goes nowhere.
    pub async fn execute(&self, prepared: &Prepared, scheduled_at_unix_ms: u64, skipped: u32) -> CheckResult {
        let spec = self.spec(prepared, scheduled_at_unix_ms);
        let mut result = match prepared.obstacle() {
            Some((class, sentence)) => convert::failed(class, &sentence),
            None => match prepared.checker.clone() {
                Some(checker) => {
                    let limits = spec.limits.clone();
                    match self.guests.spawn(async move { checker.run(spec).await }).await {
                        Ok(outcome) => {
                            events::checker_logged(&prepared.name, &outcome.logs);
                            convert::outcome(outcome, &limits)
                        }
                        Err(error) => convert::failed(
                            FailureClass::Crash,
                            &format!(
                                "the host failed to run the checker, which is a bug of agent-host: {error}"
                            ),
                        ),
                    }
                }
                None => convert::failed(FailureClass::NoChecker, "the checker isn't loaded"),
            },
        };
        result.check = prepared.name.to_string();
        result.checker = prepared.checker_name().to_owned();
        result.checker_version = prepared.checker_version().to_owned();
        result.interval_ms = u64::try_from(prepared.interval.as_millis()).unwrap_or(u64::MAX);
        result.scheduled_at_unix_ms = scheduled_at_unix_ms;
        result.skipped = skipped;
        if result.started_at_unix_ms == 0 {
            result.started_at_unix_ms = crate::schedule::unix_ms();
        }
        result
    }
}

impl Runner {
    /// Runs these checks, into that spool.
    #[must_use]
    pub fn new(checks: Arc<ArcSwap<Checks>>, meters: Arc<Meters>, spool: Spool, executor: Executor) -> Self {
        Self {
            checks,
            meters,
            spool,
            executor,
        }
    }

    async fn append(&self, result: &mut CheckResult) -> Appended {
        let mut payload = result.encode_to_vec();
        if payload.len() > record::MAX_PAYLOAD {
            // Within the contract's limits this can't be; a result that says so is better than none.
            *result = convert::too_large(result, payload.len());
            payload = result.encode_to_vec();
        }
        self.spool.append(payload).await
    }
}

impl Run for Runner {
    async fn run(&self, due: Due, scheduled_at_unix_ms: u64) -> Option<Finished> {
        let prepared = self.checks.load().get(&due.check).cloned()?;
        let mut result = self
            .executor
            .execute(&prepared, scheduled_at_unix_ms, due.skipped)
            .await;
        let course = due.course.after(Outcome::of(&result), due.retries);
        place(&mut result, course, due.period_ms);
        tell_health(&due, course);
        events::check_ran(&result);
        // A check that was removed while it ran leaves no numbers behind.
        if self.checks.load().contains_key(&due.check) {
            self.meters.record(&due.check, &result, course);
        }
        let appended = self.append(&mut result).await;
        Some(Finished {
            result,
            appended,
            course,
        })
    }

    fn crashed(&self, check: &CheckName, reason: &str) {
        events::run_crashed(check, reason);
    }
}

/// Writes into a result where it leaves its check: which attempt it was, and when the next result is to be expected.
fn place(result: &mut CheckResult, course: Course, period_ms: u64) {
    let health = course.health();
    result.attempt = course.attempt();
    result.hard = course.is_hard();
    result.interval_ms = health.spacing_ms(period_ms);
    if !health.is_failing() {
        return;
    }
    let mut sentence = format!("{} runs in a row crashed", health.crashes_in_row());
    if result.interval_ms > period_ms {
        let apart = Duration::from_millis(result.interval_ms);
        sentence = format!(
            "{sentence}: the next runs are about {} apart, until one doesn't",
            humantime::format_duration(apart)
        );
    }
    result.details = if result.details.is_empty() {
        sentence
    } else {
        format!("{}\n{sentence}", result.details)
    };
}

/// Once when a checker begins to fail and once when it is well again, not at each run.
fn tell_health(due: &Due, course: Course) {
    let (before, now) = (due.course.health(), course.health());
    match (before.is_failing(), now.is_failing()) {
        (false, true) => events::checker_failing(&due.check, now, now.spacing_ms(due.period_ms)),
        (true, false) => events::checker_recovered(&due.check),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_says_that_its_check_is_put_apart_and_when_the_next_one_comes() {
        let outcome = Outcome::Crashed(FailureClass::Crash);
        let mut course = Course::default();
        let mut seen = Vec::new();
        for _ in 0..4 {
            course = course.after(outcome, crate::schedule::course::Retries::default());
            let mut result = convert::failed(FailureClass::Crash, "the checker crashed\nat f");
            place(&mut result, course, 10_000);
            seen.push((result.attempt, result.hard, result.interval_ms, result.details));
        }
        assert_eq!(seen[1], (2, true, 10_000, "at f".to_owned()));
        let sentence = "at f\n3 runs in a row crashed: the next runs are about 20s apart, until one doesn't";
        assert_eq!(seen[2], (3, true, 20_000, sentence.to_owned()));
        assert_eq!(seen[3].2, 40_000);
    }

    /// What is logged meanwhile.
    fn logged(work: impl FnOnce()) -> String {
        #[derive(Clone, Default)]
        struct Lines(Arc<std::sync::Mutex<Vec<u8>>>);
        impl std::io::Write for Lines {
            fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
                self.0.lock().unwrap().extend_from_slice(bytes);
                Ok(bytes.len())
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .finish();
        tracing::subscriber::with_default(subscriber, work);
        let bytes = lines.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_checker_that_begins_to_fail_is_told_once_and_so_is_its_recovery() {
        let run = |course: Course, outcome| {
            let due = Due {
                check: "web".parse().unwrap(),
                late_ms: 0,
                skipped: 0,
                course,
                retries: crate::schedule::course::Retries::default(),
                period_ms: 10_000,
                subject: 0,
            };
            let course = course.after(outcome, due.retries);
            tell_health(&due, course);
            course
        };
        let log = logged(|| {
            let crash = Outcome::Crashed(FailureClass::Timeout);
            let course = (0..10).fold(Course::default(), |course, _| run(course, crash));
            let course = run(course, Outcome::NotOk);
            run(course, Outcome::Ok);
        });
        let lines: Vec<_> = log.lines().collect();
        assert_eq!(lines.len(), 2, "{log}");
        assert!(
            lines[0].contains("WARN") && lines[0].contains("keeps crashing"),
            "{log}"
        );
        assert!(
            lines[0].contains("failing: 3 of the last 3 runs crashed (timeout)"),
            "{log}"
        );
        assert!(
            lines[1].contains("INFO") && lines[1].contains("well again"),
            "{log}"
        );
    }
}
