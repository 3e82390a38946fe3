//! The SDK for writing Picket checkers in Rust.
//!
//! A checker is a function from a typed configuration to a [`Report`]:
//!
//! ```
//! use picket_checker_sdk::prelude::*;
//!
//! /// Whether a port answers.
//! #[derive(Deserialize, JsonSchema)]
//! #[serde(deny_unknown_fields)]
//! struct Config {
//!     /// Host name or address.
//!     host: String,
//!     /// TCP port.
//!     port: u16,
//! }
//!
//! impl Needs for Config {
//!     fn needs(&self) -> Vec<Need> {
//!         vec![Need::tcp(&self.host, self.port, "the port to connect to")]
//!     }
//! }
//!
//! #[checker(name = "port", summary = "Connects to a TCP port", interval = "30s", timeout = "5s")]
//! fn run(ctx: &mut Context, config: Config) -> Result<Report, Error> {
//!     let timer = ctx.timer();
//!     match ctx.connect_host(&config.host, config.port) {
//!         Ok(_) => Ok(Report::ok("the port answers")
//!             .metric(Metric::gauge("connect", timer.seconds(ctx), "s").warning(Range::at_most(0.5)))),
//!         Err(error) => error.into_report(),
//!     }
//! }
//! # fn main() {}
//! ```
//!
//! # Map
//!
//! - [`Checker`], [`Description`], [`Needs`], [`Need`]: what a checker is; `#[checker]` writes the implementation.
//! - [`Context`]: everything that a run may ask of its host: clock, log, state, secrets, HTTP, TLS, sockets, facts.
//! - [`Report`], [`Metric`], [`Status`], [`Error`]: what a run answers.
//! - [`threshold`], [`period`]: ranges in Nagios syntax and lengths of time, for configurations.
//! - [`http`], [`net`], [`tls`], [`facts`], [`icmp`]: the host's interfaces, typed.
//! - [`host`]: the seam behind [`Context`]. In a component it is [`host::wasi::WasiHost`]; with the feature `mock`, a
//!   native build has `mock::MockHost` instead, whose answers a test scripts.
//! - [`bindings`]: the generated code for the contract in `wit/`.

#[expect(missing_docs, reason = "generated code; the contract in wit/ documents it")]
pub mod bindings;

mod checker;
mod component;
mod config;
mod context;
mod error;
pub mod facts;
pub mod host;
pub mod http;
pub mod icmp;
mod metric;
#[cfg(all(feature = "mock", not(target_arch = "wasm32")))]
pub mod mock;
mod need;
pub mod net;
pub mod period;
mod report;
pub mod threshold;
pub mod tls;

pub use bindings::picket::checker::log::Level;
pub use bindings::picket::checker::secret::Error as SecretError;
pub use bindings::picket::checker::state::Error as StateError;
pub use bindings::picket::checker::types::Status;
#[doc(hidden)]
pub use checker::assert_checker;
pub use checker::{Checker, Description, describe, needs};
pub use component::Component;
pub use config::parse as parse_config;
pub use context::{Connection, Context, Datagrams, Run, Timer};
pub use error::{Error, ErrorKind};
pub use metric::Metric;
pub use need::{Need, Needs};
pub use period::Period;
pub use picket_checker_sdk_macros::checker;
pub use report::{Report, worse};
pub use threshold::{Range, Thresholds};

/// What nearly every checker uses.
pub mod prelude {
    pub use schemars::JsonSchema;
    pub use serde::Deserialize;

    pub use crate::{
        Context, Error, Metric, Need, Needs, Period, Range, Report, Status, Thresholds, Timer, checker,
    };
}
