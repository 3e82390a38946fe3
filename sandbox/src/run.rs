//! One run of one check: a fresh store, two clocks, a memory limit, and an outcome whatever happens.

mod budget;
mod call;
mod failure;
mod limiter;
mod logs;
mod spec;
mod store;

pub use call::run;
pub(crate) use call::{describe, needs};
pub use failure::{Failure, FailureClass};
pub use spec::{Limits, LogLevel, LogLine, Logs, RunOutcome, RunSpec, Usage};
pub(crate) use store::RunState;
