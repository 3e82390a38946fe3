//! Compilation bombs against the compiler's process: what they take is taken there, and bounded.
//!
//! `sandbox/tests/compile_bombs.rs` has what each costs without limits: two of them end the process that compiles them.

use std::path::PathBuf;
use std::sync::mpsc;
use std::time::Duration;

use picket_forged::bombs::BOMBS;
use picket_sandbox::component::{Checker, ChildCompiler, CompileLimits, Compiler, LoadError};
use picket_sandbox::engine::{EngineConfig, SandboxEngine};

/// For one bomb, on a machine that has other things to do.
const DEADLINE: Duration = Duration::from_secs(240);
/// What this process may take meanwhile: the bomb once more on its way to the child, and the usual.
const MEMORY_MIB: u64 = 100;

/// Smaller than an agent's own, so that the test takes seconds.
fn limits() -> CompileLimits {
    CompileLimits {
        memory: 1 << 30,
        cpu: Duration::from_secs(5),
        wall: Duration::from_secs(120),
    }
}

/// Peak resident memory of this process since it was last forgotten, in MiB.
fn peak_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kibibytes = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    kibibytes.unwrap() >> 10
}

/// Loads in a thread of its own, so that a load that never ends fails the test and doesn't hang it.
fn load(engine: SandboxEngine, bytes: Vec<u8>) -> Result<Checker, LoadError> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        // Nobody listens any more once the deadline has passed.
        let _ = sender.send(Checker::load(&engine, &bytes, None));
    });
    receiver
        .recv_timeout(DEADLINE)
        .expect("loading ends, one way or the other")
}

fn costs_this_process_little(name: &str) {
    let (_, make) = BOMBS.iter().find(|(own, _)| *own == name).unwrap();
    let bytes = make();
    let compiler = ChildCompiler::new(PathBuf::from(env!("CARGO_BIN_EXE_agent-host")), limits());
    let engine = SandboxEngine::new(EngineConfig {
        concurrent_runs: 2,
        compiler: Compiler::Child(compiler),
        ..EngineConfig::default()
    })
    .unwrap();
    // proc(5): forgets the peak, so that making the bomb isn't counted.
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
    let before = peak_mib();
    let error = load(engine, bytes).unwrap_err();
    let after = peak_mib();
    assert!(
        matches!(
            error,
            LoadError::CompilerExhausted { .. } | LoadError::Uncompilable { .. }
        ),
        "{name}: {error}"
    );
    assert!(
        after <= before + MEMORY_MIB,
        "{name} took {after} MiB here, {before} MiB before: {error}"
    );
}

#[test]
fn many_functions_cost_the_agent_little() {
    costs_this_process_little("many-functions");
}

#[test]
fn nested_blocks_cost_the_agent_little() {
    costs_this_process_little("nested-blocks");
}

#[test]
fn locals_and_loops_cost_the_agent_little() {
    costs_this_process_little("locals-and-loops");
}

#[test]
fn wide_signatures_cost_the_agent_little() {
    costs_this_process_little("wide-signatures");
}

#[test]
fn a_full_table_costs_the_agent_little() {
    costs_this_process_little("full-table");
}
