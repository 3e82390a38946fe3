//! The WebAssembly sandbox that runs checkers.
//!
//! A checker is a component that somebody else wrote. It has no authority of its own: each check's [`grant`]s say what it
//! may reach, and everything else is refused with the line that would allow it.
//!
//! * [`grant`]: the grammar and the rules of grants; pure.
//! * [`report`]: what checkers say, and the limits on it.
//! * [`engine`]: the compiler and allocator that all runs share, and the clock that stops them.
//! * [`component`]: from bytes to a [`Checker`](component::Checker): inspected, compiled or found in the cache.
//! * [`run`]: one run in a fresh store, with its budgets and its outcome.
//! * [`host`]: what checkers may import, one module each; traits that the caller implements.
//! * [`nagios`]: what commands print, as reports.
//! * [`net`]: names, addresses, TLS as a client.
//! * `abi`: converts between the contract's lines and the crate's own types; `bindings` is generated from `wit/`.
//! * `wasi`: WASI 0.2 with no ambient authority.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use picket_sandbox::component::Checker;
//! use picket_sandbox::engine::{EngineConfig, SandboxEngine};
//!
//! let engine = SandboxEngine::new(EngineConfig::default())?;
//! let checker = Checker::load_file(&engine, "checkers/http.wasm".as_ref(), None)?;
//! println!("{}", checker.describe().await?.summary);
//! # Ok(())
//! # }
//! ```

mod abi;
mod bindings;
pub mod component;
pub mod engine;
pub mod grant;
pub mod host;
pub mod nagios;
pub mod net;
pub mod report;
pub mod run;
mod wasi;
