//! `[sandbox]`: how checkers are compiled and executed.

use std::time::Duration;

use picket_sandbox::component::CompileLimits;
use picket_sandbox::engine::Execution;

use super::section::Section;

/// `[sandbox]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SandboxSettings {
    /// How a checker's code is executed.
    pub engine: Execution,
    /// What compiling one checker may use up.
    pub compile: CompileLimits,
}

/// Below it not even the smallest checker compiles: the program itself takes some address space.
const LEAST_COMPILE_MEMORY: u64 = 512 << 20;

pub(super) fn read(mut section: Section<'_>) -> SandboxSettings {
    let mut settings = SandboxSettings::default();
    if let Some(engine) = section.text("engine", "native") {
        match engine.value {
            "native" => settings.engine = Execution::Native,
            "pulley" => settings.engine = Execution::Pulley,
            other => section.findings().add_with_help(
                engine.span,
                format!("`{other}` is not an engine; expected \"native\" or \"pulley\""),
                "not known",
                "`native` is fast; `pulley` interprets, for machines that forbid memory that is written and then executed",
            ),
        }
    }
    if let Some(memory) = section.size("compile_memory", "2 GiB") {
        if memory.value < LEAST_COMPILE_MEMORY {
            section.findings().add(
                memory.span,
                "`compile_memory` of [sandbox] is too small; expected at least 512 MiB of address space",
                "too small",
            );
        }
        settings.compile.memory = memory.value;
    }
    if let Some(cpu) = section.duration("compile_cpu", "60s") {
        if cpu.value < Duration::from_secs(1) {
            section.findings().add(
                cpu.span,
                "`compile_cpu` of [sandbox] is too short; expected at least 1s",
                "too short",
            );
        }
        // On a busy machine the clock on the wall runs several times faster than that of the CPU.
        settings.compile.wall = settings.compile.wall.max(cpu.value.saturating_mul(5));
        settings.compile.cpu = cpu.value;
    }
    section.finish();
    settings
}
