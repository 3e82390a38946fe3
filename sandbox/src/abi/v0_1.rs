//! Line 0.1 of the contract.

mod exports;
mod host_facts;
mod http;
mod icmp;
mod small;
mod tls;

use std::time::Duration;

use wasmtime::component::{HasData, Linker};

use crate::bindings::exports::picket::checker::check;
use crate::bindings::picket::checker as wit;
use crate::run::RunState;

pub(crate) use exports::{describe, needs, run};

/// One run, as the host functions of this line see it.
pub(crate) struct View<'a>(&'a mut RunState);

struct Line;

impl HasData for Line {
    type Data<'a> = View<'a>;
}

fn view(run: &mut RunState) -> View<'_> {
    View(run)
}

pub(crate) fn add_to_linker(linker: &mut Linker<RunState>) -> wasmtime::Result<()> {
    wit::types::add_to_linker::<RunState, Line>(linker, view)?;
    wit::log::add_to_linker::<RunState, Line>(linker, view)?;
    wit::state::add_to_linker::<RunState, Line>(linker, view)?;
    wit::secret::add_to_linker::<RunState, Line>(linker, view)?;
    wit::icmp::add_to_linker::<RunState, Line>(linker, view)?;
    wit::tls::add_to_linker::<RunState, Line>(linker, view)?;
    wit::http::add_to_linker::<RunState, Line>(linker, view)?;
    wit::host_facts::add_to_linker::<RunState, Line>(linker, view)
}

impl wit::types::Host for View<'_> {}

/// The request of one run.
pub(crate) fn request(
    check: String,
    config: String,
    timeout: Duration,
    scheduled_at_unix_ms: u64,
) -> check::Request {
    check::Request {
        check,
        config,
        timeout_ms: u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX),
        scheduled_at_unix_ms,
        extra: Vec::new(),
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
