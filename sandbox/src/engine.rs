//! What all runs share: the compiler, the memory that instances live in, the clock that stops them.

pub(crate) mod allocation;
mod epoch;
pub(crate) mod limits;
mod services;

use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;
use wasmtime::component::Linker;

pub use allocation::Allocation;
pub(crate) use services::Services;

use crate::component::Compiler;
use crate::net::resolve::{Resolver, SystemResolver};
use crate::run::RunState;

/// How a checker's code is executed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Execution {
    /// Compiled to this machine's own code.
    #[default]
    Native,
    /// Compiled to wasmtime's portable bytecode and interpreted: several times slower, for machines that forbid memory
    /// that is first written and then executed.
    Pulley,
}

/// How the engine is set up.
#[derive(Clone)]
pub struct EngineConfig {
    /// How many runs may be under way at once; more wait.
    pub concurrent_runs: u32,
    /// The most linear memory that one instance may have, in bytes. A run's own limit may be lower.
    pub memory: usize,
    /// Where instances live; probed where `None`.
    pub allocation: Option<Allocation>,
    /// How code is executed.
    pub execution: Execution,
    /// Who compiles.
    pub compiler: Compiler,
    /// Who answers look-ups of names.
    pub resolver: Arc<dyn Resolver>,
    /// Roots (DER) that are trusted besides those of the platform.
    pub extra_roots: Vec<Vec<u8>>,
    /// The socket of the D-Bus on which systemd tells of services. Environment variables aren't looked at.
    pub system_bus: PathBuf,
}

impl Default for EngineConfig {
    /// 32 runs, 64 MiB each, native code that is compiled in this process, the system's resolver, the platform's roots,
    /// the usual place of the bus.
    fn default() -> Self {
        Self {
            concurrent_runs: 32,
            memory: 64 << 20,
            allocation: None,
            execution: Execution::Native,
            compiler: Compiler::InProcess,
            resolver: Arc::new(SystemResolver::default()),
            extra_roots: Vec::new(),
            system_bus: PathBuf::from("/run/dbus/system_bus_socket"),
        }
    }
}

/// Why there is no engine.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// A number in the configuration makes no sense.
    #[error("sandbox: {what} is {found}, expected {expected}")]
    Config {
        /// Which one.
        what: &'static str,
        /// What it is.
        found: String,
        /// What it may be.
        expected: &'static str,
    },
    /// wasmtime refused the configuration or the machine.
    #[error("the sandbox can't start on this machine: {0}")]
    Unavailable(String),
    /// The machine forbids native code that was just made (SELinux's `execmem`, systemd's `MemoryDenyWriteExecute`, a
    /// kernel with `PR_SET_MDWE`).
    #[error(
        "this machine forbids memory that is written and then executed, which native code needs: write engine = \"pulley\" in [sandbox] of agent.toml, or lift the ban (systemd: MemoryDenyWriteExecute=no)"
    )]
    NoNewCode,
    /// The clock's thread could not be started.
    #[error("the sandbox's clock can't start: {0}")]
    Clock(#[source] std::io::Error),
}

/// The engine. Cheap to clone; its clock ends with the last clone.
#[derive(Clone)]
pub struct SandboxEngine {
    shared: Arc<Shared>,
}

struct Shared {
    engine: wasmtime::Engine,
    linker: Linker<RunState>,
    allocation: Allocation,
    execution: Execution,
    compiler: Compiler,
    runs: Arc<Semaphore>,
    concurrent_runs: u32,
    memory: usize,
    services: Arc<Services>,
}

impl SandboxEngine {
    /// Probes the machine and sets everything up.
    ///
    /// # Errors
    /// A configuration that makes no sense, or a machine that can't run WebAssembly.
    pub fn new(config: EngineConfig) -> Result<Self, EngineError> {
        if !(1..=4096).contains(&config.concurrent_runs) {
            let found = config.concurrent_runs.to_string();
            return Err(EngineError::Config {
                what: "concurrent_runs",
                found,
                expected: "1 to 4096",
            });
        }
        if !((1 << 20)..=(4 << 30)).contains(&config.memory) {
            let found = format!("{} bytes", config.memory);
            return Err(EngineError::Config {
                what: "memory",
                found,
                expected: "1 MiB to 4 GiB",
            });
        }
        let (engine, allocation) = allocation::build(&config)?;
        let linker = linker(&engine).map_err(|error| EngineError::Unavailable(format!("{error:#}")))?;
        epoch::start(&engine).map_err(EngineError::Clock)?;
        tracing::info!(%allocation, execution = ?config.execution, concurrent_runs = config.concurrent_runs, "sandbox ready");
        Ok(Self {
            shared: Arc::new(Shared {
                engine,
                linker,
                allocation,
                execution: config.execution,
                compiler: config.compiler,
                runs: Arc::new(Semaphore::new(config.concurrent_runs as usize)),
                concurrent_runs: config.concurrent_runs,
                memory: config.memory,
                services: Arc::new(Services::new(
                    config.resolver,
                    config.extra_roots,
                    config.system_bus,
                )),
            }),
        })
    }

    /// Where instances live.
    #[must_use]
    pub fn allocation(&self) -> Allocation {
        self.shared.allocation
    }

    /// How code is executed.
    #[must_use]
    pub fn execution(&self) -> Execution {
        self.shared.execution
    }

    /// How many runs may be under way at once.
    #[must_use]
    pub fn concurrent_runs(&self) -> u32 {
        self.shared.concurrent_runs
    }

    /// How many runs are under way.
    #[must_use]
    pub fn active_runs(&self) -> u32 {
        let free = u32::try_from(self.shared.runs.available_permits()).unwrap_or(u32::MAX);
        self.shared.concurrent_runs.saturating_sub(free)
    }

    pub(crate) fn wasmtime(&self) -> &wasmtime::Engine {
        &self.shared.engine
    }

    pub(crate) fn compiler(&self) -> &Compiler {
        &self.shared.compiler
    }

    pub(crate) fn linker(&self) -> &Linker<RunState> {
        &self.shared.linker
    }

    pub(crate) fn runs(&self) -> &Arc<Semaphore> {
        &self.shared.runs
    }

    pub(crate) fn memory(&self) -> usize {
        self.shared.memory
    }

    pub(crate) fn services(&self) -> &Arc<Services> {
        &self.shared.services
    }
}

fn linker(engine: &wasmtime::Engine) -> wasmtime::Result<Linker<RunState>> {
    let mut linker = Linker::new(engine);
    crate::wasi::add_to_linker(&mut linker)?;
    crate::abi::v0_1::add_to_linker(&mut linker)?;
    Ok(linker)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_make_no_sense_are_refused_in_words() {
        let config = EngineConfig {
            concurrent_runs: 0,
            ..EngineConfig::default()
        };
        let error = SandboxEngine::new(config).err().unwrap().to_string();
        assert!(
            error.contains("concurrent_runs is 0, expected 1 to 4096"),
            "{error}"
        );
    }

    #[test]
    fn every_allocation_can_be_asked_for() {
        for allocation in [
            Allocation::Pool,
            Allocation::SmallReservations,
            Allocation::OnDemand,
        ] {
            let config = EngineConfig {
                allocation: Some(allocation),
                concurrent_runs: 2,
                ..EngineConfig::default()
            };
            assert_eq!(SandboxEngine::new(config).unwrap().allocation(), allocation);
        }
    }
}
