//! One checker in memory. Everything that is asked of the sandbox's loader is asked here.

use std::path::Path;
use std::sync::Arc;

use picket_proto::agent::v1::FailureClass;
use picket_sandbox::component::{Checker, CompileCache, Import, LoadError};
use picket_sandbox::engine::SandboxEngine;
use picket_sandbox::report::{Descriptor, Need};
use picket_sandbox::run::{self, Failure, RunOutcome, RunSpec};

use super::candidate::Candidate;
use super::trust::{self, Distrust, Signer};
use crate::config::SignatureSettings;
use crate::runner::convert;

/// Why a file is no checker.
#[derive(Debug, thiserror::Error)]
pub enum CheckerError {
    /// It isn't trusted: nothing of it was compiled.
    #[error(transparent)]
    Untrusted(#[from] Distrust),
    /// It can't be loaded.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// It doesn't describe itself.
    #[error("the checker loads, but it can't describe itself: {0}")]
    Describe(#[from] Failure),
    /// A bug of ours.
    #[error("loading it failed, which is a bug of agent-host: {0}")]
    Crashed(#[from] tokio::task::JoinError),
}

/// Why it isn't known what a configuration needs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NeedsError {
    /// The checker refuses the configuration.
    #[error("{0}")]
    InvalidConfig(String),
    /// Anything else.
    #[error("{1}")]
    Failed(FailureClass, String),
}

/// Loads checkers into one engine.
#[derive(Clone)]
pub struct Loader {
    engine: SandboxEngine,
    cache: Option<Arc<CompileCache>>,
    signatures: Arc<SignatureSettings>,
}

impl std::fmt::Debug for Loader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Loader")
    }
}

impl Loader {
    /// A loader of what these settings trust; with a cache, what was compiled once is only read.
    #[must_use]
    pub fn new(engine: SandboxEngine, cache: Option<CompileCache>, signatures: SignatureSettings) -> Self {
        Self {
            engine,
            cache: cache.map(Arc::new),
            signatures: Arc::new(signatures),
        }
    }

    /// Verifies, inspects, compiles and describes a file.
    ///
    /// # Errors
    /// It isn't trusted, or no checker that this host can run, in a sentence that says what to do.
    pub async fn load(&self, file: &Path) -> Result<Loaded, CheckerError> {
        let path = file.to_path_buf();
        let candidate = tokio::task::spawn_blocking(move || Candidate::read(&path)).await??;
        self.admit(&Arc::new(candidate)).await
    }

    /// [`load`](Self::load) of a file that was read already. What isn't trusted is neither compiled nor run.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub async fn admit(&self, candidate: &Arc<Candidate>) -> Result<Loaded, CheckerError> {
        let (engine, cache) = (self.engine.clone(), self.cache.clone());
        let (settings, candidate) = (Arc::clone(&self.signatures), Arc::clone(candidate));
        let compile = move || {
            // What is logged while it compiles says of which file.
            let _span = tracing::info_span!("checker", file = %candidate.file().display()).entered();
            let signer = trust::judge(&settings, &candidate)?;
            let checker = Checker::load(&engine, candidate.component(), cache.as_deref())?;
            // A command can't say its name: its publisher does, or else its file.
            let stem = candidate.file().file_stem().unwrap_or_default().to_string_lossy();
            let name = signer
                .manifest()
                .map_or(stem.as_ref(), |manifest| manifest.checker());
            Ok::<_, CheckerError>((checker.named(name), signer))
        };
        let (checker, signer) = tokio::task::spawn_blocking(compile).await??;
        let descriptor = checker.describe().await?;
        trust::fits(&signer, &descriptor)?;
        Ok(Loaded {
            checker: LoadedChecker { checker, descriptor },
            signer,
        })
    }
}

/// A checker and who signed it.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The checker.
    pub checker: LoadedChecker,
    /// Who signed it.
    pub signer: Signer,
}

/// A checker that can run, and what it says of itself.
#[derive(Clone, Debug)]
pub struct LoadedChecker {
    checker: Checker,
    descriptor: Descriptor,
}

impl LoadedChecker {
    /// What it says of itself.
    #[must_use]
    pub fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    /// SHA-256 of the component without its signature section, hexadecimal.
    #[must_use]
    pub fn digest(&self) -> &str {
        self.checker.sha256()
    }

    /// Bytes of the component without its signature section.
    #[must_use]
    pub fn size(&self) -> usize {
        self.checker.size()
    }

    /// All that it could ever ask the host for.
    #[must_use]
    pub fn imports(&self) -> &[Import] {
        self.checker.imports()
    }

    /// What a configuration (a JSON object) needs.
    ///
    /// # Errors
    /// The checker refuses the configuration, or fails.
    pub async fn needs(&self, config: &str) -> Result<Vec<Need>, NeedsError> {
        self.checker
            .needs(config)
            .await
            .map_err(|failure| match convert::class(failure.class) {
                FailureClass::InvalidConfig => NeedsError::InvalidConfig(failure.message),
                class => NeedsError::Failed(class, failure.message),
            })
    }

    /// Runs a check once.
    pub async fn run(&self, spec: RunSpec) -> RunOutcome {
        run::run(&self.checker, spec).await
    }
}
