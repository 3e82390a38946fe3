//! The agent host: runs checkers in a customer's network and holds their results until a gateway pulls them.
//!
//! It listens on one port, over mutual TLS, and dials nobody but what checks are granted. A result takes this road:
//!
//! ```text
//! checks.d/*.toml ─▶ config ─┐
//! checkers/*.wasm ─▶ catalogue ─▶ reload ─▶ schedule ─▶ runner ─▶ spool ─▶ server ─▶ a gateway that pulls
//! ```
//!
//! - [`config`]: `agent.toml` and `checks.d/`, with every error at once.
//! - [`catalogue`]: the checkers in their folder.
//! - [`reload`]: follows both folders while the agent runs; [`watch`] says when to look.
//! - [`schedule`]: when checks run.
//! - [`runner`]: runs one in the sandbox and makes a result of what comes of it.
//! - [`spool`]: keeps results on disk until they are acknowledged.
//! - [`server`]: what gateways ask: `Describe`, `Pull`, `RunCheck`, renewal, trust updates, health.
//! - [`identity`]: who this agent is, reloaded and renewed while it runs.
//! - [`enrollment`]: how it gets its first certificate; [`exchange`]: what enrolment and renewal share.
//! - [`control`]: what the command line asks a running agent, on a socket of its own.
//! - [`metrics_server`]: `/metrics` on loopback. `internal_events` has every log line and metric.
//! - [`privileges`]: what the program gives up before it begins.
//! - [`app`]: where all of them meet.
//! - [`cli`]: the command line of the program.

pub mod app;
pub mod catalogue;
pub mod cli;
pub mod config;
pub mod control;
pub mod enrollment;
pub mod exchange;
pub mod identity;
mod internal_events;
pub mod metrics_server;
pub mod privileges;
pub mod reload;
pub mod runner;
pub mod schedule;
pub mod server;
pub mod spool;
pub mod watch;
