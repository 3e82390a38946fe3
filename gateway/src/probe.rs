//! One agent, looked at step by step for a person: what was found at each step, why it fails, and what to do.

use std::time::Duration;

use serde::Serialize;

use crate::reachability::Failure;

mod verdict;
mod walk;

pub use verdict::{Fix, fix_for};
pub use walk::probe;

/// The steps, in the order in which they are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum StepName {
    /// The endpoint's name resolves.
    Dns,
    /// Something listens there.
    Tcp,
    /// It speaks TLS 1.3 and HTTP/2.
    Tls,
    /// Its certificate was issued by the tenant's CA, below the platform's root, and is valid.
    Chain,
    /// It is the agent that is expected.
    Identity,
    /// It is of the tenant that is expected.
    Tenant,
    /// It accepts this gateway, and answers.
    Answer,
    /// What it runs.
    Version,
    /// Its clock.
    Skew,
    /// What it still holds.
    Lag,
    /// The trust statement that it goes by.
    Trust,
}

impl StepName {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Dns,
        Self::Tcp,
        Self::Tls,
        Self::Chain,
        Self::Identity,
        Self::Tenant,
        Self::Answer,
        Self::Version,
        Self::Skew,
        Self::Lag,
        Self::Trust,
    ];

    /// The word for people.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Dns => "dns",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Chain => "chain",
            Self::Identity => "identity",
            Self::Tenant => "tenant",
            Self::Answer => "answer",
            Self::Version => "version",
            Self::Skew => "skew",
            Self::Lag => "lag",
            Self::Trust => "trust",
        }
    }
}

/// How a step went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Went {
    /// As it should.
    Ok,
    /// Not as it should.
    Failed,
    /// Not at all: an earlier one failed.
    Skipped,
}

/// One step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Step {
    /// Which.
    pub step: StepName,
    /// How it went.
    pub went: Went,
    /// What was found.
    pub found: String,
    /// Why it failed, in the word that logs, metrics and alerts use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
    /// How long it took, where that says something.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub took_ms: Option<u64>,
}

/// What kind of trouble there is, for the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// None.
    Ok,
    /// The agent answers, but something about it is wrong.
    Problems,
    /// The agent can't be reached.
    Unavailable,
    /// Somebody is there whose identity isn't accepted, or who doesn't accept ours.
    Refused,
}

/// What a probe found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ProbeReport {
    /// `tenant/agent`.
    pub agent: String,
    /// `host:port`.
    pub endpoint: String,
    /// The verdict.
    pub verdict: Verdict,
    /// Every step.
    pub steps: Vec<Step>,
}

/// A report that is being made.
struct Draft {
    steps: Vec<Step>,
    verdict: Verdict,
}

impl Draft {
    fn new() -> Self {
        Self {
            steps: Vec::new(),
            verdict: Verdict::Ok,
        }
    }

    fn passed(&mut self, step: StepName, found: impl Into<String>, took: Option<Duration>) {
        self.steps.push(Step {
            step,
            went: Went::Ok,
            found: found.into(),
            reason: None,
            fix: None,
            took_ms: took.map(|took| u64::try_from(took.as_millis()).unwrap_or(u64::MAX)),
        });
    }

    /// The agent answers, but this is wrong with it.
    fn problem(&mut self, step: StepName, found: impl Into<String>, reason: &str, fix: &str) {
        self.verdict = Verdict::Problems;
        self.steps.push(Step {
            step,
            went: Went::Failed,
            found: found.into(),
            reason: Some(reason.to_owned()),
            fix: Some(fix.to_owned()),
            took_ms: None,
        });
    }

    /// The walk ends here, with what is usually to be done about it.
    fn failed(&mut self, failure: &Failure) {
        self.failed_but(failure, fix_for(failure.cause).fix);
    }

    /// The walk ends here, and this is to be done about it.
    fn failed_but(&mut self, failure: &Failure, fix: &str) {
        let Fix { step, verdict, .. } = fix_for(failure.cause);
        self.verdict = verdict;
        // A handshake may run into a deadline after the connection was made: what has passed has passed.
        let next = StepName::ALL
            .into_iter()
            .find(|step| self.steps.iter().all(|taken| taken.step != *step));
        let step = next.map_or(step, |next| step.max(next));
        // A handshake is one step for the machine: what comes before the failing part of it has been passed.
        for between in StepName::ALL.into_iter().filter(|between| *between < step) {
            if !self.steps.iter().any(|taken| taken.step == between) {
                self.passed(between, "", None);
            }
        }
        self.steps.push(Step {
            step,
            went: Went::Failed,
            found: failure.detail.clone(),
            reason: Some(failure.cause.to_string()),
            fix: Some(fix.to_owned()),
            took_ms: None,
        });
    }

    fn finish(mut self, agent: String, endpoint: String) -> ProbeReport {
        for step in StepName::ALL {
            if !self.steps.iter().any(|taken| taken.step == step) {
                self.steps.push(Step {
                    step,
                    went: Went::Skipped,
                    found: String::new(),
                    reason: None,
                    fix: None,
                    took_ms: None,
                });
            }
        }
        ProbeReport {
            agent,
            endpoint,
            verdict: self.verdict,
            steps: self.steps,
        }
    }
}

#[cfg(test)]
mod tests {
    use picket_identity::verify::Reason;

    use super::*;
    use crate::reachability::Cause;

    #[test]
    fn steps_before_the_failing_one_passed_and_those_after_it_were_skipped() {
        let mut draft = Draft::new();
        draft.passed(StepName::Dns, "10.0.0.4", None);
        draft.passed(StepName::Tcp, "10.0.0.4:7443", None);
        draft.failed(&Failure::new(
            Cause::Identity(Reason::WrongTenant),
            "expected acme, got globex",
        ));
        let report = draft.finish("acme/berlin-1".to_owned(), "10.0.0.4:7443".to_owned());
        let went: Vec<(StepName, Went)> = report.steps.iter().map(|step| (step.step, step.went)).collect();
        let expected: Vec<(StepName, Went)> = StepName::ALL
            .into_iter()
            .map(|step| {
                let went = match step.cmp(&StepName::Tenant) {
                    std::cmp::Ordering::Less => Went::Ok,
                    std::cmp::Ordering::Equal => Went::Failed,
                    std::cmp::Ordering::Greater => Went::Skipped,
                };
                (step, went)
            })
            .collect();
        assert_eq!(went, expected);
        assert_eq!(report.verdict, Verdict::Refused);
    }
}
