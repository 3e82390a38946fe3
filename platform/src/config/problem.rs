//! What is wrong with a configuration file.

use std::path::PathBuf;

use miette::{Diagnostic, LabeledSpan, NamedSource, Severity, SourceCode};

/// A configuration that can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file can't be read.
    #[error("the configuration {} can't be read: {source}; name the file with --config, or make one with `platform init`", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file says what it can't say.
    #[error("the configuration {} has {}", path.display(), count(problems.len()))]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Its text.
        text: Box<NamedSource<String>>,
        /// Everything that is wrong with it.
        problems: Vec<Problem>,
    },
}

fn count(problems: usize) -> String {
    if problems == 1 {
        "a problem".to_owned()
    } else {
        format!("{problems} problems")
    }
}

/// One thing that is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// What.
    pub message: String,
    /// Where: bytes of the text.
    pub at: std::ops::Range<usize>,
}

impl Diagnostic for ConfigError {
    fn severity(&self) -> Option<Severity> {
        Some(Severity::Error)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        match self {
            Self::Unreadable { .. } => None,
            Self::Invalid { text, .. } => Some(&**text),
        }
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        match self {
            Self::Unreadable { .. } => None,
            Self::Invalid { problems, .. } => Some(Box::new(problems.iter().map(|problem| {
                LabeledSpan::new_with_span(Some(problem.message.clone()), problem.at.clone())
            }))),
        }
    }
}
