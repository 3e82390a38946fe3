//! What enrolment, renewal and recovery have in common: who may ask for an agent, what is issued, and what is written of
//! both outcomes. One transaction for each.

use picket_identity::name::{AgentName, TenantSlug};
use picket_identity::spiffe::SpiffeId;
use picket_issuing::PublicKey;
use picket_proto::agent::v1::IssuedCertificate;

use super::record::{Record, key_hash};
use super::step::{Cause, Refused};
use super::{Authority, AuthorityError, LEAF_LIFETIME, unix_time};
use crate::events::Event;
use crate::metrics::authority::{self as report, Attempt};
use crate::store::agents::Agent;
use crate::store::certificates::Certificate;
use crate::store::{self, StoreError, Write};

/// Certificates of one agent that were issued and never seen in use. More come of an agent that can't install them.
const MAX_PENDING: i64 = 4;

/// What a gateway asks for, on behalf of an agent.
pub(super) struct Ask<'a> {
    pub(super) attempt: Attempt<'a>,
    /// The gateway's process.
    pub(super) instance: &'a str,
    /// The shard and epoch under which it owns the agent.
    pub(super) shard: i64,
    pub(super) epoch: i64,
    /// The agent's request, DER.
    pub(super) csr: &'a [u8],
}

/// An agent for which something may be issued, if the rest is right too.
pub(super) struct Admitted {
    pub(super) agent: Agent,
    pub(super) id: SpiffeId,
    pub(super) key: PublicKey,
    pub(super) key_hash: Vec<u8>,
    name: AgentName,
}

impl Admitted {
    /// What was issued to the agent for this key before, if anything was.
    pub(super) async fn issued_before(&self, write: &mut Write) -> Result<Option<Certificate>, StoreError> {
        let Agent { tenant, name, .. } = &self.agent;
        store::certificates::find_by_key(write, "agent", Some(tenant), name, &self.key_hash).await
    }
}

/// The refusal of a key that had a certificate: each certificate has a key of its own, so that a stolen one dies with it.
pub(super) fn used_key() -> Refused {
    Refused::new(
        Cause::BadCsr,
        "the request is for a key that had a certificate before; expected a new key",
    )
}

impl Authority {
    /// The fence: the asking process has to own the agent at this moment, as ingest has it. Then the tenant, then the
    /// request.
    pub(super) async fn admit(
        &self,
        write: &mut Write,
        ask: &Ask<'_>,
    ) -> Result<Result<Admitted, Refused>, AuthorityError> {
        let Attempt {
            gateway,
            tenant,
            agent,
            ..
        } = ask.attempt;
        let not_owner = || {
            Ok(Err(Refused::new(
                Cause::NotOwner,
                format!("gateway {gateway} doesn't own {tenant}/{agent} now; whoever does tries again"),
            )))
        };
        let Some(registered) = store::agents::find(write, tenant, agent).await? else {
            return not_owner();
        };
        let works_for = store::gateways::find(write, gateway)
            .await?
            .filter(|gateway| gateway.revoked_at.is_none())
            .map(|gateway| gateway.pool);
        let owned = registered.enabled == 1
            && works_for.as_deref() == Some(registered.pool.as_str())
            && registered.shard == ask.shard
            && store::shards::is_owned(
                write,
                &registered.pool,
                ask.shard,
                gateway,
                ask.instance,
                ask.epoch,
            )
            .await?;
        if !owned {
            return not_owner();
        }
        let state = store::tenants::find(write, tenant)
            .await?
            .map(|tenant| tenant.state);
        if state.as_deref() != Some("active") {
            let state = state.unwrap_or_default();
            return Ok(Err(Refused::new(
                Cause::TenantSuspended,
                format!("tenant {tenant} is {state}: nothing is issued to its agents"),
            )));
        }
        let key = match PublicKey::from_request(ask.csr) {
            Ok(key) => key,
            Err(error) => return Ok(Err(Refused::new(Cause::BadCsr, error.to_string()))),
        };
        let name: AgentName = agent.parse()?;
        let tenant: TenantSlug = tenant.parse()?;
        Ok(Ok(Admitted {
            agent: registered,
            id: SpiffeId::Agent {
                platform: self.0.trust_domain.clone(),
                tenant,
                agent: name.clone(),
            },
            key_hash: key_hash(&key),
            key,
            name,
        }))
    }

    /// Issues from our own template; of the request only the public key is taken. The certificate is pending.
    pub(super) async fn issue(
        &self,
        write: &mut Write,
        ask: &Ask<'_>,
        admitted: &Admitted,
        action: &str,
    ) -> Result<Certificate, AuthorityError> {
        let now = write.now();
        let Agent {
            tenant, name, pool, ..
        } = &admitted.agent;
        let (ca, authority) = self.issuer(write, "tenant", Some(tenant)).await?;
        let issued = authority.issue_agent(&admitted.key, &admitted.name, LEAF_LIFETIME, unix_time(now))?;
        let record = Record {
            issuer_ca: ca.id,
            subject_kind: "agent",
            tenant: Some(tenant),
            subject: name,
            id: &admitted.id,
            key: &admitted.key,
            state: "pending",
        };
        let row = record.insert(write, &issued).await?;
        store::certificates::limit_pending(write, "agent", Some(tenant), name, MAX_PENDING, now).await?;
        store::agents::note_refusal(write, tenant, name, store::agents::Refused::default()).await?;
        store::registry::record_change(write, pool, tenant, name, "upsert", now).await?;
        let actor = format!("gateway {}", ask.attempt.gateway);
        let detail = format!("serial {}, attempt {}", row.serial, ask.attempt.correlation_id);
        store::audit::record(write, now, &actor, action, Some(tenant), name, &detail).await?;
        Ok(row)
    }

    /// Makes the outcome durable, and only then tells it.
    pub(super) async fn conclude(
        &self,
        mut write: Write,
        ask: &Ask<'_>,
        outcome: Result<Certificate, Refused>,
        alert: Option<Event>,
    ) -> Result<Result<IssuedCertificate, Refused>, AuthorityError> {
        let now = write.now();
        let Attempt {
            tenant,
            agent,
            correlation_id,
            ..
        } = ask.attempt;
        let answer = match &outcome {
            Ok(certificate) => Ok(self.hand_over(&mut write, tenant, certificate).await?),
            Err(refused) => {
                // Who doesn't own the agent changes nothing of it.
                if refused.cause != Cause::NotOwner {
                    let note = store::agents::Refused {
                        cause: refused.cause.as_str(),
                        detail: &refused.detail,
                        correlation_id,
                        at: Some(now),
                    };
                    store::agents::note_refusal(&mut write, tenant, agent, note).await?;
                }
                Err(refused.clone())
            }
        };
        write.commit().await?;
        match &outcome {
            Ok(certificate) => report::issued(&ask.attempt, &certificate.serial),
            Err(refused) => report::refused(&ask.attempt, refused),
        }
        self.0.events.publish(Event::agent(tenant, agent, now));
        if let Some(alert) = alert {
            self.0.events.publish(alert);
        }
        Ok(answer)
    }

    async fn hand_over(
        &self,
        write: &mut Write,
        tenant: &str,
        certificate: &Certificate,
    ) -> Result<IssuedCertificate, AuthorityError> {
        let now = write.now();
        let issuer = store::authorities::find(write, certificate.issuer_ca)
            .await?
            .ok_or_else(|| AuthorityError::NoAuthority(format!("tenant ({tenant})")))?;
        let (trust, _) = self.agent_trust(write, tenant, now).await?;
        Ok(IssuedCertificate {
            leaf: certificate.certificate.clone().into(),
            issuer: issuer.certificate.into(),
            trust: Some(trust),
        })
    }
}
