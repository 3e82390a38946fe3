//! The platform: tenants, onboarding and CA, registry, coordination, ingest, alerts, jobs, web UI and API.
//!
//! Stateless processes over one database; every one of them can serve everything. The parts, bottom up:
//!
//! - [`clock`]: time is the database's, or a test's.
//! - [`store`]: the database. One writer, many readers; every query names the tenant.
//! - [`events`]: hints that something changed; they wake, the truth is re-read.
//! - [`metrics`]: every metric and log line of every part.
//! - [`authority`]: the certificate authorities, onboarding, and what is issued to whom.
//! - [`coordination`]: gateways' sessions, leases, shards and their planner.
//! - [`ingest`]: sealed batches in, one transaction each flush, a cursor that moves by compare-and-swap.
//! - [`alerts`]: what is raised and resolved, and when.
//! - [`jobs`]: persistent jobs in the same database, run on any live node.
//! - [`web`] and [`api`]: what people and programs see.
//! - [`config`], [`cli`], [`app`]: the file, the command line, and the one place where everything is wired.

pub mod alerts;
pub mod api;
pub mod app;
pub mod authority;
pub mod cli;
pub mod clock;
pub mod config;
pub mod coordination;
pub mod events;
pub mod ingest;
pub mod jobs;
pub mod metrics;
pub mod store;
pub mod web;
