//! Why bytes are no checker.

use std::path::PathBuf;

/// Why bytes are no checker that this host can run. Each sentence says what was found and what to do.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file can't be read.
    #[error("{}: {reason}", path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// In the system's words.
        reason: std::io::Error,
    },
    /// Not WebAssembly at all.
    #[error("this is {found}, expected a WebAssembly component; build checkers for the target wasm32-wasip2")]
    NotAComponent {
        /// What it looks like.
        found: String,
    },
    /// Native code from a compiler's cache.
    #[error("this is compiled native code, which is never loaded from a file; provide the .wasm component")]
    Precompiled,
    /// The bytes break off or make no sense.
    #[error("the component is corrupt: {reason}; copy or build it again")]
    Corrupt {
        /// What the parser says.
        reason: String,
    },
    /// More of something than any checker needs, which would take the compiler too long or too much memory.
    #[error("the component has {found} {what}, more than the {limit} that this host compiles")]
    TooBig {
        /// Of what.
        what: &'static str,
        /// How many, at least.
        found: u64,
        /// How many at most.
        limit: u64,
    },
    /// Built for another line of the contract.
    #[error(
        "this checker is built for picket:checker {found}, and this host runs {offered}: {}",
        if *.newer { "update the agent, or build the checker with an older SDK" } else { "build the checker with a newer SDK" }
    )]
    OtherContract {
        /// The checker's version.
        found: String,
        /// The host's version.
        offered: &'static str,
        /// Whether the checker's is the newer one.
        newer: bool,
    },
    /// A core module that isn't a command.
    #[error(
        "this is a core WebAssembly module that {reason}; expected a component (target wasm32-wasip2), or a command for \
         WASI preview1 (wasm32-wasip1), which exports _start and memory and imports only wasi_snapshot_preview1"
    )]
    NotACommand {
        /// What it does or lacks.
        reason: String,
    },
    /// A component that isn't a checker.
    #[error(
        "this component exports neither picket:checker/check nor, as a command does, wasi:cli/run@0.2: it exports \
         {exports}, so it isn't a checker"
    )]
    NotAChecker {
        /// What it exports.
        exports: String,
    },
    /// It wants something that this host has not.
    #[error("the checker imports {import}, which this host doesn't offer{hint}")]
    UnknownImport {
        /// What it wants.
        import: String,
        /// What is known about it; empty, or with a leading separator.
        hint: String,
    },
    /// Its imports or exports have other types than the contract's.
    #[error("the checker doesn't fit the contract that it names: {reason}; build it again with the SDK")]
    Unlinkable {
        /// What doesn't fit.
        reason: String,
    },
    /// The compiler was stopped at a limit.
    #[error(
        "compiling this component takes more than {limit}, so it was stopped; build it smaller, or raise the limits in [sandbox] of agent.toml if you trust its author"
    )]
    CompilerExhausted {
        /// Which limit, in words.
        limit: String,
    },
    /// The compiler refused it.
    #[error("the component can't be compiled: {reason}")]
    Uncompilable {
        /// What the compiler says.
        reason: String,
    },
}
