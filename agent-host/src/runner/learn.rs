//! A run that shows what its check needs: for `check run --learn`.

use std::sync::Arc;

use picket_proto::agent::v1::CheckResult;
use picket_sandbox::grant::{FactKind, Grant, GrantSet};
use picket_sandbox::report::Need;

use super::prepared::Prepared;
use super::{Executor, convert};
use crate::schedule::unix_ms;

/// What a run showed.
#[derive(Clone, Debug)]
pub struct Lesson {
    /// The run's result.
    pub result: CheckResult,
    /// The least that this run would have needed: what it used, and of the check's own grants those that aren't given for
    /// the asking.
    pub least: Vec<Grant>,
    /// What the check is granted and this run didn't use.
    pub unused: Vec<Grant>,
    /// What the checker says that it needs and this run didn't use.
    pub announced: Vec<Need>,
    /// Sentences about what it was refused even so.
    pub refused: Vec<String>,
}

/// Given only where the check already has it: it could be carried away over the reach that a run has while it learns.
fn is_precious(grant: &Grant) -> bool {
    matches!(
        grant,
        Grant::Secret(_)
            | Grant::SecretReveal(_)
            | Grant::Read(_)
            | Grant::HostFacts(FactKind::ProcessArguments)
    )
}

impl Executor {
    /// Runs a check once with as much reach as it asks for, within bounds, and tells what it used. `None` where the check has
    /// no checker that could run.
    pub async fn learn(&self, prepared: &Prepared) -> Option<Lesson> {
        let checker = prepared.checker.clone()?;
        let precious: Vec<Grant> = prepared
            .grants
            .grants()
            .iter()
            .filter(|grant| is_precious(grant))
            .cloned()
            .collect();
        let set = precious.iter().cloned().collect::<GrantSet>().learning();
        let mut spec = self.spec(prepared, unix_ms());
        spec.grants = Arc::new(set);
        let limits = spec.limits.clone();
        let needs = checker.needs(&prepared.config_json()).await.unwrap_or_default();
        // A runtime that is ending has nobody left who waits for a lesson.
        let Ok(outcome) = self.guests.spawn(async move { checker.run(spec).await }).await else {
            return None;
        };
        let refused = outcome.denials.clone();
        let used = outcome.learned.clone();
        let is_used = |grant: &Grant| used.iter().any(|use_| grant.covers(use_));
        let unused = prepared.grants.grants().iter();
        let unused = unused
            .filter(|grant| !is_precious(grant) && !is_used(grant))
            .cloned()
            .collect();
        let announced = needs
            .into_iter()
            .filter(|need| !is_used(&need.grant) && !precious.iter().any(|own| own.covers(&need.grant)))
            .collect();
        let mut result = convert::outcome(outcome, &limits);
        result.check = prepared.name.to_string();
        result.checker = prepared.checker_name().to_owned();
        result.checker_version = prepared.checker_version().to_owned();
        let least = used.into_iter().chain(precious).collect();
        Some(Lesson {
            result,
            least,
            unused,
            announced,
            refused,
        })
    }
}
