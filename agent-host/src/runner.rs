//! Runs one check: what it may use, the run itself, and what becomes of the outcome.
//!
//! - [`prepared`]: a configured check with its checker and what it lacks.
//! - [`state`]: the files behind the checkers' key-value store.
//! - [`secrets`]: the files behind secrets.
//! - [`convert`]: a sandbox's outcome as a result of the contract.

pub mod convert;
pub mod prepared;
pub mod secrets;
pub mod state;

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use picket_identity::name::CheckName;
use picket_proto::agent::v1::{CheckResult, FailureClass};
use picket_sandbox::run::{Limits, RunSpec};
use prost::Message;

use crate::config;
use crate::internal_events as events;
use crate::schedule::table::Due;
use crate::schedule::{Finished, Run};
use crate::spool::{Appended, Spool, record};
use prepared::Prepared;
use secrets::FileSecrets;
use state::FileState;

/// The checks as they are now, by name.
pub type Checks = BTreeMap<CheckName, Arc<Prepared>>;

/// Everything that runs need; shared by all of them.
#[derive(Debug)]
pub struct Runner {
    checks: Arc<ArcSwap<Checks>>,
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

    /// Runs a check and gives its result, which goes nowhere.
    pub async fn execute(&self, prepared: &Prepared, scheduled_at_unix_ms: u64, skipped: u32) -> CheckResult {
        let spec = RunSpec {
            check: prepared.name.to_string(),
            config: prepared.config_json(),
            grants: Arc::clone(&prepared.grants),
            limits: Limits {
                cpu: self.limits.cpu,
                wall: prepared.timeout,
                memory: usize::try_from(self.limits.memory).unwrap_or(usize::MAX),
                ..Limits::default()
            },
            state: Arc::clone(&self.state) as _,
            secrets: Arc::clone(&self.secrets) as _,
            scheduled_at_unix_ms,
        };
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
    pub fn new(checks: Arc<ArcSwap<Checks>>, spool: Spool, executor: Executor) -> Self {
        Self {
            checks,
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
        events::check_ran(&result);
        let appended = self.append(&mut result).await;
        Some(Finished { result, appended })
    }

    fn crashed(&self, check: &CheckName, reason: &str) {
        events::run_crashed(check, reason);
    }
}
