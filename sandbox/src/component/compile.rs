//! Compiling, the one thing that can't be bounded within the process: all of it goes through [`compile`], from bytes to
//! bytes, so that a child process can do it.

use wasmtime::Engine;
use wasmtime::component::Component;

use super::{CompileCache, LoadError};

/// Takes a component's native code from the cache, or compiles it and puts it there.
pub(super) fn load(
    engine: &Engine,
    bytes: &[u8],
    cache: Option<&CompileCache>,
) -> Result<Component, LoadError> {
    let Some(cache) = cache else {
        return instantiate(engine, &compile(engine, bytes)?);
    };
    let key = cache.key(engine, bytes);
    if let Some(native) = cache.get(&key) {
        match instantiate(engine, &native) {
            Ok(component) => return Ok(component),
            Err(error) => tracing::warn!(%error, "a cached component doesn't load; compiling it again"),
        }
    }
    let native = compile(engine, bytes)?;
    if let Err(error) = cache.put(&key, &native) {
        tracing::warn!(%error, "a compiled component couldn't be cached");
    }
    instantiate(engine, &native)
}

fn compile(engine: &Engine, bytes: &[u8]) -> Result<Vec<u8>, LoadError> {
    engine
        .precompile_component(bytes)
        .map_err(|error| LoadError::Uncompilable {
            reason: format!("{error:#}"),
        })
}

#[expect(
    unsafe_code,
    reason = "wasmtime can't check native code; its origin is checked before"
)]
fn instantiate(engine: &Engine, native: &[u8]) -> Result<Component, LoadError> {
    // SAFETY: `native` is what `compile` returned in this process, or what the cache returned, which checks that this
    // agent wrote it (HMAC under the cache's own key) for this very engine and component (the key covers both). It is in
    // memory, so nobody can change it between that check and here.
    let loaded = unsafe { Component::deserialize(engine, native) };
    loaded.map_err(|error| LoadError::Uncompilable {
        reason: format!("{error:#}"),
    })
}
