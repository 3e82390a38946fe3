//! What an operator takes away, and what is approved. Each act is one transaction with its audit row.

use picket_identity::name::{AgentName, GatewayName, TenantSlug};

use super::renewal::recovery_window_ms;
use super::{Authority, AuthorityError};
use crate::alerts::{self, Kind};
use crate::events::Event;
use crate::store::agents::Agent;
use crate::store::{self, Write};

impl Authority {
    /// Revokes an agent's certificates, or one of them. Its next handshake is refused, and what it has open is cut. With
    /// all of them, a waiting enrolment ends too. Returns the serials.
    ///
    /// # Errors
    /// [`AuthorityError::NotFound`]: no such agent, or no such certificate to revoke.
    pub async fn revoke_agent(
        &self,
        tenant: &TenantSlug,
        name: &AgentName,
        serial: Option<&str>,
        actor: &str,
    ) -> Result<Vec<String>, AuthorityError> {
        let mut write = self.0.store.write().await?;
        let now = write.now();
        let agent = registered(&mut write, tenant, name).await?;
        let (tenant, name) = (tenant.as_str(), name.as_str());
        let revoked = store::certificates::revoke(&mut write, "agent", Some(tenant), name, serial).await?;
        let is_by_open_activation = match serial {
            None => true,
            Some(serial) => store::activations::of_agent(&mut write, tenant, name)
                .await?
                .iter()
                .any(|activation| activation.serial.as_deref() == Some(serial)),
        };
        let mut closed = 0;
        if is_by_open_activation {
            closed = store::activations::close(&mut write, tenant, name).await?;
        }
        if revoked.is_empty() && closed == 0 {
            return Err(AuthorityError::NotFound {
                kind: "certificate to revoke of agent",
                name: format!("{tenant}/{name}"),
            });
        }
        store::agents::set_recovery_approval(&mut write, tenant, name, None).await?;
        let reuse = Kind::ActivationReuse.subject(tenant, name, "");
        let resolved = match serial {
            None => alerts::apply(&mut write, &reuse, None, now).await?,
            Some(_) => None,
        };
        store::registry::record_change(&mut write, &agent.pool, tenant, name, "upsert", now).await?;
        let detail = format!("serials {}", revoked.join(" "));
        store::audit::record(
            &mut write,
            now,
            actor,
            "agent.revoke",
            Some(tenant),
            name,
            &detail,
        )
        .await?;
        write.commit().await?;
        self.0.events.publish(Event::agent(tenant, name, now));
        resolved
            .into_iter()
            .for_each(|event| self.0.events.publish(event));
        Ok(revoked)
    }

    /// Approves that an agent whose certificate has expired gets another. Good until it has one.
    ///
    /// # Errors
    /// [`AuthorityError`]: no such agent, or its certificate hasn't expired, or too long ago.
    pub async fn approve_agent(
        &self,
        tenant: &TenantSlug,
        name: &AgentName,
        actor: &str,
    ) -> Result<(), AuthorityError> {
        let mut write = self.0.store.write().await?;
        let now = write.now();
        let agent = registered(&mut write, tenant, name).await?;
        let (tenant, name) = (tenant.as_str(), name.as_str());
        let active = store::certificates::active_of_agent(&mut write, tenant, name).await?;
        let newest = active.iter().map(|certificate| certificate.not_after_at).max();
        let problem = match newest {
            None => Some("has no certificate that counts; enrol it with `platform agent add --replace`"),
            Some(end) if end > now => {
                Some("has a certificate that is still good: there is nothing to approve")
            }
            Some(end) if now - end > recovery_window_ms() => Some(
                "has been expired for more than 30 days; enrol it anew with `platform agent add --replace`",
            ),
            Some(_) => None,
        };
        if let Some(problem) = problem {
            return Err(AuthorityError::NotRecoverable(format!(
                "agent {tenant}/{name} {problem}"
            )));
        }
        store::agents::set_recovery_approval(&mut write, tenant, name, Some(now)).await?;
        store::registry::record_change(&mut write, &agent.pool, tenant, name, "upsert", now).await?;
        store::audit::record(&mut write, now, actor, "agent.approve", Some(tenant), name, "").await?;
        write.commit().await?;
        self.0.events.publish(Event::agent(tenant, name, now));
        Ok(())
    }

    /// Turns a gateway away for good: its session and its connections end within seconds, its shards go to others, and the
    /// agents of every tenant are told to deny what it may still dial them with.
    ///
    /// # Errors
    /// [`AuthorityError::NotFound`]: no such gateway.
    pub async fn revoke_gateway(&self, name: &GatewayName, actor: &str) -> Result<(), AuthorityError> {
        let mut write = self.0.store.write().await?;
        let now = write.now();
        let gateway = name.as_str();
        if store::gateways::find(&mut write, gateway).await?.is_none() {
            return Err(AuthorityError::NotFound {
                kind: "gateway",
                name: gateway.to_owned(),
            });
        }
        let own = store::certificates::revoke(&mut write, "gateway", None, gateway, None).await?;
        let for_tenants = store::certificates::revoke_for_tenants(&mut write, gateway, now).await?;
        store::gateways::revoke(&mut write, gateway, now).await?;
        store::shards::release(&mut write, gateway).await?;
        store::installation::bump_trust(&mut write).await?;
        let detail = format!("serials {}, and {for_tenants} for tenants", own.join(" "));
        store::audit::record(&mut write, now, actor, "gateway.revoke", None, gateway, &detail).await?;
        write.commit().await?;
        self.0.events.publish(Event::gateway(gateway, now));
        Ok(())
    }
}

async fn registered(
    write: &mut Write,
    tenant: &TenantSlug,
    name: &AgentName,
) -> Result<Agent, AuthorityError> {
    store::agents::find(write, tenant.as_str(), name.as_str())
        .await?
        .ok_or_else(|| AuthorityError::NotFound {
            kind: "agent",
            name: format!("{tenant}/{name}"),
        })
}
