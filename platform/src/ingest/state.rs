//! What a batch's results change: a function of a check's state and of its results in their order.

use picket_proto::agent::v1::{CheckResult, FailureClass, Status};

use crate::clock::UnixMs;
use crate::store::checks::State;
use crate::store::from_db;

/// The word for a status. What no version of ours knows is `unknown`.
#[must_use]
pub const fn status_word(status: Status) -> &'static str {
    match status {
        Status::Ok => "ok",
        Status::Warning => "warning",
        Status::Critical => "critical",
        Status::Unknown | Status::Unspecified => "unknown",
    }
}

/// The word for why a run gave no report; empty where it gave one.
#[must_use]
pub const fn failure_word(failure: FailureClass) -> &'static str {
    match failure {
        FailureClass::Unspecified => "",
        FailureClass::Crash => "crash",
        FailureClass::Timeout => "timeout",
        FailureClass::Cpu => "cpu",
        FailureClass::Memory => "memory",
        FailureClass::BadOutput => "bad_output",
        FailureClass::Denied => "denied",
        FailureClass::InvalidConfig => "invalid_config",
        FailureClass::NoChecker => "no_checker",
        FailureClass::Failed => "failed",
        FailureClass::Unsupported => "unsupported",
    }
}

/// One result, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// Its sequence number.
    pub seq: u64,
    /// Its status.
    pub status: &'static str,
    /// When its run started, on the agent's clock.
    pub started_at: UnixMs,
}

impl Seen {
    /// Of a result.
    #[must_use]
    pub fn of(seq: u64, result: &CheckResult) -> Self {
        let started_at = i64::try_from(result.started_at_unix_ms).unwrap_or(i64::MAX);
        Self {
            seq,
            status: status_word(result.status()),
            started_at,
        }
    }
}

/// A change of status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// What it was; `None` for a check's first result.
    pub from: Option<String>,
    /// The result that made it.
    pub by: Seen,
}

/// What a check's results of one batch change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transition {
    /// The result that is the newest now.
    pub newest: Seen,
    /// Since when it is in that status.
    pub since_at: UnixMs,
    /// Every change on the way, in order.
    pub changes: Vec<Change>,
}

/// What one check's results of one batch, in their order, change. `None` where they are older than what is known: they
/// are history then and nothing else. Within a stream the sequence number decides, whatever the agent's clock does; of
/// another stream that is known (a spool put back from a copy), its time does.
#[must_use]
pub fn transition(
    before: Option<&State>,
    stream: &str,
    stream_is_new: bool,
    results: &[Seen],
) -> Option<Transition> {
    let is_news = |seen: &Seen| match before {
        None => true,
        Some(state) if state.stream == stream => seen.seq > from_db(state.seq),
        Some(state) => stream_is_new || seen.started_at >= state.started_at,
    };
    let mut status = before.map(|state| state.status.clone());
    let mut since_at = before.map_or(0, |state| state.since_at);
    let mut newest = None;
    let mut changes = Vec::new();
    for seen in results.iter().filter(|seen| is_news(seen)) {
        if status.as_deref() != Some(seen.status) {
            changes.push(Change {
                from: status.replace(seen.status.to_owned()),
                by: *seen,
            });
            since_at = seen.started_at;
        }
        newest = Some(*seen);
    }
    newest.map(|newest| Transition {
        newest,
        since_at,
        changes,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn seen(seq: u64, status: &'static str) -> Seen {
        Seen {
            seq,
            status,
            started_at: i64::try_from(seq).unwrap() * 1000,
        }
    }

    fn state(seq: i64, status: &str) -> State {
        State {
            status: status.into(),
            since_at: 500,
            stream: "s".into(),
            seq,
            started_at: seq * 1000,
        }
    }

    #[test]
    fn a_checks_first_result_is_a_change_from_nothing() {
        let transition = transition(None, "s", true, &[seen(1, "ok")]).unwrap();
        assert_eq!(
            transition.changes,
            [Change {
                from: None,
                by: seen(1, "ok")
            }]
        );
        assert_eq!(transition.since_at, 1000);
    }

    #[test]
    fn the_same_status_again_keeps_its_since() {
        let transition = transition(Some(&state(1, "ok")), "s", false, &[seen(2, "ok")]).unwrap();
        assert_eq!((transition.since_at, transition.changes.len()), (500, 0));
        assert_eq!(transition.newest.seq, 2);
    }

    #[test]
    fn each_change_inside_a_batch_is_recorded() {
        let results = [seen(2, "critical"), seen(3, "critical"), seen(4, "ok")];
        let transition = transition(Some(&state(1, "ok")), "s", false, &results).unwrap();
        let statuses: Vec<_> = transition.changes.iter().map(|change| change.by.status).collect();
        assert_eq!(statuses, ["critical", "ok"]);
        assert_eq!(transition.since_at, 4000);
    }

    #[test]
    fn a_clock_that_was_set_back_doesnt_hide_a_streams_newer_results() {
        let late = Seen {
            started_at: 10,
            ..seen(2, "critical")
        };
        assert!(transition(Some(&state(1, "ok")), "s", false, &[late]).is_some());
    }

    #[test]
    fn old_results_of_another_stream_are_history_only() {
        assert_eq!(
            transition(Some(&state(9, "ok")), "older", false, &[seen(2, "critical")]),
            None
        );
    }

    #[test]
    fn a_new_stream_wins_over_the_one_that_it_replaces() {
        assert!(transition(Some(&state(9, "ok")), "newer", true, &[seen(1, "critical")]).is_some());
    }

    proptest! {
        #[test]
        fn changes_always_lead_from_the_old_status_to_the_new_one(
            statuses in proptest::collection::vec(prop_oneof![Just("ok"), Just("warning"), Just("critical"), Just("unknown")], 1..30)
        ) {
            let results: Vec<_> = (2..).zip(&statuses).map(|(seq, status)| seen(seq, status)).collect();
            let before = state(1, "ok");
            let transition = transition(Some(&before), "s", false, &results).unwrap();
            let mut status = "ok".to_owned();
            for change in &transition.changes {
                prop_assert_eq!(change.from.as_deref(), Some(status.as_str()));
                prop_assert_ne!(change.by.status, status.as_str());
                status = change.by.status.to_owned();
            }
            prop_assert_eq!(status.as_str(), *statuses.last().unwrap());
        }
    }
}
