//! Read models for the pages and the API: each is one bounded set of queries that answers one screen.
//!
//! - [`freshness`]: when a check's newest result is too old to be called its state.
//! - [`fleet`]: all agents with the states of their checks; the sorting and the pages.
//! - [`agent`] and [`check`]: one of them; [`identity`]: where an agent's certificates stand.
//! - [`chunk`]: opening sealed batches under hard limits; [`history`]: the results inside.
//! - [`operations`]: tenants, gateways, jobs; [`alerts`]: alerts.

pub mod agent;
pub mod alerts;
pub mod check;
pub mod chunk;
pub mod fleet;
pub mod freshness;
pub mod history;
pub mod identity;
pub mod operations;

/// Rows that any one list returns at most.
pub const MAX_PAGE: u32 = 500;
