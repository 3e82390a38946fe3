//! The platform, asked for agents' certificates.

use std::sync::Arc;
use std::time::Duration;

use picket_identity::Serial;
use picket_identity::channel_binding::ChannelBinding;
use picket_proto::agent::v1::IssuedCertificate;
use picket_proto::platform::v1::registry_client::RegistryClient;
use picket_proto::platform::v1::{EnrollAgentRequest, IssueAgentCertificateResponse, RenewAgentRequest};
use tokio::sync::{Semaphore, SemaphorePermit};
use tonic::transport::Channel;
use tonic::{Response, Status};

use super::exchange::{Proof, said};
use super::{Attempt, Cause, Step, Trouble};
use crate::assignment::Assigned;
use crate::clock::BootTime;
use crate::lease::Fence;
use crate::platform::Link;

const DEADLINE: Duration = Duration::from_secs(15);

/// Exchanges in flight of each kind: a rotation must not become a flood of signatures. Strangers, who may be slow on
/// purpose, don't take the places of agents that were verified.
const IN_FLIGHT: usize = 32;

/// The platform, as the owner of agents sees it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Issuer {
    link: Link,
    instance: Arc<str>,
    fence: Fence,
    enrolments: Arc<Semaphore>,
    renewals: Arc<Semaphore>,
}

impl Issuer {
    /// Asks in the name of a session's instance, while its fence is up.
    pub fn new(link: Link, instance: Arc<str>, fence: Fence) -> Self {
        Self {
            link,
            instance,
            fence,
            enrolments: Arc::new(Semaphore::new(IN_FLIGHT)),
            renewals: Arc::new(Semaphore::new(IN_FLIGHT)),
        }
    }

    /// A place for an enrolment: taken before the agent is asked for anything, so that it doesn't wait in the middle.
    pub(super) async fn place_to_enroll(&self) -> Option<SemaphorePermit<'_>> {
        self.enrolments.acquire().await.ok()
    }

    /// A place for a renewal.
    pub(super) async fn place_to_renew(&self) -> Option<SemaphorePermit<'_>> {
        self.renewals.acquire().await.ok()
    }

    /// An agent's first certificate. `binding` is what this gateway computed for its own connection to the agent.
    pub(super) async fn enroll(
        &self,
        assigned: &Assigned,
        attempt: &Attempt,
        proof: Proof,
        binding: &ChannelBinding,
    ) -> Result<IssuedCertificate, Trouble> {
        let request = EnrollAgentRequest {
            tenant: assigned.key.tenant.to_string(),
            agent: assigned.key.agent.to_string(),
            shard: assigned.shard,
            epoch: assigned.epoch,
            instance: self.instance.to_string(),
            correlation_id: attempt.correlation_id.to_string(),
            csr: proof.csr,
            signature: proof.signature,
            channel_binding: binding.as_bytes().to_vec().into(),
        };
        let ask = |mut client: RegistryClient<Channel>| async move { client.enroll_agent(request).await };
        self.ask(attempt, ask).await
    }

    /// An agent's next certificate. `presented` is the serial number by which this gateway verified the agent.
    pub(super) async fn renew(
        &self,
        assigned: &Assigned,
        attempt: &Attempt,
        proof: Proof,
        presented: &Serial,
        recovery: bool,
    ) -> Result<IssuedCertificate, Trouble> {
        let request = RenewAgentRequest {
            tenant: assigned.key.tenant.to_string(),
            agent: assigned.key.agent.to_string(),
            shard: assigned.shard,
            epoch: assigned.epoch,
            instance: self.instance.to_string(),
            correlation_id: attempt.correlation_id.to_string(),
            csr: proof.csr,
            presented_serial: presented.to_string(),
            recovery,
        };
        let ask = |mut client: RegistryClient<Channel>| async move { client.renew_agent(request).await };
        self.ask(attempt, ask).await
    }

    async fn ask<Call>(
        &self,
        attempt: &Attempt,
        call: impl FnOnce(RegistryClient<Channel>) -> Call,
    ) -> Result<IssuedCertificate, Trouble>
    where
        Call: Future<Output = Result<Response<IssueAgentCertificateResponse>, Status>>,
    {
        let trouble = |cause, detail: String| Trouble::new(Step::Issue, cause, detail);
        // The last look at the fence before anything is asked in this gateway's name.
        if !self.fence.may_act(BootTime::now()) {
            let detail = "this gateway's lease has run out; the next one goes on";
            return Err(trouble(Cause::NotOwner, detail.to_owned()));
        }
        attempt.begins_to_issue();
        let client = self.link.registry().await;
        let client = client.map_err(|error| trouble(Cause::Unavailable, error.to_string()))?;
        let response = tokio::time::timeout(DEADLINE, call(client))
            .await
            .map_err(|_| {
                let detail = format!("the platform gave no answer within {} s", DEADLINE.as_secs());
                trouble(Cause::Unavailable, detail)
            })?
            .map_err(|status| {
                let detail = format!("the platform: {:?}: {}", status.code(), status.message());
                trouble(Cause::Unavailable, detail)
            })?
            .into_inner();
        match response {
            IssueAgentCertificateResponse {
                failed: Some(failed), ..
            } => Err(said(Step::Issue, "the platform", &failed)),
            IssueAgentCertificateResponse {
                issued: Some(issued), ..
            } => Ok(issued),
            IssueAgentCertificateResponse {
                issued: None,
                failed: None,
            } => {
                let detail = "the platform's answer is empty";
                Err(trouble(Cause::Protocol, detail.to_owned()))
            }
        }
    }
}
