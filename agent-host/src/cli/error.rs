//! What goes wrong on the command line, and the exit codes.

use std::fmt::Write;
use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::process::ExitCode;

use picket_identity::credential::CredentialError;
use picket_identity::enrollment::EnrollFileError;
use picket_sandbox::component::signature::{KeyError, Unsignable};

use crate::app::StartError;
use crate::catalogue::loaded::CheckerError;
use crate::config::{LoadError, Problems};
use crate::control::ControlError;
use crate::enrollment::EnrollError;
use crate::identity::IdentityError;

/// Found problems.
pub(crate) const FOUND_PROBLEMS: u8 = 1;
const UNAVAILABLE: u8 = 69;
const BUG: u8 = 70;
pub(crate) const REFUSED: u8 = 77;
const CONFIGURATION: u8 = 78;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// The configuration can't be read, or is wrong.
    #[error("{0}")]
    Config(#[from] LoadError),
    /// The files of checks are wrong.
    #[error("{problems}{}", .unreadable.join("\n"))]
    Checks {
        /// What is wrong in them.
        problems: Problems,
        /// What can't even be read.
        unreadable: Vec<String>,
    },
    /// The agent doesn't start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The identity can't be used.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// A key can't be made or written.
    #[error(transparent)]
    Credential(#[from] CredentialError),
    /// An enrolment file is refused.
    #[error("{}: {source}; nothing was changed", path.display())]
    EnrollFile {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Box<EnrollFileError>,
    },
    /// There is an identity already that would be replaced.
    #[error("{0}")]
    Enrolled(String),
    /// No certificate came.
    #[error("{0}")]
    NotEnrolled(String),
    /// No waiting for an enrolment.
    #[error(transparent)]
    Enroll(#[from] EnrollError),
    /// A file is no checker.
    #[error("{}: {source}", path.display())]
    Checker {
        /// The file.
        path: PathBuf,
        /// Why.
        source: CheckerError,
    },
    /// Something is refused, and nothing was changed.
    #[error("{0}")]
    Refused(String),
    /// A checker refuses a configuration, or can't say what it needs with it.
    #[error("{0}")]
    Asked(String),
    /// Something can't be signed.
    #[error(transparent)]
    Unsignable(#[from] Unsignable),
    /// A file holds no key for signing.
    #[error("{}: {source}", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// Why.
        source: KeyError,
    },
    /// A name isn't known.
    #[error("{0}")]
    Unknown(String),
    /// The running agent can't be asked, or refuses.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// A file or folder can't be read or written.
    #[error("can't {action} {}: {source}", path.display())]
    Io {
        /// What was to be done.
        action: &'static str,
        /// With what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Something is there that would be overwritten.
    #[error("{} exists already and is left as it is; choose another folder with --dir", .0.display())]
    Exists(PathBuf),
    /// The output can't be written.
    #[error("can't write the output: {0}")]
    Output(#[from] io::Error),
}

impl CliError {
    /// What the program exits with.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Config(_)
            | Self::Checks { .. }
            | Self::Identity(_)
            | Self::Exists(_)
            | Self::Enrolled(_) => CONFIGURATION,
            Self::Start(error) => error.exit_code(),
            Self::EnrollFile { .. }
            | Self::Refused(_)
            | Self::Checker {
                source: CheckerError::Untrusted(_),
                ..
            } => REFUSED,
            Self::Key {
                source: KeyError::Unavailable,
                ..
            } => UNAVAILABLE,
            Self::Key { .. } => CONFIGURATION,
            Self::Credential(CredentialError::Crypto(_))
            | Self::Enroll(EnrollError::Key(CredentialError::Crypto(_)) | EnrollError::Tls(_)) => BUG,
            Self::Credential(_) | Self::Enroll(EnrollError::Key(_)) => CONFIGURATION,
            Self::Control(ControlError::Answer { status, .. }) if *status == http::StatusCode::NOT_FOUND => {
                FOUND_PROBLEMS
            }
            Self::Control(ControlError::Refused(_)) => REFUSED,
            Self::Control(ControlError::PathTooLong { .. }) => CONFIGURATION,
            Self::Control(_) => UNAVAILABLE,
            Self::Checker { .. } | Self::Unknown(_) | Self::Asked(_) | Self::Unsignable(_) => FOUND_PROBLEMS,
            Self::Io { .. } | Self::Output(_) | Self::NotEnrolled(_) => UNAVAILABLE,
        })
    }

    /// The whole of it, as it is written to stderr.
    #[must_use]
    pub fn render(&self) -> String {
        let problems = match self {
            Self::Config(LoadError::Problems(problems)) => problems,
            Self::Checks { problems, .. } => problems,
            other => return format!("error: {other}\n"),
        };
        let is_coloured = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        let mut text = problems.render(is_coloured);
        if let Self::Checks { unreadable, .. } = self {
            for problem in unreadable {
                // Writing to a String can't fail.
                let _ = writeln!(text, "error: {problem}");
            }
        }
        text
    }
}
