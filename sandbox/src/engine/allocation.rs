//! Where instances live, and the engine's whole configuration.

use std::fmt;

use serde::{Deserialize, Serialize};
use wasmtime::{Config, Enabled, Engine, PoolingAllocationConfig, Strategy};

use super::limits::{CORE_INSTANCES, INSTANCE_SIZE, MEMORIES, TABLE_ELEMENTS, TABLES};
use super::{EngineConfig, EngineError, Execution};

/// How linear memories are allocated, from the fastest to the most frugal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Allocation {
    /// A pool of slots of 4 GiB of address space each, which need no bounds checks: 7 µs a run.
    Pool,
    /// A memory mapped for each instance with 64 MiB of address space, with bounds checks.
    SmallReservations,
    /// Memory that is mapped as it grows: for machines whose address space is limited.
    OnDemand,
}

impl fmt::Display for Allocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pool => "pool",
            Self::SmallReservations => "small reservations",
            Self::OnDemand => "on demand",
        })
    }
}

/// Kept in memory between runs rather than given back to the kernel: 25 µs a run become 7 µs.
const KEEP_RESIDENT: usize = 256 << 10;
const STACK_SIZE: usize = 2 << 20;
const WASM_STACK: usize = 512 << 10;
/// A module with one function that does nothing: the smallest that has code.
const TINY: &[u8] = b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x03\x02\x01\0\x0a\x04\x01\x02\0\x0b";

/// Takes the first allocation that works here, or the one that was asked for.
pub(super) fn build(config: &EngineConfig) -> Result<(Engine, Allocation), EngineError> {
    let unavailable = |error: wasmtime::Error| EngineError::Unavailable(format!("{error:#}"));
    let (engine, allocation) = match config.allocation {
        Some(allocation) => (engine(config, allocation).map_err(unavailable)?, allocation),
        None => probed(config)?,
    };
    // Compiled here, small as it is, to learn whether this machine lets code be run that was just made.
    wasmtime::Module::new(&engine, TINY).map_err(|error| match config.execution {
        Execution::Native if is_refused(&error) => EngineError::NoNewCode,
        _ => unavailable(error),
    })?;
    Ok((engine, allocation))
}

/// The kernel's answers to memory that is first written and then executed, where that is forbidden.
fn is_refused(error: &wasmtime::Error) -> bool {
    error.chain().any(|cause| {
        cause
            .downcast_ref::<std::io::Error>()
            .is_some_and(|error| error.kind() == std::io::ErrorKind::PermissionDenied)
            || cause
                .downcast_ref::<rustix::io::Errno>()
                .is_some_and(|errno| matches!(*errno, rustix::io::Errno::ACCESS | rustix::io::Errno::PERM))
    })
}

fn probed(config: &EngineConfig) -> Result<(Engine, Allocation), EngineError> {
    let mut last = String::new();
    for allocation in [
        Allocation::Pool,
        Allocation::SmallReservations,
        Allocation::OnDemand,
    ] {
        match engine(config, allocation).and_then(|engine| {
            probe(&engine, config.concurrent_runs)?;
            Ok(engine)
        }) {
            Ok(engine) => return Ok((engine, allocation)),
            Err(error) => {
                last = format!("{error:#}");
                tracing::info!(%allocation, error = %last, "this machine doesn't give the address space; trying less");
            }
        }
    }
    Err(EngineError::Unavailable(last))
}

/// Maps as many memories as there may be runs, all at once: where only some of them fit, runs would fail later.
fn probe(engine: &Engine, runs: u32) -> wasmtime::Result<()> {
    let mut store = wasmtime::Store::new(engine, ());
    store.set_epoch_deadline(u64::MAX / 2);
    for _ in 0..runs {
        wasmtime::Memory::new(&mut store, wasmtime::MemoryType::new(1, Some(16)))?;
    }
    Ok(())
}

fn engine(config: &EngineConfig, allocation: Allocation) -> wasmtime::Result<Engine> {
    let mut wasm = code(config.execution, allocation)?;
    if allocation == Allocation::Pool {
        wasm.allocation_strategy(pool(config));
    }
    Engine::new(&wasm)
}

/// An engine that compiles for one with this execution and allocation, and that has no room to run anything.
pub(crate) fn compiler(execution: Execution, allocation: Allocation) -> wasmtime::Result<Engine> {
    Engine::new(&code(execution, allocation)?)
}

/// Everything that compiled code depends on.
fn code(execution: Execution, allocation: Allocation) -> wasmtime::Result<Config> {
    let mut wasm = Config::new();
    wasm.strategy(Strategy::Cranelift)
        .wasm_component_model(true)
        // Measured: costs each run 3 to 10 µs, and nothing of WASI 0.2 needs it.
        .concurrency_support(false)
        .epoch_interruption(true)
        .max_wasm_stack(WASM_STACK)
        .async_stack_size(STACK_SIZE)
        // Symbolising a first trap reads 200 MB where there is debug information.
        .wasm_backtrace_details(wasmtime::WasmBacktraceDetails::Disable)
        // Tables for backtraces and debuggers that nobody ever sees; without them compiled code is a seventh smaller.
        .generate_address_map(false)
        .native_unwind_info(false)
        .wasm_threads(false)
        .wasm_memory64(false)
        .wasm_gc(false)
        .wasm_function_references(false)
        .wasm_exceptions(false);
    match allocation {
        // wasmtime's defaults: 4 GiB reserved for each memory.
        Allocation::Pool => {}
        Allocation::SmallReservations => {
            wasm.memory_reservation(64 << 20)
                .memory_reservation_for_growth(1 << 20);
        }
        Allocation::OnDemand => {
            wasm.memory_reservation(0)
                .memory_guard_size(64 << 10)
                .memory_reservation_for_growth(1 << 20);
        }
    }
    if execution == Execution::Pulley {
        wasm.target("pulley64")?;
    }
    Ok(wasm)
}

/// Every total is the number of runs times what one component may have, so that a run that holds a permit of the
/// semaphore always finds its slots.
fn pool(config: &EngineConfig) -> PoolingAllocationConfig {
    let runs = config.concurrent_runs;
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(runs)
        .total_core_instances(runs.saturating_mul(CORE_INSTANCES))
        .total_memories(runs.saturating_mul(MEMORIES))
        .total_tables(runs.saturating_mul(TABLES))
        .total_stacks(runs)
        .total_gc_heaps(0)
        .max_core_instances_per_component(CORE_INSTANCES)
        .max_memories_per_component(MEMORIES)
        .max_tables_per_component(TABLES)
        .max_tables_per_module(TABLES)
        .max_memories_per_module(MEMORIES)
        .max_core_instance_size(INSTANCE_SIZE)
        .max_component_instance_size(INSTANCE_SIZE)
        .table_elements(TABLE_ELEMENTS)
        .max_memory_size(config.memory)
        .linear_memory_keep_resident(KEEP_RESIDENT)
        .table_keep_resident(KEEP_RESIDENT)
        .async_stack_keep_resident(64 << 10)
        .pagemap_scan(Enabled::Auto);
    pool
}
