//! What an agent's identity needs, done in tasks beside the polls.

use std::collections::HashMap;
use std::sync::Arc;

use picket_identity::Serial;
use tokio::sync::Semaphore;
use tokio::task::{AbortHandle, Id, JoinError, JoinSet};

use super::connection::{Connection, Wire};
use super::line::Line;
use super::round::{Seen, Shared, seen};
use crate::assignment::{AgentKey, Assigned};
use crate::clock::BootTime;
use crate::credentials::TenantCredential;
use crate::upkeep::{Attempt, Cause, Need, Step, Trouble, courier, enrollment, renewal};

/// Dials in flight to agents that may never have been started.
const ENROLMENT_DIALS: usize = 32;

/// One thing to be done for an agent.
pub(super) struct Errand {
    pub(super) need: Need,
    pub(super) attempt: Attempt,
    pub(super) credential: Arc<TenantCredential>,
    /// A connection that is there already.
    pub(super) wire: Option<Arc<Wire>>,
    pub(super) line: Arc<Line>,
    pub(super) shared: Shared,
}

/// What was achieved.
#[derive(Debug)]
pub(super) enum Achieved {
    /// The agent has installed the certificate with this serial number.
    Installed(Serial),
    /// The agent goes by the trust statement of this sequence.
    Trusts(u64),
}

/// An errand that has been done, or not.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) need: Need,
    pub(super) attempt: Attempt,
    pub(super) outcome: Result<Achieved, Trouble>,
    /// A connection that was made for it, and is good for polls.
    pub(super) connection: Option<Connection>,
    pub(super) seen: Option<Seen>,
}

/// A running one.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) id: Id,
    pub(super) need: Need,
    pub(super) attempt: Attempt,
    abort: AbortHandle,
}

/// All that are running.
#[derive(Debug)]
pub(super) struct Errands {
    tasks: JoinSet<Done>,
    by_task: HashMap<Id, AgentKey>,
    enrolment_dials: Arc<Semaphore>,
}

impl Default for Errands {
    fn default() -> Self {
        Self {
            tasks: JoinSet::new(),
            by_task: HashMap::new(),
            enrolment_dials: Arc::new(Semaphore::new(ENROLMENT_DIALS)),
        }
    }
}

impl Errands {
    pub(super) fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    pub(super) fn start(&mut self, key: AgentKey, errand: Errand) -> Running {
        let (need, attempt) = (errand.need, errand.attempt.clone());
        let abort = self.tasks.spawn(run(errand, Arc::clone(&self.enrolment_dials)));
        let id = abort.id();
        self.by_task.insert(id, key);
        Running {
            id,
            need,
            attempt,
            abort,
        }
    }

    /// Waits for the next that ends; never ends where there is none. `None` for one that was abandoned.
    pub(super) async fn next(&mut self) -> Option<(AgentKey, Result<Done, JoinError>)> {
        let Some(ended) = self.tasks.join_next_with_id().await else {
            return std::future::pending().await;
        };
        let (id, done) = match ended {
            Ok((id, done)) => (id, Ok(done)),
            Err(error) => (error.id(), Err(error)),
        };
        Some((self.by_task.remove(&id)?, done))
    }

    pub(super) fn abandon(&mut self, running: &Running) {
        running.abort.abort();
        self.by_task.remove(&running.id);
    }
}

async fn run(errand: Errand, enrolment_dials: Arc<Semaphore>) -> Done {
    let mut made = None;
    let outcome = match errand.need {
        Need::Enrolment | Need::Recovery => errand.bring_in(&enrolment_dials).await,
        Need::Trust | Need::Renewal => errand.look_after(&mut made).await,
    };
    let wire = made.as_ref().map(|made: &Connection| Arc::clone(made.wire()));
    Done {
        need: errand.need,
        attempt: errand.attempt,
        outcome,
        seen: wire.or(errand.wire).map(|wire| seen(&wire)),
        connection: made,
    }
}

impl Errand {
    /// An agent that can't be polled as it is.
    async fn bring_in(&self, dials: &Semaphore) -> Result<Achieved, Trouble> {
        let assigned = self.line.expected();
        let on_issued = |serial: &Serial| self.line.issued(serial, BootTime::now());
        let (credential, issuer, attempt) = (&self.credential, &self.shared.issuer, &self.attempt);
        let installed = match self.need {
            Need::Recovery => {
                renewal::recover(&assigned, credential, issuer, dials, attempt, &on_issued).await
            }
            _ => enrollment::enroll(&assigned, credential, issuer, dials, attempt, &on_issued).await,
        };
        installed.map(Achieved::Installed)
    }

    /// An agent that is polled: over its connection, or over one of its own. A kept connection may have died since it was
    /// last used without anybody noticing; that says nothing about the agent.
    async fn look_after(&self, made: &mut Option<Connection>) -> Result<Achieved, Trouble> {
        if let Some(wire) = &self.wire {
            match self.over(wire).await {
                Err(trouble) if trouble.is_silence => {}
                outcome => return outcome,
            }
        }
        let assigned = self.line.expected();
        let connection = Connection::open(&assigned, &self.credential, &self.shared.dials)
            .await
            .map_err(|failure| Trouble::of(Step::Dial, failure))?;
        self.line.connected(connection.wire(), &assigned);
        let wire = Arc::clone(made.insert(connection).wire());
        self.over(&wire).await
    }

    async fn over(&self, wire: &Wire) -> Result<Achieved, Trouble> {
        let assigned = self.line.expected();
        if self.need == Need::Renewal {
            let presented = wire.verified().serial();
            let on_issued = |serial: &Serial| self.line.issued(serial, BootTime::now());
            let (channel, issuer) = (wire.channel(), &self.shared.issuer);
            let renewed = renewal::renew(&assigned, channel, presented, issuer, &self.attempt, &on_issued);
            return renewed.await.map(Achieved::Installed);
        }
        let sequence = self.deliver(&assigned, wire).await?;
        wire.trusts(sequence);
        Ok(Achieved::Trusts(sequence))
    }

    async fn deliver(&self, assigned: &Assigned, wire: &Wire) -> Result<u64, Trouble> {
        // Nothing is brought in the name of a gateway that doesn't own the agent any more.
        if !self.shared.fence.may_act(BootTime::now()) {
            let detail = "this gateway's lease has run out; the next one goes on";
            return Err(Trouble::new(Step::Update, Cause::NotOwner, detail));
        }
        match &assigned.agent_trust {
            Some(trust) => courier::deliver(wire.channel(), trust).await,
            None => Ok(wire.trust_sequence()),
        }
    }
}
