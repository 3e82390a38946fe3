//! What one run's store holds.

use std::sync::Arc;
use std::time::Instant;

use wasmtime::component::ResourceTable;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use super::Failure;
use super::limiter::MemoryLimiter;
use super::logs::LogBuffer;
use crate::engine::Services;
use crate::host::http::{Outgoing, outgoing_context};
use crate::host::secret::SecretView;
use crate::host::state::StateView;
use crate::net::guard::Guard;
use crate::wasi::SingleFiles;
use crate::wasi::stdio::{Capture, CommandIo};

/// Sockets, streams, pollables and look-ups that a run may have at once.
const MAX_RESOURCES: usize = 256;

/// Everything that host functions of one run see.
pub(crate) struct RunState {
    pub(crate) table: ResourceTable,
    pub(crate) wasi: WasiCtx,
    wasi_http: WasiHttpCtx,
    outgoing: Outgoing,
    /// The files that are granted one by one.
    pub(crate) files: SingleFiles,
    pub(crate) guard: Arc<Guard>,
    pub(crate) services: Arc<Services>,
    pub(crate) logs: LogBuffer,
    pub(crate) stderr: Capture,
    pub(crate) state: StateView,
    pub(crate) secrets: SecretView,
    pub(crate) limiter: MemoryLimiter,
    /// When the run is stopped: host calls that are given longer end then anyway.
    pub(crate) deadline: Instant,
}

impl RunState {
    pub(crate) fn new(
        guard: Arc<Guard>,
        services: Arc<Services>,
        state: StateView,
        secrets: SecretView,
        memory: usize,
        deadline: Instant,
        command: Option<CommandIo>,
    ) -> Result<Self, Failure> {
        let stderr = Capture::default();
        let (wasi, files) = crate::wasi::context(&guard, &stderr, command)?;
        let mut table = ResourceTable::new();
        table.set_max_capacity(MAX_RESOURCES);
        Ok(Self {
            table,
            wasi,
            wasi_http: outgoing_context(),
            outgoing: Outgoing {
                guard: Arc::clone(&guard),
                services: Arc::clone(&services),
                deadline,
            },
            files,
            guard,
            services,
            logs: LogBuffer::default(),
            stderr,
            state,
            secrets,
            limiter: MemoryLimiter::new(memory),
            deadline,
        })
    }
}

impl WasiView for RunState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

impl WasiHttpView for RunState {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView {
            hooks: &mut self.outgoing,
            table: &mut self.table,
            ctx: &mut self.wasi_http,
        }
    }
}
