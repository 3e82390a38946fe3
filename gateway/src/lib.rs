//! The gateway: dials agents, proves who they are, pulls their results and hands them to the platform.
//!
//! It has no database, no CA key, and no port but an optional loopback one for metrics. It keeps nothing that it can't
//! lose: results are in the agent's spool until the platform has committed them.
//!
//! ```text
//!  app ── membership ─┬─ session ◀──▶ platform: lease, assignment, claims      (lease, assignment, claims: pure)
//!                     ├─ credentials ──▶ platform: a client certificate per tenant
//!                     ├─ own_identity ▶ platform: this gateway's next certificate
//!                     ├─ ingest ──────▶ platform: sealed batches
//!                     ├─ poll ────────▶ agents: Describe, Pull            (timetable, frame, reachability: pure)
//!                     └─ upkeep ──────▶ agents: Enroll, Renew, Update     (plan: pure)
//! ```
//!
//! - [`app`]: the one wiring place.
//! - [`config`] reads `gateway.toml`.
//! - [`platform`]: who this gateway is, and its connections to the platform.
//! - [`membership`]: one session after another; all work belongs to a session and ends with it.
//! - [`session`], [`lease`]: what the platform says, and until when the gateway may act on it.
//! - [`assignment`]: which agents are this gateway's.
//! - [`credentials`]: who this gateway is to the agents of each tenant.
//! - [`own_identity`]: who this gateway is to the platform, kept good while it runs.
//! - [`poll`], [`reachability`], [`backoff`]: when each agent is dialled, what is asked, what a failure means.
//! - [`upkeep`]: an agent's first certificate, the next ones, and what it is to trust.
//! - [`ingest`]: where the results go.
//! - [`claims`]: what the platform is told about the agents.
//! - [`probe`]: one agent, looked at step by step for a person.
//! - [`telemetry`]: every log line and metric.
//! - [`cli`]: the command line.

pub mod app;
pub mod assignment;
pub mod backoff;
pub mod claims;
pub mod cli;
pub mod clock;
pub mod config;
pub mod credentials;
pub mod ingest;
pub mod lease;
pub mod membership;
pub mod own_identity;
pub mod platform;
pub mod poll;
pub mod probe;
pub mod reachability;
pub mod session;
pub mod telemetry;
pub mod upkeep;
