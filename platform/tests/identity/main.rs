//! An agent's and a gateway's certificates, from the enrolment file to the revocation, against a real database and real
//! authorities. Time is passed in.
//!
//! - [`enrollment`]: the first certificate, once, for whoever holds the file's key.
//! - [`renewal`]: the next ones, and recovery.
//! - [`life`]: pending, current, superseded, retired.
//! - [`revocation`]: what is taken away.
//! - [`trust`]: what agents and gateways are told to trust.
//! - [`wire`]: the same over real mutual TLS.

#![expect(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod bench;
mod enrollment;
mod life;
mod renewal;
mod revocation;
#[path = "../support/running.rs"]
mod running;
#[path = "../support/site.rs"]
mod site;
mod trust;
mod wire;
