//! Running a checker on a scripted host.

use std::collections::BTreeSet;
use std::time::Duration;

use super::MockHost;
use crate::bindings::picket::checker::types::Evidence;
use crate::host::Host;
use crate::{Checker, Context, Error, Report, Run, Status, checker, config};

const TIMEOUT: Duration = Duration::from_secs(10);

/// What a run gave, and which grants it took.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The report or the error.
    pub result: Result<Report, Error>,
    /// The grants that the checker says it needs.
    pub needs: BTreeSet<String>,
    /// The grants that it used.
    pub used: BTreeSet<String>,
}

/// Runs `C` once with a timeout of ten seconds.
#[must_use]
pub fn run<C: Checker>(host: &MockHost, config: &serde_json::Value) -> Outcome {
    run_with_timeout::<C>(host, config, TIMEOUT)
}

/// Runs `C` once.
#[must_use]
pub fn run_with_timeout<C: Checker>(
    host: &MockHost,
    config: &serde_json::Value,
    timeout: Duration,
) -> Outcome {
    host.0.used.borrow_mut().clear();
    let text = config.to_string();
    let needs = match checker::needs::<C>(&text) {
        Ok(needs) => needs.into_iter().map(|need| need.grant).collect(),
        Err(error) => {
            return Outcome {
                result: Err(error),
                needs: BTreeSet::new(),
                used: BTreeSet::new(),
            };
        }
    };
    let request = Run {
        check: "test".to_owned(),
        timeout,
        scheduled_at_unix_ms: host.unix_ms(),
    };
    let mut context = Context::new(request, host.clone());
    let result = config::parse::<C::Config>(&text).and_then(|config| C::run(&mut context, config));
    Outcome {
        result,
        needs,
        used: host.used(),
    }
}

impl Outcome {
    /// The grants that were used though the checker didn't say that it needs them.
    #[must_use]
    pub fn undeclared(&self) -> Vec<String> {
        self.used.difference(&self.needs).cloned().collect()
    }

    /// The grants that the checker says it needs and didn't use.
    #[must_use]
    pub fn unused(&self) -> Vec<String> {
        self.needs.difference(&self.used).cloned().collect()
    }

    /// The report's status; unknown for an error.
    #[must_use]
    pub fn status(&self) -> Status {
        self.result.as_ref().map_or(Status::Unknown, Report::status)
    }

    /// The report's summary, or the error's message.
    #[must_use]
    pub fn summary(&self) -> String {
        match &self.result {
            Ok(report) => report.summary(),
            Err(error) => error.message().to_owned(),
        }
    }

    /// The value of a metric, by name and the value of one of its labels (or "" for any).
    #[must_use]
    pub fn value(&self, name: &str, label: &str) -> Option<f64> {
        self.result.as_ref().ok()?.value(name, label)
    }

    /// The report's evidence of a kind.
    #[must_use]
    pub fn evidence(&self, kind: &str) -> Option<Evidence> {
        let report = self.result.clone().ok()?.into_wire();
        report.evidence.into_iter().find(|evidence| evidence.kind == kind)
    }
}
