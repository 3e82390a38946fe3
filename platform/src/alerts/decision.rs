//! What to do about an alert: a function of the one that is open and of what is wanted.

use crate::store::alerts::{Content, Open};

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Look at it.
    Warning,
    /// Act now.
    Critical,
}

impl Severity {
    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// It is as it should be.
    Nothing,
    /// There is none, and there should be.
    Raise(Content),
    /// The open one says something else.
    Change {
        /// The open one.
        id: String,
        /// What it should say.
        content: Content,
    },
    /// There is one, and there shouldn't be.
    Resolve {
        /// The open one.
        id: String,
    },
}

/// Decides. There is never a second alert about what one is open about, and a summary that only repeats itself in other
/// numbers changes nothing: an alert changes with its severity or its cause.
#[must_use]
pub fn decide(open: Option<&Open>, wanted: Option<Content>) -> Decision {
    match (open, wanted) {
        (None, None) => Decision::Nothing,
        (None, Some(content)) => Decision::Raise(content),
        (Some(open), None) => Decision::Resolve { id: open.id.clone() },
        (Some(open), Some(content)) if open.severity == content.severity && open.cause == content.cause => {
            Decision::Nothing
        }
        (Some(open), Some(content)) => Decision::Change {
            id: open.id.clone(),
            content,
        },
    }
}

/// How bad a check's status is; `None` where it is ok. A check that can't tell is a warning: what it watches may be fine.
#[must_use]
pub fn severity_of_status(status: &str) -> Option<Severity> {
    match status {
        "ok" => None,
        "critical" => Some(Severity::Critical),
        _ => Some(Severity::Warning),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn content(severity: &'static str, cause: &str) -> Content {
        Content {
            severity,
            summary: "s".into(),
            cause: cause.into(),
        }
    }

    /// Follows decisions as the database would.
    fn follow(open: Option<Open>, decision: Decision) -> (Option<Open>, bool) {
        let opened = |id: String, content: Content| Open {
            id,
            severity: content.severity.into(),
            summary: content.summary,
            cause: content.cause,
        };
        match decision {
            Decision::Nothing => (open, false),
            Decision::Raise(content) => (Some(opened("new".into(), content)), true),
            Decision::Change { id, content } => (Some(opened(id, content)), false),
            Decision::Resolve { .. } => (None, false),
        }
    }

    proptest! {
        #[test]
        fn an_alert_is_open_exactly_while_the_check_is_not_ok_and_is_raised_once_for_each_failure(
            statuses in proptest::collection::vec(prop_oneof!["ok", "warning", "critical", "unknown"], 0..40)
        ) {
            let mut open = None;
            let mut before = "ok".to_owned();
            for status in statuses {
                let wanted = severity_of_status(&status).map(|severity| content(severity.as_str(), &status));
                let (next, raised) = follow(open.clone(), decide(open.as_ref(), wanted));
                prop_assert_eq!(next.is_some(), status != "ok");
                prop_assert_eq!(raised, before == "ok" && status != "ok");
                open = next;
                before = status;
            }
        }
    }

    #[test]
    fn the_same_failure_again_changes_nothing() {
        let open = Open {
            id: "a".into(),
            severity: "critical".into(),
            summary: "old".into(),
            cause: "critical".into(),
        };
        assert_eq!(
            decide(Some(&open), Some(content("critical", "critical"))),
            Decision::Nothing
        );
    }

    #[test]
    fn a_worse_failure_changes_the_open_alert() {
        let open = Open {
            id: "a".into(),
            severity: "warning".into(),
            summary: "old".into(),
            cause: "warning".into(),
        };
        let decision = decide(Some(&open), Some(content("critical", "critical")));
        assert_eq!(
            decision,
            Decision::Change {
                id: "a".into(),
                content: content("critical", "critical")
            }
        );
    }
}
