//! What goes over the control socket. `agent-host top -o json` prints [`Top`] as it is: fields are added, never changed.

use std::collections::BTreeMap;

use picket_identity::name::CheckName;
use picket_proto::agent::v1::Status;
use serde::{Deserialize, Serialize};

use super::result::ResultModel;
use crate::runner::Checks;
use crate::runner::convert::{failure_word, status_word};
use crate::runner::meter::{Healths, Meter};
use crate::schedule::table::Outlook;

/// A running agent at one moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Top {
    /// Its SPIFFE ID.
    pub spiffe_id: String,
    /// Its clock.
    pub now_unix_ms: u64,
    /// When it started.
    pub started_at_unix_ms: u64,
    /// How many runs it lets be under way at once.
    pub concurrent_runs: u64,
    /// Its checks, by name.
    pub checks: Vec<TopCheck>,
}

/// One check: what its runs cost since the agent started or the check was added, and how it stands.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TopCheck {
    /// Its name.
    pub check: String,
    /// Its checker.
    pub checker: String,
    /// The checker's version.
    pub checker_version: String,
    /// The newest result's status; `None` before the first.
    pub status: Option<String>,
    /// Why it gave no report.
    pub failure: Option<String>,
    /// Results in a row that weren't ok.
    pub attempt: u32,
    /// Whether the state counts.
    pub hard: bool,
    /// `healthy`, or `failing: …`; empty before the first run.
    pub health: String,
    /// Why it can't run as configured.
    pub problem: Option<String>,
    /// Whether it runs now, or waits for a place to run in.
    pub running: bool,
    /// Runs that ended.
    pub runs: u64,
    /// Runs that didn't happen.
    pub skipped: u64,
    /// CPU time of the newest run, in µs.
    pub cpu_last_us: u64,
    /// The mean of all runs.
    pub cpu_avg_us: u64,
    /// The sum of all runs.
    pub cpu_total_us: u64,
    /// CPU time of all runs, in percent of the time since the first was due: 100 is one core.
    pub core_percent: f64,
    /// Wall time of the newest run, in µs, without waiting for a place to run in.
    pub wall_last_us: u64,
    /// The mean of all runs.
    pub wall_avg_us: u64,
    /// Peak memory of the newest run.
    pub memory_last_bytes: u64,
    /// The highest of all runs.
    pub memory_max_bytes: u64,
    /// What a run may have.
    pub memory_limit_bytes: u64,
    /// Calls of host interfaces by the newest run.
    pub host_calls_last: u64,
    /// By all runs.
    pub host_calls_total: u64,
    /// Bytes that all runs sent.
    pub sent_bytes: u64,
    /// Bytes that all runs received.
    pub received_bytes: u64,
    /// From when the newest run was due to when it started.
    pub late_ms: u64,
    /// The longest of these.
    pub late_max_ms: u64,
    /// How long it is until the next run; `None` where there is none.
    pub next_in_ms: Option<u64>,
}

/// What came of a check that was run now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ran {
    /// Its result.
    pub result: ResultModel,
    /// Where it is in the spool.
    pub stream: String,
    /// Its number there.
    pub seq: u64,
}

/// Why a request isn't answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// A sentence.
    pub error: String,
}

/// The lines of [`Top`].
#[must_use]
pub fn lines(
    checks: &Checks,
    meters: &BTreeMap<CheckName, Meter>,
    outlook: &[Outlook],
    now_unix_ms: u64,
) -> Vec<TopCheck> {
    let outlook: BTreeMap<_, _> = outlook.iter().map(|outlook| (&outlook.check, outlook)).collect();
    let healths = Healths::new(checks, meters);
    let line = |(name, check): (&CheckName, &std::sync::Arc<crate::runner::prepared::Prepared>)| {
        let mut line = meters
            .get(name)
            .map(|meter| measured(meter, now_unix_ms))
            .unwrap_or_default();
        line.check = name.to_string();
        line.checker = check.checker_name().to_owned();
        line.checker_version = check.checker_version().to_owned();
        line.health = healths.of_check(name);
        line.problem = check.problem().map(str::to_owned);
        if let Some(outlook) = outlook.get(name) {
            line.running = outlook.running;
            line.next_in_ms = outlook.next_in_ms;
        }
        line
    };
    checks.iter().map(line).collect()
}

fn measured(meter: &Meter, now_unix_ms: u64) -> TopCheck {
    let runs = meter.run_count();
    let mean = |total: u64| total.checked_div(runs).unwrap_or(0);
    // At least a millisecond: the first run may just have been due.
    let since_ms = now_unix_ms.saturating_sub(meter.since_unix_ms).max(1);
    TopCheck {
        status: (meter.status != Status::Unspecified).then(|| status_word(meter.status).to_owned()),
        failure: failure_word(meter.failure).map(str::to_owned),
        attempt: meter.course.attempt(),
        hard: meter.course.is_hard(),
        runs,
        skipped: meter.skipped,
        cpu_last_us: meter.last.cpu_us,
        cpu_avg_us: mean(meter.total.cpu_us),
        cpu_total_us: meter.total.cpu_us,
        core_percent: meter.total.cpu_us as f64 / 10.0 / since_ms as f64,
        wall_last_us: meter.last.wall_us,
        wall_avg_us: mean(meter.total.wall_us),
        memory_last_bytes: meter.last.peak_memory_bytes,
        memory_max_bytes: meter.total.peak_memory_bytes,
        memory_limit_bytes: meter.last.memory_limit_bytes,
        host_calls_last: meter.last.host_calls,
        host_calls_total: meter.total.host_calls,
        sent_bytes: meter.total.bytes_sent,
        received_bytes: meter.total.bytes_received,
        late_ms: meter.late_ms,
        late_max_ms: meter.most_late_ms,
        ..TopCheck::default()
    }
}

#[cfg(test)]
mod tests {
    use picket_proto::agent::v1::Usage;

    use super::*;

    #[test]
    fn means_and_shares_are_of_all_runs() {
        let meter = Meter {
            since_unix_ms: 1_000,
            runs: [3, 1, 0, 0],
            status: Status::Warning,
            total: Usage {
                cpu_us: 500_000,
                wall_us: 8_000_000,
                ..Usage::default()
            },
            ..Meter::default()
        };
        let line = measured(&meter, 11_000);
        assert_eq!(
            (line.runs, line.cpu_avg_us, line.wall_avg_us),
            (4, 125_000, 2_000_000)
        );
        // Half a second in ten.
        assert!((line.core_percent - 5.0).abs() < 1e-9, "{}", line.core_percent);
        assert_eq!(line.status.as_deref(), Some("warning"));
        assert_eq!(measured(&Meter::default(), 0).status, None);
    }
}
