//! From bytes to a checker that can run.

pub mod cache;
pub mod compile;
mod error;
pub mod inspect;
mod misfit;
mod preview1;
pub mod signature;

use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;

use wasmtime::component::{Component, InstancePre};
use wasmtime_wasi::p2::bindings::CommandPre;

pub use cache::CompileCache;
pub use compile::{ChildCompiler, CompileLimits, Compiler};
pub use error::LoadError;
pub use inspect::Import;

use crate::engine::SandboxEngine;
use crate::report::{Descriptor, Need};
use crate::run::{self, Failure, RunState};
use inspect::Kind;

/// A component that was inspected, compiled and linked. Cheap to clone; runs hold their own clone, so that a checker may
/// be replaced while old runs finish.
#[derive(Clone)]
pub struct Checker {
    inner: Arc<Inner>,
    /// What a command is called: it can't say so itself.
    name: Arc<str>,
}

/// How a checker is run.
pub(crate) enum Program {
    /// By the contract.
    Contract(crate::bindings::CheckerPre<RunState>),
    /// As a program that prints a Nagios line.
    Command(CommandPre<RunState>),
}

struct Inner {
    engine: SandboxEngine,
    program: Program,
    imports: Vec<Import>,
    version: Option<String>,
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
        let version = inspected.version.clone();
        let (inspected, component) = as_component(inspected, bytes)?;
        let component = compile::load(engine, &component, cache)?;
        let linked = link(engine, &component)?;
        let program = match inspected.kind {
            Kind::Contract => crate::bindings::CheckerPre::new(linked).map(Program::Contract),
            Kind::Command | Kind::Preview1 => CommandPre::new(linked).map(Program::Command),
        };
        Ok(Self {
            inner: Arc::new(Inner {
                engine: engine.clone(),
                program: program.map_err(|error| misfit::export(&error))?,
                imports: inspected.imports,
                version,
                sha256: cache::hex(&cache::sha256(bytes)),
                size: bytes.len(),
            }),
            name: Arc::from("command"),
        })
    }

    /// Names a command after its file's stem, in the alphabet of checkers' names; others name themselves.
    #[must_use]
    pub fn named(mut self, stem: &str) -> Self {
        if let Some(name) = run::command_name(stem) {
            self.name = Arc::from(name);
        }
        self
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
        let checker = Self::load(engine, &inspect::read(path)?, cache)?;
        let stem = path.file_stem().unwrap_or_default();
        Ok(checker.named(&stem.to_string_lossy()))
    }

    /// Whether this is a command: a program that prints a Nagios line, rather than a component of the contract.
    #[must_use]
    pub fn is_command(&self) -> bool {
        matches!(self.inner.program, Program::Command(_))
    }

    /// What the component imports: all that it could ever ask the host for.
    #[must_use]
    pub fn imports(&self) -> &[Import] {
        &self.inner.imports
    }

    /// SHA-256 of the file as it was delivered, hexadecimal.
    #[must_use]
    pub fn sha256(&self) -> &str {
        &self.inner.sha256
    }

    /// Bytes of the file as it was delivered.
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

    pub(crate) fn program(&self) -> &Program {
        &self.inner.program
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn version(&self) -> Option<&str> {
        self.inner.version.as_deref()
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

/// What is compiled: a module of preview1 is made a component, and looked over once more as that.
fn as_component(
    inspected: inspect::Inspected,
    bytes: &[u8],
) -> Result<(inspect::Inspected, Cow<'_, [u8]>), LoadError> {
    if inspected.kind != Kind::Preview1 {
        return Ok((inspected, Cow::Borrowed(bytes)));
    }
    let component = preview1::wrap(bytes)?;
    Ok((inspect::inspect(&component)?, Cow::Owned(component)))
}

fn link(engine: &SandboxEngine, component: &Component) -> Result<InstancePre<RunState>, LoadError> {
    engine
        .linker()
        .instantiate_pre(component)
        .map_err(|error| misfit::import(&error))
}
