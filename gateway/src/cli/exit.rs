//! Exit codes, and what is said on the way out.

use std::process::ExitCode;

use crate::config::ConfigError;
use crate::credentials::IssueError;
use crate::platform::{IdentityError, Unavailable};

pub(super) const OK: u8 = 0;
const PROBLEMS: u8 = 1;
pub(super) const USAGE: u8 = 2;
const UNAVAILABLE: u8 = 69;
pub(super) const BUG: u8 = 70;
const REFUSED: u8 = 77;
const CONFIGURATION: u8 = 78;

pub(super) const HELP: &str = "Exit codes: 0 ok, 1 found problems, 2 usage, 69 unavailable, 70 bug, 77 refused, \
                               78 configuration";

/// A command that failed: what to say, and the exit code.
#[derive(Debug)]
pub(super) struct Failed {
    code: u8,
    report: miette::Report,
}

impl Failed {
    fn new(code: u8, message: impl std::fmt::Display) -> Self {
        Self {
            code,
            report: miette::Report::msg(message.to_string()),
        }
    }

    /// What was looked at has problems.
    pub(super) fn problems(message: impl std::fmt::Display) -> Self {
        Self::new(PROBLEMS, message)
    }

    /// Something that is needed isn't there now.
    pub(super) fn unavailable(message: impl std::fmt::Display) -> Self {
        Self::new(UNAVAILABLE, message)
    }

    /// Somebody's identity wasn't accepted.
    pub(super) fn refused(message: impl std::fmt::Display) -> Self {
        Self::new(REFUSED, message)
    }

    /// The arguments don't go together.
    pub(super) fn usage(message: impl std::fmt::Display) -> Self {
        Self::new(USAGE, message)
    }

    /// A file or a setting can't be used.
    pub(super) fn misconfigured(message: impl std::fmt::Display) -> Self {
        Self::new(CONFIGURATION, message)
    }

    /// A configuration file can't be used.
    pub(super) fn configuration(error: ConfigError) -> Self {
        Self {
            code: CONFIGURATION,
            report: miette::Report::new(error),
        }
    }

    /// Says what is wrong.
    pub(super) fn report(self) -> ExitCode {
        use std::io::Write as _;
        // Nobody reads it where stderr is closed.
        let _ = writeln!(std::io::stderr(), "{:?}", self.report);
        ExitCode::from(self.code)
    }
}

impl From<IdentityError> for Failed {
    fn from(error: IdentityError) -> Self {
        if let IdentityError::WorkloadApi(_) = error {
            return Self::unavailable(error);
        }
        Self::misconfigured(error)
    }
}

impl From<Unavailable> for Failed {
    fn from(error: Unavailable) -> Self {
        match error {
            Unavailable::Refused(_) => Self::refused(error),
            Unavailable::Away(_) => Self::unavailable(error),
        }
    }
}

impl From<IssueError> for Failed {
    fn from(error: IssueError) -> Self {
        match error {
            IssueError::Unavailable(error) => error.into(),
            error => Self::refused(error),
        }
    }
}
