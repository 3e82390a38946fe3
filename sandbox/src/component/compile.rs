//! Compiling: the one thing that can't be bounded within a process. A small file can keep the compiler busy for minutes and
//! take gigabytes, and an allocation that fails ends the process. So a child compiles, under limits that the kernel holds.
//!
//! * [`child`]: the parent's side: starts the child, feeds it, waits, and says in words what became of it.
//! * [`worker`]: the child's side.

pub mod child;
mod places;
pub mod worker;

use wasmtime::component::Component;

use super::{CompileCache, LoadError};
use crate::engine::SandboxEngine;

pub use child::{ChildCompiler, CompileLimits, Progress};

/// Who compiles.
#[derive(Clone, Debug, Default)]
pub enum Compiler {
    /// This process. For components that one trusts as much as oneself: tests, and authors with their own checkers.
    #[default]
    InProcess,
    /// A child process under limits.
    Child(ChildCompiler),
}

/// Takes a component's native code from the cache, or has it compiled and puts it there.
pub(super) fn load(
    engine: &SandboxEngine,
    bytes: &[u8],
    cache: Option<&CompileCache>,
) -> Result<Component, LoadError> {
    let Some(cache) = cache else {
        return instantiate(engine.wasmtime(), &compile(engine, bytes)?);
    };
    let key = cache.key(engine.wasmtime(), bytes);
    if let Some(component) = cached(engine.wasmtime(), cache, &key) {
        return Ok(component);
    }
    let native = compile(engine, bytes)?;
    if let Err(error) = cache.put(&key, &native) {
        tracing::warn!(%error, "a compiled component couldn't be cached");
    }
    // Mapped from its file, code takes memory only where it is used.
    match cached(engine.wasmtime(), cache, &key) {
        Some(component) => Ok(component),
        None => instantiate(engine.wasmtime(), &native),
    }
}

fn compile(engine: &SandboxEngine, bytes: &[u8]) -> Result<Vec<u8>, LoadError> {
    match engine.compiler() {
        Compiler::InProcess => {
            worker::precompile(engine.wasmtime(), bytes).map_err(|reason| LoadError::Uncompilable { reason })
        }
        Compiler::Child(child) => child.compile(engine.execution(), engine.allocation(), bytes),
    }
}

#[expect(
    unsafe_code,
    reason = "wasmtime can't check native code; its origin is checked before"
)]
fn cached(
    engine: &wasmtime::Engine,
    cache: &CompileCache,
    key: &super::cache::CacheKey,
) -> Option<Component> {
    let entry = cache.get(key)?;
    // SAFETY: the cache returns only files that this agent wrote (HMAC under the cache's own key) for this very engine and
    // component (the key covers both). The file is opened by its descriptor, so that another one in its place changes
    // nothing; whoever could write into this one has the cache's key as well, for it lies beside it under the same
    // user and mode.
    let loaded = unsafe { Component::deserialize_file(engine, entry.path()) };
    match loaded {
        Ok(component) => Some(component),
        Err(error) => {
            tracing::warn!(error = %format!("{error:#}"), "a cached component doesn't load; compiling it again");
            None
        }
    }
}

#[expect(
    unsafe_code,
    reason = "wasmtime can't check native code; its origin is checked before"
)]
fn instantiate(engine: &wasmtime::Engine, native: &[u8]) -> Result<Component, LoadError> {
    // SAFETY: `native` is what `compile` returned: code that this process, or a child of the same program, made. It is in
    // memory of this process, so nobody can change it between there and here.
    let loaded = unsafe { Component::deserialize(engine, native) };
    loaded.map_err(|error| LoadError::Uncompilable {
        reason: format!("{error:#}"),
    })
}
