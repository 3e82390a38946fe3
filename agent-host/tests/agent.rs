//! The agent as gateways and customers meet it: a whole one, on port 0, with real certificates, a real sandbox, and real
//! files. One program, so that it is linked once.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]

#[path = "agent/bad_input.rs"]
mod bad_input;
#[path = "agent/bombs.rs"]
mod bombs;
#[path = "agent/checkers.rs"]
mod checkers;
#[path = "agent/command_line.rs"]
mod command_line;
#[path = "agent/commands.rs"]
mod commands;
#[path = "agent/compiling.rs"]
mod compiling;
#[path = "agent/enroll_program.rs"]
mod enroll_program;
#[path = "agent/enrollment.rs"]
mod enrollment;
#[path = "agent/expiry.rs"]
mod expiry;
#[path = "agent/hot_reload.rs"]
mod hot_reload;
#[path = "agent/machines.rs"]
mod machines;
#[path = "agent/program.rs"]
mod program;
#[path = "agent/pull.rs"]
mod pull;
#[path = "agent/registry.rs"]
mod registry;
#[path = "agent/renewal.rs"]
mod renewal;
#[path = "agent/scheduling.rs"]
mod scheduling;
#[path = "agent/top.rs"]
mod top;
#[path = "agent/trust_updates.rs"]
mod trust_updates;
#[path = "agent/world.rs"]
mod world;
