//! One run of one check: a fresh store, two clocks, a memory limit, and an outcome whatever happens.
//!
//! * `call`: a call into a component, whatever it is, and what it used up.
//! * `contract`: components of the contract.
//! * `command`: programs that print a Nagios line.

mod budget;
mod call;
mod command;
mod contract;
mod failure;
mod limiter;
mod logs;
mod spec;
mod store;

pub(crate) use command::command_name;
pub use failure::{Failure, FailureClass};
pub use spec::{Limits, LogLevel, LogLine, Logs, RunOutcome, RunSpec, Usage};
pub(crate) use store::RunState;

use crate::component::{Checker, Program};
use crate::report::{Descriptor, Need};

/// Runs a check once. It waits where the engine's places are all taken; that time isn't the run's.
///
/// The future may be dropped at any time: the run ends with it, and its state stays as it was.
pub async fn run(checker: &Checker, spec: RunSpec) -> RunOutcome {
    match checker.program() {
        Program::Contract(bindings) => contract::run(checker, bindings, spec).await,
        Program::Command(pre) => command::run(checker, pre, spec).await,
    }
}

pub(crate) async fn describe(checker: &Checker) -> Result<Descriptor, Failure> {
    match checker.program() {
        Program::Contract(bindings) => contract::describe(checker, bindings).await,
        Program::Command(_) => Ok(command::describe(checker)),
    }
}

pub(crate) async fn needs(checker: &Checker, config: &str) -> Result<Vec<Need>, Failure> {
    match checker.program() {
        Program::Contract(bindings) => contract::needs(checker, bindings, config).await,
        Program::Command(_) => command::check_config(config).map(|()| Vec::new()),
    }
}
