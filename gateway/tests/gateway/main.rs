//! The gateway as it runs, between an agent and a platform that are stand-ins: real mutual TLS, real gRPC, real
//! certificates, everything in one process.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a stand-in that can't go on is a failed test"
)]

mod agent;
mod authority;
mod courier;
mod enrolment;
mod identity;
mod identity_cli;
mod membership;
mod newcomer;
mod own_identity;
mod platform;
mod polling;
mod probe;
mod process;
mod reach;
mod renewal;
mod stage;
mod wait;
