//! The child's side: one component in, its code out, and nothing else. It ends with its parent.

use std::io::{BufRead, Read, Write};
use std::process::ExitCode;

use rustix::process::{
    Resource, Rlimit, Signal, getrlimit, nice, set_parent_process_death_signal, setrlimit,
};
use serde::{Deserialize, Serialize};

use crate::engine::Execution;
use crate::engine::allocation::{Allocation, compiler};

/// The first and only argument of the child: this program starts itself with it, and nothing else, ever.
pub const ARGUMENT: &str = "compile-one-component";
/// The component is one that the compiler refuses; standard error has its words.
pub(super) const REFUSED: u8 = 65;
/// Bytes of the order.
pub(super) const MAX_ORDER: u64 = 512;

/// What the parent wants, as one line of JSON.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Order {
    pub(super) execution: Execution,
    pub(super) allocation: Allocation,
    /// Bytes of address space.
    pub(super) memory: u64,
    /// Seconds of CPU time.
    pub(super) cpu_s: u64,
}

/// Compiles one component from standard input to standard output under limits that it sets itself before it reads the
/// component. For `main` to call before anything else is started, where the program's only argument is [`ARGUMENT`].
#[must_use]
pub fn serve() -> ExitCode {
    match work() {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            // If nobody listens any more, nobody wants to know.
            let _ = std::io::stderr().write_all(reason.as_bytes());
            ExitCode::from(REFUSED)
        }
    }
}

fn work() -> Result<(), String> {
    let words = |error: std::io::Error| error.to_string();
    let mut input = std::io::stdin().lock();
    let order = read_order(&mut input)?;
    confine(&order).map_err(|error| format!("the compiler's process can't be confined: {error}"))?;
    let mut bytes = Vec::new();
    input.read_to_end(&mut bytes).map_err(words)?;
    let engine = compiler(order.execution, order.allocation).map_err(|error| format!("{error:#}"))?;
    let native = precompile(&engine, &bytes)?;
    let mut output = std::io::stdout().lock();
    output
        .write_all(&native)
        .and_then(|()| output.flush())
        .map_err(words)
}

/// The first line; what comes after it is the component's.
fn read_order(input: &mut impl BufRead) -> Result<Order, String> {
    let mut line = Vec::new();
    input
        .take(MAX_ORDER)
        .read_until(b'\n', &mut line)
        .map_err(|error| error.to_string())?;
    if line.pop() != Some(b'\n') {
        return Err(
            "this is a part of the agent that only the agent starts: it expects an order on standard input"
                .to_owned(),
        );
    }
    serde_json::from_slice(&line).map_err(|error| error.to_string())
}

/// The limits are the kernel's: what a hostile component makes of the compiler can't lift them.
fn confine(order: &Order) -> std::io::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    rustix::thread::set_no_new_privs(true)?;
    let limit = |resource, value: u64| {
        // Where the agent itself is held to less, that holds here too, and couldn't be raised.
        let value = getrlimit(resource).maximum.map_or(value, |held| held.min(value));
        setrlimit(
            resource,
            Rlimit {
                current: Some(value),
                maximum: Some(value),
            },
        )
    };
    limit(Resource::As, order.memory)?;
    limit(Resource::Cpu, order.cpu_s)?;
    // It writes to its pipe and to nothing else.
    limit(Resource::Fsize, 0)?;
    limit(Resource::Core, 0)?;
    // Checks go first; a machine that only lets it be as it is compiles all the same.
    let _ = nice(10);
    // Where memory runs out all the same, the kernel takes this process and not the agent.
    let _ = std::fs::write("/proc/self/oom_score_adj", "1000");
    Ok(())
}

/// Compiles to code that fits the engine.
pub(super) fn precompile(engine: &wasmtime::Engine, bytes: &[u8]) -> Result<Vec<u8>, String> {
    engine
        .precompile_component(bytes)
        .map_err(|error| format!("{error:#}"))
}
