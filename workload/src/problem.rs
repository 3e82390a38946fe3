//! Why there is no new SVID, in a sentence that says what to do.

use std::error::Error;
use std::time::Duration;

use picket_identity::spiffe::SpiffeId;
use spiffe::WorkloadApiError;
use thiserror::Error as ThisError;

use crate::{Socket, SvidError};

/// Why there is no new SVID.
#[derive(Debug, ThisError)]
pub enum Problem {
    /// Nobody is there.
    #[error(
        "the Workload API at {socket} can't be reached: {detail}; start the SPIRE agent, or correct `workload_api`"
    )]
    Unreachable {
        /// Where.
        socket: Socket,
        /// What the system said.
        detail: String,
    },
    /// It doesn't know this process.
    #[error(
        "the Workload API at {socket} has no identity for this process: register {expected} for it with SPIRE"
    )]
    NotEntitled {
        /// Where.
        socket: Socket,
        /// Whom the configuration says that we are.
        expected: SpiffeId,
    },
    /// It doesn't serve this process.
    #[error("the Workload API at {socket} denies this process: {detail}")]
    Denied {
        /// Where.
        socket: Socket,
        /// What it said.
        detail: String,
    },
    /// It answered with nothing.
    #[error(
        "the Workload API at {socket} gave an empty answer: expected the SVID of {expected}; see the SPIRE agent's log"
    )]
    Empty {
        /// Where.
        socket: Socket,
        /// Whom the configuration says that we are.
        expected: SpiffeId,
    },
    /// It answers in time no more.
    #[error("the Workload API at {socket} gave no answer within {} s; see whether the SPIRE agent is well", .after.as_secs())]
    Silent {
        /// Where.
        socket: Socket,
        /// How long it had.
        after: Duration,
    },
    /// It went away.
    #[error("the Workload API at {socket} ended the stream")]
    Ended {
        /// Where.
        socket: Socket,
    },
    /// What it said can't be read.
    #[error("the Workload API at {socket} gave an answer that can't be used: {detail}")]
    Malformed {
        /// Where.
        socket: Socket,
        /// What is wrong with it.
        detail: String,
    },
    /// What it said isn't good.
    #[error("the Workload API at {socket} gave an answer that isn't taken: {source}")]
    Refused {
        /// Where.
        socket: Socket,
        /// Why.
        source: Box<SvidError>,
    },
}

impl Problem {
    /// What the client says of a stream or a connection that failed.
    pub(crate) fn of(error: &WorkloadApiError, socket: &Socket, expected: &SpiffeId) -> Self {
        let socket = socket.clone();
        match error {
            WorkloadApiError::NoIdentityIssued => Self::NotEntitled {
                socket,
                expected: expected.clone(),
            },
            WorkloadApiError::PermissionDenied(detail) => Self::Denied {
                socket,
                detail: shown(detail),
            },
            WorkloadApiError::EmptyResponse
            | WorkloadApiError::MissingRequiredField {
                field: "X509SVIDResponse.svids",
            } => Self::Empty {
                socket,
                expected: expected.clone(),
            },
            WorkloadApiError::Transport(_) => Self::Unreachable {
                socket,
                detail: causes(error),
            },
            other => Self::Malformed {
                socket,
                detail: causes(other),
            },
        }
    }
}

/// An error and what is behind it: a transport's own words say nothing.
fn causes(error: &(dyn Error + 'static)) -> String {
    let mut words: Vec<String> = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let text = shown(&error.to_string());
        // An error that passes its cause's words on would say them twice.
        if words.last().is_none_or(|last| !last.ends_with(&text)) {
            words.push(text);
        }
        next = error.source();
    }
    words.join(": ")
}

/// What comes over the socket reaches logs and terminals: no control characters, and no more than a line.
fn shown(text: &str) -> String {
    text.chars().take(300).flat_map(char::escape_debug).collect()
}
