//! `wasi:cli/exit`, in place of wasmtime-wasi's, which turns `exit(failed)` into code 1: for a plugin that would be
//! `warning`, where nothing was said but that it isn't content.

use wasmtime::component::{HasData, Linker};
use wasmtime_wasi::p2::bindings::cli::exit;

use crate::nagios::Exit;
use crate::run::RunState;

/// The trap that ends a program which asked for it.
#[derive(Debug, thiserror::Error)]
#[error("the program ended {0}")]
pub(crate) struct Ended(pub(crate) Exit);

struct Exits;

impl HasData for Exits {
    type Data<'a> = Self;
}

impl exit::Host for Exits {
    fn exit(&mut self, status: Result<(), ()>) -> wasmtime::Result<()> {
        let exit = match status {
            Ok(()) => Exit::Code(0),
            Err(()) => Exit::Failed,
        };
        Err(Ended(exit).into())
    }

    fn exit_with_code(&mut self, code: u8) -> wasmtime::Result<()> {
        Err(Ended(Exit::Code(code)).into())
    }
}

pub(super) fn add_to_linker(linker: &mut Linker<RunState>) -> wasmtime::Result<()> {
    exit::add_to_linker::<RunState, Exits>(linker, |_| Exits)
}
