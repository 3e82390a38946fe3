//! Calling into a component, whatever it is: limits, clocks, and what it used up.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use wasmtime::{Store, UpdateDeadline};

use super::budget::{CpuMeter, Metered};
use super::store::RunState;
use super::{Failure, FailureClass, Limits, Logs, RunOutcome, Usage};
use crate::component::Checker;
use crate::component::inspect::CONTRACT;
use crate::grant::{Grant, GrantSet};
use crate::host::secret::{NoSecrets, SecretSource, SecretView};
use crate::host::state::{NoState, StateView};
use crate::net::guard::Guard;
use crate::report::Report;
use crate::wasi::exit::Ended;
use crate::wasi::stdio::CommandIo;

/// Bytes that one call may carry from the guest to the host. wasmtime's default is 128 MiB.
const HOSTCALL_BYTES: usize = 1 << 20;
/// Handles of a run. wasmtime's default is 100,000.
const MAX_HANDLES: usize = 256;
/// A checker that only knows "permission denied" from a socket gets the host's sentence added.
pub(super) fn with_denials(mut failure: Failure, denials: &[String]) -> Failure {
    if let Some(first) = denials.first()
        && !denials
            .iter()
            .any(|denial| failure.message.contains(denial.as_str()))
    {
        failure.message = format!("{} ({first})", failure.message);
    }
    failure
}

/// Everything that a call is made with.
pub(super) struct Guest<'a> {
    pub(super) checker: &'a Checker,
    pub(super) grants: Arc<GrantSet>,
    pub(super) limits: Limits,
    pub(super) state: StateView,
    pub(super) secrets: Arc<dyn SecretSource>,
    pub(super) command: Option<CommandIo>,
}

/// What is left of a call besides its result.
pub(super) struct Aftermath {
    usage: Usage,
    pub(super) logs: Logs,
    pub(super) denials: Vec<String>,
    learned: Vec<Grant>,
    /// `None` where there was no store.
    state: Option<StateView>,
    started_at_unix_ms: u64,
}

impl Aftermath {
    /// The outcome of a run. The check's state is kept where the guest said what counts.
    pub(super) async fn finish(self, result: Result<Report, Failure>, keeps_state: bool) -> RunOutcome {
        if keeps_state
            && let Some(state) = self.state
            && let Err(error) = state.commit().await
        {
            tracing::warn!(%error, "the state of a run is lost");
        }
        RunOutcome {
            result,
            usage: self.usage,
            logs: self.logs,
            denials: self.denials,
            learned: self.learned,
            started_at_unix_ms: self.started_at_unix_ms,
        }
    }
}

impl<'a> Guest<'a> {
    pub(super) fn without_authority(checker: &'a Checker) -> Self {
        Self {
            checker,
            grants: Arc::default(),
            limits: Limits::default(),
            state: StateView::new(String::new(), Arc::new(NoState)),
            secrets: Arc::new(NoSecrets),
            command: None,
        }
    }

    /// Instantiates and calls, within the limits.
    pub(super) async fn call<T, F>(self, function: F) -> (Result<T, Failure>, Aftermath)
    where
        F: AsyncFnOnce(&mut Store<RunState>) -> wasmtime::Result<T>,
    {
        let engine = self.checker.engine();
        // Closed never: the semaphore lives as long as the engine.
        let _place = engine.runs().acquire().await;
        let started = Instant::now();
        let started_at_unix_ms = unix_ms();
        let resolver = engine.services().resolver_for(self.state.check());
        let guard = Guard::new(self.grants, resolver);
        let guard = Arc::new(guard.moving_at_most(self.limits.bytes));
        let meter = Arc::new(CpuMeter::default());
        let secrets = SecretView::new(Arc::clone(&guard), self.secrets);
        let memory = self.limits.memory.min(engine.memory());
        let deadline = started + self.limits.wall;
        let services = Arc::clone(engine.services());
        let prepared = RunState::new(
            Arc::clone(&guard),
            services,
            self.state,
            secrets,
            memory,
            deadline,
            self.command,
        );
        let state = match prepared {
            Ok(state) => state,
            Err(failure) => {
                let nothing = Aftermath {
                    usage: Usage::default(),
                    logs: Logs::default(),
                    denials: guard.denials(),
                    learned: Vec::new(),
                    state: None,
                    started_at_unix_ms,
                };
                return (Err(failure), nothing);
            }
        };
        let mut store = store(self.checker, state, &meter, self.limits.cpu);
        let guest = Metered::new(function(&mut store), Arc::clone(&meter));
        let ended = within(self.limits.wall, guest).await;
        let (host_calls, bytes_in, bytes_out) = guard.counted();
        let usage = Usage {
            cpu: meter.spent(),
            wall: started.elapsed(),
            peak_memory: store.data().limiter.peak(),
            host_calls,
            bytes_in,
            bytes_out,
        };
        let result = match ended {
            // Whatever it made of it: a checker that moves this much does something else than checking.
            _ if let Err(spent) = guard.within_bytes() => Err(Failure::new(
                FailureClass::BadOutput,
                format!("the checker was stopped: {spent}"),
            )),
            None => Err(Failure::new(
                FailureClass::Timeout,
                format!(
                    "the checker was stopped: it took longer than its timeout of {:?}",
                    self.limits.wall
                ),
            )),
            Some(Ok(value)) => Ok(value),
            Some(Err(error)) => Err(stopped(&error, store.data(), &self.limits)),
        };
        let data = store.into_data();
        let (lines, dropped) = data.logs.finish();
        let aftermath = Aftermath {
            usage,
            logs: Logs {
                lines,
                dropped,
                stderr: data.stderr.text(),
            },
            denials: guard.denials(),
            learned: guard.learned(),
            state: Some(data.state),
            started_at_unix_ms,
        };
        (result, aftermath)
    }
}

async fn within<F: Future>(wall: Duration, future: F) -> Option<F::Output> {
    tokio::time::timeout(wall, future).await.ok()
}

fn store(checker: &Checker, state: RunState, meter: &Arc<CpuMeter>, cpu: Duration) -> Store<RunState> {
    let mut store = Store::new(checker.engine().wasmtime(), state);
    store.limiter(|state| &mut state.limiter);
    store.set_hostcall_fuel(HOSTCALL_BYTES);
    store.set_max_component_handles(MAX_HANDLES);
    store.set_epoch_deadline(1);
    let meter = Arc::clone(meter);
    store.epoch_deadline_callback(move |store| {
        store.data().guard.within_bytes()?;
        if meter.spent_in_poll() > cpu {
            return Err(CpuSpent.into());
        }
        // tokio's own way to yield lets other tasks run before this one is polled again.
        Ok(UpdateDeadline::YieldCustom(1, Box::pin(tokio::task::yield_now())))
    });
    store
}

/// The trap that the CPU budget raises.
#[derive(Debug, thiserror::Error)]
#[error("the CPU budget is spent")]
struct CpuSpent;

/// Tells why a guest was stopped. Only the first line of wasmtime's words is used: the rest is a backtrace.
fn stopped(error: &wasmtime::Error, state: &RunState, limits: &Limits) -> Failure {
    if error.downcast_ref::<CpuSpent>().is_some() {
        let message = format!(
            "the checker was stopped: it used up its CPU time of {:?}",
            limits.cpu
        );
        return Failure::new(FailureClass::Cpu, message);
    }
    if let Some(asked) = state.limiter.refused() {
        let limit = state.limiter.limit() >> 20;
        let message = format!(
            "the checker asked for {} MiB of memory, its limit is {limit} MiB",
            asked.div_ceil(1 << 20)
        );
        return Failure::new(FailureClass::Memory, message);
    }
    // The types of a component's exports are compared when it is first called. The words are wasmtime's.
    if error
        .chain()
        .any(|layer| layer.to_string().starts_with("type mismatch with"))
    {
        let message = format!(
            "the checker's functions have other types than in picket:checker {CONTRACT}; build it again with the SDK"
        );
        return Failure::new(FailureClass::NoChecker, message);
    }
    let root = error.root_cause().to_string();
    if root.contains("fuel allocated for hostcalls") {
        let message = "the checker handed over more than 1 MiB at once".to_owned();
        return Failure::new(FailureClass::BadOutput, message);
    }
    if let Some(Ended(exit)) = error.downcast_ref() {
        let message = format!("the checker ended its process {exit} instead of returning a report");
        return Failure::new(FailureClass::Crash, message);
    }
    let stderr = state.stderr.text();
    let said = stderr
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .take(2)
        .collect::<Vec<_>>()
        .join(" ");
    let said: String = said.chars().filter(|char| !char.is_control()).take(500).collect();
    let message = match error.downcast_ref::<wasmtime::Trap>() {
        Some(trap) if said.is_empty() => format!("the checker crashed: {trap}"),
        None if said.is_empty() => {
            format!("the checker crashed: {}", root.lines().next().unwrap_or_default())
        }
        _ => format!("the checker crashed: {said}"),
    };
    Failure::new(FailureClass::Crash, message)
}

pub(super) fn unix_ms() -> u64 {
    let since = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
