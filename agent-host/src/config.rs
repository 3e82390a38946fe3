//! What the customer wrote: `agent.toml` and `checks.d/*.toml`.
//!
//! Both are read whole: every problem is found in one go, with its file, line and column, the text around it and, for a
//! misspelt key, the one that was probably meant. Unknown keys are problems.
//!
//! - [`AgentConfig`]: `agent.toml`. Anything wrong in it stops the program.
//! - [`check_file`]: one file of checks. What is wrong in it stops only what it is about.
//! - [`Timing`]: when a check runs beyond its interval.
//! - [`CheckSet`]: all files of checks across reloads; keeps the last good version of what breaks.
//! - [`Problem`], [`Problems`]: what is wrong, and how it is shown.

mod agent_file;
pub mod check_file;
mod check_set;
mod problem;
pub mod quantity;
mod sandbox_section;
mod section;
mod signatures;
mod timing;

pub use agent_file::{AgentConfig, LEAST_QUOTA, Limits, LoadError, SpoolSettings};
pub use check_file::CheckConfig;
pub use check_set::{CheckSet, Configured};
pub use problem::{Problem, Problems, Source};
pub use sandbox_section::SandboxSettings;
pub(crate) use section::nearest;
pub use signatures::{NotAPolicy, Policy, Publisher, SignatureSettings};
pub use timing::Timing;

#[cfg(test)]
mod tests;
