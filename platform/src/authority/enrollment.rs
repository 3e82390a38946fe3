//! An agent's first certificate, for whoever holds the private half of its activation key.

use picket_identity::channel_binding::ChannelBinding;
use picket_identity::enrollment::verify_activation;
use picket_proto::agent::v1::IssuedCertificate;
use picket_proto::platform::v1::EnrollAgentRequest;

use super::activation::{self, Decision};
use super::issuance::{Admitted, Ask, used_key};
use super::step::{Cause, Refused, correlation_id};
use super::{Authority, AuthorityError};
use crate::alerts::{self, Kind};
use crate::events::Event;
use crate::metrics::authority::Attempt;
use crate::store::agents::Agent;
use crate::store::alerts::Content;
use crate::store::certificates::Certificate;
use crate::store::{self, Write, to_db};

impl Authority {
    /// Issues an agent's first certificate; what was issued already, to the same key.
    ///
    /// # Errors
    /// [`AuthorityError`]: the platform can't tell now. A refusal is no error.
    pub async fn enroll_agent(
        &self,
        gateway: &str,
        request: &EnrollAgentRequest,
    ) -> Result<Result<IssuedCertificate, Refused>, AuthorityError> {
        let correlation_id = correlation_id(&request.correlation_id);
        let ask = Ask {
            attempt: Attempt {
                purpose: "enrol",
                gateway,
                tenant: &request.tenant,
                agent: &request.agent,
                correlation_id: &correlation_id,
            },
            instance: &request.instance,
            shard: i64::from(request.shard),
            epoch: to_db(request.epoch),
            csr: &request.csr,
        };
        let mut write = self.0.store.write().await?;
        let mut alert = None;
        let outcome = match self.admit(&mut write, &ask).await? {
            Err(refused) => Err(refused),
            Ok(admitted) => {
                self.activate(&mut write, &ask, &admitted, request, &mut alert)
                    .await?
            }
        };
        self.conclude(write, &ask, outcome, alert).await
    }

    async fn activate(
        &self,
        write: &mut Write,
        ask: &Ask<'_>,
        admitted: &Admitted,
        request: &EnrollAgentRequest,
        alert: &mut Option<Event>,
    ) -> Result<Result<Certificate, Refused>, AuthorityError> {
        let now = write.now();
        let Agent { tenant, name, .. } = &admitted.agent;
        let refuse = |cause, detail: &str| Ok(Err(Refused::new(cause, detail)));
        let Some(binding) = ChannelBinding::from_bytes(&request.channel_binding) else {
            return refuse(Cause::Protocol, "the channel binding hasn't 32 bytes");
        };
        let activations = store::activations::of_agent(write, tenant, name).await?;
        if activations.is_empty() {
            return refuse(
                Cause::ActivationUnknown,
                "no enrolment file was made for the agent; make one with `platform agent add --replace`",
            );
        }
        let proved = activations.iter().find(|activation| {
            verify_activation(
                &activation.public_key,
                &binding,
                &request.csr,
                &admitted.id,
                &request.signature,
            )
            .is_ok()
        });
        let Some(activation) = proved else {
            return refuse(
                Cause::BadSignature,
                "the proof isn't by the key of any enrolment file of this agent, over the gateway's own connection to it: \
                 somebody is in between, or the file is another agent's",
            );
        };
        match activation::decide(activation, &admitted.key_hash, now) {
            Decision::Issue if admitted.issued_before(write).await?.is_some() => Ok(Err(used_key())),
            Decision::Issue => {
                let issued = self.issue(write, ask, admitted, "agent.enroll").await?;
                let by = (issued.issuer_ca, issued.serial.as_str());
                store::activations::consume(write, &activation.id, &admitted.key_hash, by, now).await?;
                Ok(Ok(issued))
            }
            Decision::Again { issuer_ca, serial } => {
                let issued = store::certificates::find_of_agent(write, tenant, name, &serial).await?;
                let pending =
                    issued.filter(|issued| issued.issuer_ca == issuer_ca && issued.state == "pending");
                Ok(pending.ok_or_else(|| {
                    Refused::new(
                        Cause::NotAwaiting,
                        "the certificate that was issued for this file counts no more",
                    )
                }))
            }
            Decision::Reuse(refused) => {
                let content = Content {
                    severity: "critical",
                    summary: format!(
                        "the enrolment file of {name} was used a second time, with another key (through gateway {}, \
                         attempt {}): somebody has a copy of it",
                        ask.attempt.gateway, ask.attempt.correlation_id
                    ),
                    cause: refused.cause.as_str().to_owned(),
                };
                let subject = Kind::ActivationReuse.subject(tenant, name, "");
                *alert = alerts::apply(write, &subject, Some(content), now).await?;
                Ok(Err(refused))
            }
            Decision::Refuse(refused) => Ok(Err(refused)),
        }
    }
}
