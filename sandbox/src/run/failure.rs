//! Why a run gave no report.

use std::fmt;

/// The kinds of failure, as results carry them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FailureClass {
    /// The checker trapped or panicked.
    Crash,
    /// It used up its wall time.
    Timeout,
    /// It used up its CPU time.
    Cpu,
    /// It asked for more memory than it may have.
    Memory,
    /// It returned something that breaks the contract's limits.
    BadOutput,
    /// It was refused something that it needs.
    Denied,
    /// Its configuration isn't one that it can run with.
    InvalidConfig,
    /// There is no such checker, or it can't be loaded.
    NoChecker,
    /// The checker said that it failed.
    Failed,
    /// The machine lacks something that it needs.
    Unsupported,
}

impl FailureClass {
    /// The class in words of `snake_case`, as logs and metrics name it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Crash => "crash",
            Self::Timeout => "timeout",
            Self::Cpu => "cpu",
            Self::Memory => "memory",
            Self::BadOutput => "bad_output",
            Self::Denied => "denied",
            Self::InvalidConfig => "invalid_config",
            Self::NoChecker => "no_checker",
            Self::Failed => "failed",
            Self::Unsupported => "unsupported",
        }
    }
}

impl fmt::Display for FailureClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a run gave no report, with a sentence for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// The kind.
    pub class: FailureClass,
    /// What happened, and what to do about it where that is known.
    pub message: String,
}

impl Failure {
    /// Of a class, with its sentence.
    pub fn new(class: FailureClass, message: impl Into<String>) -> Self {
        Self {
            class,
            message: message.into(),
        }
    }
}
