//! From bytes to a checker that can run.

pub mod cache;
mod compile;
mod error;
pub mod inspect;
mod misfit;

use std::path::Path;
use std::sync::Arc;

use wasmtime::component::{Component, InstancePre};

pub use cache::CompileCache;
pub use error::LoadError;
pub use inspect::Import;

use crate::engine::SandboxEngine;
use crate::report::{Descriptor, Need};
use crate::run::{self, Failure, RunState};

/// A component that was inspected, compiled and linked. Cheap to clone; runs hold their own clone, so that a checker may
/// be replaced while old runs finish.
#[derive(Clone)]
pub struct Checker {
    inner: Arc<Inner>,
}

struct Inner {
    engine: SandboxEngine,
    bindings: crate::bindings::CheckerPre<RunState>,
    imports: Vec<Import>,
    sha256: String,
    size: usize,
}

impl Checker {
    /// Inspects and compiles a component, or takes it from the cache. Compiling takes 0.05 s to 10 s of CPU time: call it
    /// where blocking is allowed.
    ///
    /// # Errors
    /// Why these bytes are no checker that this host can run.
    pub fn load(
        engine: &SandboxEngine,
        bytes: &[u8],
        cache: Option<&CompileCache>,
    ) -> Result<Self, LoadError> {
        let inspected = inspect::inspect(bytes)?;
        let component = compile::load(engine.wasmtime(), bytes, cache)?;
        let linked = link(engine, &component)?;
        let bindings = crate::bindings::CheckerPre::new(linked).map_err(|error| misfit::export(&error))?;
        Ok(Self {
            inner: Arc::new(Inner {
                engine: engine.clone(),
                bindings,
                imports: inspected.imports,
                sha256: cache::hex(&cache::sha256(bytes)),
                size: bytes.len(),
            }),
        })
    }

    /// [`load`](Self::load) from a file, whose size is looked at before it is read.
    ///
    /// # Errors
    /// As [`load`](Self::load), or a file that can't be read.
    pub fn load_file(
        engine: &SandboxEngine,
        path: &Path,
        cache: Option<&CompileCache>,
    ) -> Result<Self, LoadError> {
        Self::load(engine, &inspect::read(path)?, cache)
    }

    /// What the component imports: all that it could ever ask the host for.
    #[must_use]
    pub fn imports(&self) -> &[Import] {
        &self.inner.imports
    }

    /// SHA-256 of the component, hexadecimal.
    #[must_use]
    pub fn sha256(&self) -> &str {
        &self.inner.sha256
    }

    /// Bytes of the component.
    #[must_use]
    pub fn size(&self) -> usize {
        self.inner.size
    }

    /// What the checker says of itself; it runs with no grants at all.
    ///
    /// # Errors
    /// Why it said nothing, or something that breaks the contract.
    pub async fn describe(&self) -> Result<Descriptor, Failure> {
        run::describe(self).await
    }

    /// What a configuration (a JSON object) needs; it runs with no grants at all.
    ///
    /// # Errors
    /// The checker's own sentence about the configuration, or why it said nothing.
    pub async fn needs(&self, config: &str) -> Result<Vec<Need>, Failure> {
        run::needs(self, config).await
    }

    pub(crate) fn engine(&self) -> &SandboxEngine {
        &self.inner.engine
    }

    pub(crate) fn bindings(&self) -> &crate::bindings::CheckerPre<RunState> {
        &self.inner.bindings
    }
}

impl std::fmt::Debug for Checker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Checker")
            .field("sha256", &self.inner.sha256)
            .field("size", &self.inner.size)
            .finish()
    }
}

fn link(engine: &SandboxEngine, component: &Component) -> Result<InstancePre<RunState>, LoadError> {
    engine
        .linker()
        .instantiate_pre(component)
        .map_err(|error| misfit::import(&error))
}
