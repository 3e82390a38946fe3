//! What is raised, changed and resolved. The decision is a function of the open alert and of what is wanted; writing it
//! belongs to the transaction that learned of it, so an alert exists exactly if its cause does.
//!
//! - [`Kind`]: the kinds of alert.
//! - [`decision`]: what to do about one.
//! - [`freshness`]: checks whose results stopped coming although their agent delivers.

pub mod decision;
pub mod freshness;

use crate::clock::UnixMs;
use crate::events::Event;
use crate::metrics::alerts as report;
use crate::store::alerts::{Content, Open, Subject};
use crate::store::{self, Connection, StoreError};

pub use decision::{Decision, Severity};

/// The kinds of alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Nobody gets through to the agent.
    AgentUnreachable,
    /// Somebody answers at the agent's address, and isn't the agent: an identity was refused.
    AgentRefused,
    /// A check gives something other than ok.
    CheckFailing,
    /// A check's results stopped coming.
    CheckStale,
    /// An agent's certificate ends soon.
    CertificateExpiring,
    /// An agent's enrolment file was used a second time, with another key: somebody has a copy of it.
    ActivationReuse,
}

impl Kind {
    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AgentUnreachable => "agent_unreachable",
            Self::AgentRefused => "agent_refused",
            Self::CheckFailing => "check_failing",
            Self::CheckStale => "check_stale",
            Self::CertificateExpiring => "certificate_expiring",
            Self::ActivationReuse => "activation_reuse",
        }
    }

    /// An alert of this kind about an agent, or one of its checks.
    #[must_use]
    pub const fn subject<'a>(self, tenant: &'a str, agent: &'a str, name: &'a str) -> Subject<'a> {
        Subject {
            tenant,
            kind: self.as_str(),
            agent,
            name,
        }
    }
}

/// Makes the alert about `subject` say `wanted`, or resolves it where that is `None`. Returns the event to publish once
/// the transaction has committed; `None` where nothing changed.
///
/// # Errors
/// [`StoreError`].
pub async fn apply(
    connection: &mut Connection,
    subject: &Subject<'_>,
    wanted: Option<Content>,
    now: UnixMs,
) -> Result<Option<Event>, StoreError> {
    let open = store::alerts::find_open(connection, subject).await?;
    apply_to(connection, subject, open.as_ref(), wanted, now).await
}

/// As [`apply`], where the open alert is known already.
///
/// # Errors
/// [`StoreError`].
pub async fn apply_to(
    connection: &mut Connection,
    subject: &Subject<'_>,
    open: Option<&Open>,
    wanted: Option<Content>,
    now: UnixMs,
) -> Result<Option<Event>, StoreError> {
    let id = match decision::decide(open, wanted) {
        Decision::Nothing => return Ok(None),
        Decision::Raise(content) => {
            let id = uuid::Uuid::now_v7().to_string();
            store::alerts::raise(connection, &id, subject, &content, now).await?;
            report::raised(subject, &content);
            id
        }
        Decision::Change { id, content } => {
            store::alerts::change(connection, subject.tenant, &id, &content, now).await?;
            id
        }
        Decision::Resolve { id } => {
            store::alerts::resolve(connection, subject.tenant, &id, now).await?;
            report::resolved(subject);
            id
        }
    };
    Ok(Some(Event::alert(subject.tenant, subject.agent, &id, now)))
}
