//! A Picket installation on this machine, made of the real programs: what the scenario tests, the demo and the
//! measurements are written with.
//!
//! - [`programs`]: where the built programs, checkers and guests are;
//! - [`process`]: one running program: its log, its ready file, its orderly or sudden end;
//! - [`installation`]: a platform with tenants, gateways and agents, in a folder of its own, on free ports;
//! - [`alone`]: one agent without a platform, whose gateway is the test itself;
//! - [`api`]: the platform's REST API and pages over HTTPS;
//! - [`servers`]: things for checkers to check;
//! - [`enrolling`]: enrolment, as an agent that isn't ours would do it;
//! - [`simulated`]: agents that speak the real protocol over real mutual TLS, without a sandbox behind them;
//! - [`sockets`] and [`resources`]: what sockets, memory and files a process has, as the kernel sees it;
//! - [`intruder`]: someone with a certificate who tries doors;
//! - [`forgery`]: someone who stole every CA key, and makes certificates that should not be;
//! - [`impostor`]: someone who listens where an agent should, with any certificate;
//! - [`wait`]: waiting for a thing, with a deadline.

pub mod alone;
pub mod api;
pub mod enrolling;
pub mod forgery;
pub mod impostor;
pub mod installation;
pub mod intruder;
pub mod process;
pub mod programs;
pub mod resources;
pub mod servers;
pub mod simulated;
pub mod sockets;
pub mod wait;
