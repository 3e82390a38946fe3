//! Calling into a component, and judging what comes back.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use wasmtime::{Store, UpdateDeadline};

use super::budget::{CpuMeter, Metered};
use super::store::RunState;
use super::{Failure, FailureClass, Limits, Logs, RunOutcome, RunSpec, Usage};
use crate::abi::v0_1;
use crate::component::Checker;
use crate::grant::GrantSet;
use crate::host::secret::{NoSecrets, SecretView};
use crate::host::state::{NoState, StateView};
use crate::net::guard::Guard;
use crate::report::limits::{check_descriptor, check_report};
use crate::report::{Descriptor, Need, Report};

/// Bytes that one call may carry from the guest to the host. wasmtime's default is 128 MiB.
const HOSTCALL_BYTES: usize = 1 << 20;
/// Handles of a run. wasmtime's default is 100,000.
const MAX_HANDLES: usize = 256;
/// How many needs a checker may name.
const MAX_NEEDS: usize = 256;

/// Runs a check once. It waits where the engine's places are all taken; that time isn't the run's.
///
/// The future may be dropped at any time: the run ends with it, and its state stays as it was.
pub async fn run(checker: &Checker, spec: RunSpec) -> RunOutcome {
    let RunSpec {
        check,
        config,
        grants,
        limits,
        state,
        secrets,
        scheduled_at_unix_ms,
    } = spec;
    let state = StateView::new(check.clone(), state);
    let request = v0_1::request(check, config, limits.wall, scheduled_at_unix_ms);
    let guest = Guest {
        checker,
        grants,
        limits,
        state,
        secrets,
    };
    let call = guest
        .call(async |bindings, store| v0_1::run(bindings, store, &request).await)
        .await;
    let refused_itself = matches!(call.result, Ok(Err(_)));
    let result = match call.result {
        Ok(Ok(report)) => judge(report),
        Ok(Err(failure)) => Err(with_denials(failure, &call.denials)),
        Err(failure) => Err(failure),
    };
    // What a checker reports or says itself counts; a run that was stopped, or that said nonsense, changes nothing.
    let own_words = result.is_ok() || refused_itself;
    if own_words
        && let Some(state) = call.state
        && let Err(error) = state.commit().await
    {
        tracing::warn!(%error, "the state of a run is lost");
    }
    RunOutcome {
        result,
        usage: call.usage,
        logs: call.logs,
        denials: call.denials,
        started_at_unix_ms: call.started_at_unix_ms,
    }
}

fn judge(report: Report) -> Result<Report, Failure> {
    match check_report(&report) {
        Ok(()) => Ok(report),
        Err(reason) => Err(Failure::new(
            FailureClass::BadOutput,
            format!("the checker's report breaks the contract: {reason}"),
        )),
    }
}

/// A checker that only knows "permission denied" from a socket gets the host's sentence added.
fn with_denials(mut failure: Failure, denials: &[String]) -> Failure {
    if let Some(first) = denials.first()
        && !denials
            .iter()
            .any(|denial| failure.message.contains(denial.as_str()))
    {
        failure.message = format!("{} ({first})", failure.message);
    }
    failure
}

pub(crate) async fn describe(checker: &Checker) -> Result<Descriptor, Failure> {
    let guest = Guest::without_authority(checker);
    let call = guest
        .call(async |bindings, store| v0_1::describe(bindings, store).await)
        .await;
    let descriptor = call.result?;
    check_descriptor(&descriptor).map_err(|reason| {
        Failure::new(
            FailureClass::BadOutput,
            format!("the checker's description breaks the contract: {reason}"),
        )
    })?;
    Ok(descriptor)
}

pub(crate) async fn needs(checker: &Checker, config: &str) -> Result<Vec<Need>, Failure> {
    let guest = Guest::without_authority(checker);
    let call = guest
        .call(async |bindings, store| v0_1::needs(bindings, store, config).await)
        .await;
    let needs = call.result??;
    let bad = |reason: String| {
        Failure::new(
            FailureClass::BadOutput,
            format!("the checker's needs break the contract: {reason}"),
        )
    };
    if needs.len() > MAX_NEEDS {
        return Err(bad(format!(
            "{} of them, at most {MAX_NEEDS} are allowed",
            needs.len()
        )));
    }
    needs
        .into_iter()
        .map(|(grant, reason)| {
            let grant = grant
                .parse()
                .map_err(|error: crate::grant::GrantError| bad(error.to_string()))?;
            Ok(Need {
                grant,
                reason: reason
                    .chars()
                    .filter(|char| !char.is_control())
                    .take(256)
                    .collect(),
            })
        })
        .collect()
}

struct Guest<'a> {
    checker: &'a Checker,
    grants: Arc<GrantSet>,
    limits: Limits,
    state: StateView,
    secrets: Arc<dyn crate::host::secret::SecretSource>,
}

/// What came of one call.
struct Call<T> {
    result: Result<T, Failure>,
    usage: Usage,
    logs: Logs,
    denials: Vec<String>,
    /// `None` where the store is gone.
    state: Option<StateView>,
    started_at_unix_ms: u64,
}

impl<'a> Guest<'a> {
    fn without_authority(checker: &'a Checker) -> Self {
        Self {
            checker,
            grants: Arc::default(),
            limits: Limits::default(),
            state: StateView::new(String::new(), Arc::new(NoState)),
            secrets: Arc::new(NoSecrets),
        }
    }

    async fn call<T, F>(self, function: F) -> Call<T>
    where
        F: AsyncFnOnce(&crate::bindings::Checker, &mut Store<RunState>) -> wasmtime::Result<T>,
    {
        let engine = self.checker.engine();
        // Closed never: the semaphore lives as long as the engine.
        let _place = engine.runs().acquire().await;
        let started = Instant::now();
        let started_at_unix_ms = unix_ms();
        let guard = Guard::new(self.grants, Arc::clone(&engine.services().resolver));
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
        );
        let state = match prepared {
            Ok(state) => state,
            Err(failure) => {
                return Call {
                    result: Err(failure),
                    usage: Usage::default(),
                    logs: Logs::default(),
                    denials: guard.denials(),
                    state: None,
                    started_at_unix_ms,
                };
            }
        };
        let mut store = store(self.checker, state, &meter, self.limits.cpu);
        let guest = async {
            let bindings = self.checker.bindings().instantiate_async(&mut store).await?;
            function(&bindings, &mut store).await
        };
        let ended = within(self.limits.wall, Metered::new(guest, Arc::clone(&meter))).await;
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
        Call {
            result,
            usage,
            logs: Logs {
                lines,
                dropped,
                stderr: data.stderr.text(),
            },
            denials: guard.denials(),
            state: Some(data.state),
            started_at_unix_ms,
        }
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
    let root = error.root_cause().to_string();
    if root.contains("fuel allocated for hostcalls") {
        let message = "the checker handed over more than 1 MiB at once".to_owned();
        return Failure::new(FailureClass::BadOutput, message);
    }
    if let Some(exit) = error.downcast_ref::<wasmtime_wasi::I32Exit>() {
        let message = format!(
            "the checker ended its process with code {} instead of returning a report",
            exit.0
        );
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

fn unix_ms() -> u64 {
    let since = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
