//! `picket.agent.v1.Agent`.

use std::pin::Pin;
use std::sync::Arc;

use arc_swap::ArcSwap;
use futures_util::Stream;
use picket_identity::name::CheckName;
use picket_proto::agent::v1::agent_server::Agent;
use picket_proto::agent::v1::{
    CheckDescription, CheckerDescription, DescribeRequest, DescribeResponse, PullRequest, PullResponse,
    RunCheckRequest, RunCheckResponse, SpoolStatus,
};
use tonic::{Request, Response, Status, Streaming};
use uuid::Uuid;

use super::authorise::Guard;
use super::pull;
use crate::catalogue::Catalogue;
use crate::catalogue::trust::Signer;
use crate::identity::IdentityStore;
use crate::runner::Checks;
use crate::runner::meter::{Healths, Meters};
use crate::runner::now::{RunNowError, run_now};
use crate::schedule::{Scheduler, unix_ms};
use crate::spool::{Spool, View};

/// The contract lines of checkers that this host runs.
pub const CHECKER_LINES: &[&str] = &["picket:checker@0.1"];

/// Everything that a call may look at.
#[derive(Clone, Debug)]
pub struct AgentService {
    /// Who may call.
    pub guard: Guard,
    /// Who this agent is.
    pub identity: Arc<IdentityStore>,
    /// Its results.
    pub spool: Spool,
    /// Its checks.
    pub checks: Arc<ArcSwap<Checks>>,
    /// Its checkers.
    pub catalogue: Arc<ArcSwap<Catalogue>>,
    /// What they have cost, and how they stand.
    pub meters: Arc<Meters>,
    /// What runs them.
    pub scheduler: Scheduler,
    /// Random for each start.
    pub boot_id: Uuid,
    /// When it started.
    pub started_at_unix_ms: u64,
    /// Ends pulls that follow.
    pub shutdown: tokio_util::sync::CancellationToken,
}

/// A spool's state as the contract says it.
#[must_use]
pub fn spool_status(view: &View) -> SpoolStatus {
    SpoolStatus {
        stream: view.stream().to_string(),
        first_seq: view.first_seq(),
        last_seq: if view.first_seq() == 0 { 0 } else { view.last_seq() },
        bytes: view.bytes(),
        quota_bytes: view.quota(),
        dropped: view.dropped(),
    }
}

#[tonic::async_trait]
impl Agent for AgentService {
    async fn describe(
        &self,
        request: Request<DescribeRequest>,
    ) -> Result<Response<DescribeResponse>, Status> {
        self.guard.admit(request.extensions())?;
        let checks = self.checks.load();
        let catalogue = self.catalogue.load();
        let health = Healths::new(&checks, &self.meters.snapshot());
        let millis = |duration: std::time::Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let checks = checks.values().map(|check| CheckDescription {
            name: check.name.to_string(),
            checker: check.checker_name().to_owned(),
            interval_ms: millis(check.interval),
            timeout_ms: millis(check.timeout),
            problem: check.problem().unwrap_or_default().to_owned(),
            health: health.of_check(&check.name),
        });
        let checkers = catalogue.entries().iter().map(|(stem, entry)| {
            let problem = entry.problem.clone().unwrap_or_default();
            match &entry.checker {
                Some(checker) => CheckerDescription {
                    name: checker.descriptor().name.clone(),
                    version: checker.descriptor().version.clone(),
                    digest: checker.digest().to_owned(),
                    problem,
                    health: health.of_checker(checker.digest()),
                    signer: match entry.signer {
                        Signer::NotChecked => String::new(),
                        ref signer => signer.to_string(),
                    },
                    note: entry.note.clone().unwrap_or_default(),
                },
                None => CheckerDescription {
                    name: stem.clone(),
                    problem,
                    ..CheckerDescription::default()
                },
            }
        });
        let own = self.identity.current();
        Ok(Response::new(DescribeResponse {
            spiffe_id: own.identity().id().to_string(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            checker_lines: CHECKER_LINES.iter().map(|&line| line.to_owned()).collect(),
            boot_id: self.boot_id.to_string(),
            started_at_unix_ms: self.started_at_unix_ms,
            now_unix_ms: unix_ms(),
            spool: Some(spool_status(&self.spool.view())),
            checks: checks.collect(),
            checkers: checkers.collect(),
            trust_sequence: own.identity().trust_sequence(),
        }))
    }

    type PullStream = Pin<Box<dyn Stream<Item = Result<PullResponse, Status>> + Send>>;

    async fn pull(
        &self,
        request: Request<Streaming<PullRequest>>,
    ) -> Result<Response<Self::PullStream>, Status> {
        let peer = self.guard.admit(request.extensions())?;
        let pull = pull::Pull {
            spool: self.spool.clone(),
            identity: Arc::clone(&self.identity),
            gateway: peer.verified().id().to_string(),
            shutdown: self.shutdown.clone(),
        };
        Ok(Response::new(Box::pin(pull.answer(request.into_inner()))))
    }

    async fn run_check(
        &self,
        request: Request<RunCheckRequest>,
    ) -> Result<Response<RunCheckResponse>, Status> {
        self.guard.admit(request.extensions())?;
        let name: CheckName = request
            .into_inner()
            .check
            .parse()
            .map_err(|error: picket_identity::name::NameError| Status::invalid_argument(error.to_string()))?;
        let (result, position) = run_now(&self.scheduler, &self.spool, name)
            .await
            .map_err(|error| match error {
                RunNowError::Unknown(_) => Status::not_found(error.to_string()),
                RunNowError::Running(_) => Status::failed_precondition(error.to_string()),
                RunNowError::Stopping => Status::unavailable(error.to_string()),
                RunNowError::Lost(_) => Status::resource_exhausted(error.to_string()),
            })?;
        Ok(Response::new(RunCheckResponse {
            result: Some(result),
            stream: position.stream.to_string(),
            seq: position.seq,
        }))
    }
}
