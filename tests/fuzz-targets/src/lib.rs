//! What is fuzzed, as functions of bytes. A target panics where a promise is broken; what it is given may be anything.
//!
//! libFuzzer calls them through the shims in `fuzz/` (`cargo xtask fuzz NAME`); `tests/seeds.rs` calls them with the seeds
//! in `fuzz/corpus/` and with some thousand changes of these, so that they are tried without a fuzzer too.

#![expect(
    clippy::panic,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a target says by a panic what it found"
)]

mod certificate;
mod component;
mod config;
mod csr;
mod der;
mod enrollment;
mod grant;
mod leaf;
mod nagios;
mod platform;
mod report;
mod signature;
mod spiffe;
mod spool;

pub use component::component;
pub use config::config;
pub use csr::csr;
pub use enrollment::enrollment;
pub use grant::grant;
pub use leaf::leaf;
pub use nagios::nagios;
pub use report::report;
pub use signature::signature;
pub use spiffe::spiffe;
pub use spool::spool;

/// A target, by its name, which is also that of its seeds' folder and of its shim.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: &[Target] = &[
    ("component", component),
    ("config", config),
    ("csr", csr),
    ("enrollment", enrollment),
    ("grant", grant),
    ("leaf", leaf),
    ("nagios", nagios),
    ("report", report),
    ("signature", signature),
    ("spiffe", spiffe),
    ("spool", spool),
];
