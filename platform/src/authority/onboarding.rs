//! Tenants, agents and gateways come in here. Each act is one transaction with its audit row; hints follow the commit.

use std::time::Duration;

use picket_identity::bundle::IdentityBundle;
use picket_identity::name::{AgentName, GatewayName, TenantSlug};
use picket_identity::spiffe::SpiffeId;
use picket_issuing::{Intermediate, Issued, PublicKey};
use rustls::pki_types::CertificateDer;

use super::{Authority, AuthorityError, LEAF_LIFETIME, register, unix_ms, unix_time};
use crate::clock::UnixMs;
use crate::events::Event;
use crate::store::agents::Agent;
use crate::store::certificates::Certificate;
use crate::store::{self, Connection, Write};

/// An agent to be registered.
#[derive(Debug, Clone)]
pub struct NewAgent {
    /// Whose it is.
    pub tenant: TenantSlug,
    /// Its name.
    pub name: AgentName,
    /// `host:port`.
    pub endpoint: String,
    /// How often it is polled.
    pub interval: Duration,
    /// How long it may stay away.
    pub unreachable_after: Duration,
    /// Its request, DER.
    pub request: Vec<u8>,
    /// Whether one that is registered gets a new endpoint and a new certificate in place of its old ones.
    pub replace: bool,
}

/// The shortest interval of polls: below, a poll overtakes itself on a slow line.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(200);

/// The longest: a day.
const LONGEST_INTERVAL: Duration = Duration::from_secs(86_400);

const REPLACE: &str = "; --replace gives it a new certificate in place of the old one";

impl Authority {
    /// Adds a tenant and makes its authority.
    ///
    /// # Errors
    /// [`AuthorityError`]: the slug is taken, or a key can't be written.
    pub async fn add_tenant(&self, slug: &TenantSlug, name: &str, actor: &str) -> Result<(), AuthorityError> {
        let mut write = self.0.store.write().await?;
        let now = write.now();
        if store::tenants::find(&mut write, slug.as_str()).await?.is_some() {
            return Err(AuthorityError::Exists {
                kind: "tenant",
                name: slug.to_string(),
                hint: "",
            });
        }
        let (_, root) = self.issuer(&mut write, "root", None).await?;
        let authority = root.new_intermediate(Intermediate::Tenant(slug.clone()), unix_time(now))?;
        store::tenants::insert(&mut write, slug.as_str(), name, now).await?;
        register(&mut write, &self.0.keys, "tenant", Some(slug), &authority, now).await?;
        store::audit::record(
            &mut write,
            now,
            actor,
            "tenant.add",
            Some(slug.as_str()),
            slug.as_str(),
            name,
        )
        .await?;
        write.commit().await?;
        self.0.events.publish(Event::tenant(slug.as_str(), now));
        Ok(())
    }

    /// Registers an agent and issues its certificate.
    ///
    /// # Errors
    /// [`AuthorityError`]: no such tenant, the name is taken, or the request can't be used.
    pub async fn add_agent(&self, new: &NewAgent, actor: &str) -> Result<IdentityBundle, AuthorityError> {
        let endpoint = endpoint(&new.endpoint)?;
        let interval_ms = interval("--interval", new.interval)?;
        let unreachable_after_ms = interval("--unreachable-after", new.unreachable_after)?;
        let key = PublicKey::from_request(&new.request)?;
        let (tenant, name) = (new.tenant.as_str(), new.name.as_str());
        let mut write = self.0.store.write().await?;
        let now = write.now();
        if store::tenants::find(&mut write, tenant).await?.is_none() {
            return Err(AuthorityError::NotFound {
                kind: "tenant",
                name: tenant.to_owned(),
            });
        }
        let id = SpiffeId::Agent {
            platform: self.0.trust_domain.clone(),
            tenant: new.tenant.clone(),
            agent: new.name.clone(),
        };
        let known = store::agents::find(&mut write, tenant, name).await?;
        let pool = match &known {
            Some(_) if !new.replace => {
                return Err(AuthorityError::Exists {
                    kind: "agent",
                    name: format!("{tenant}/{name}"),
                    hint: REPLACE,
                });
            }
            Some(agent) => {
                store::agents::update(
                    &mut write,
                    tenant,
                    name,
                    endpoint,
                    interval_ms,
                    unreachable_after_ms,
                )
                .await?;
                agent.pool.clone()
            }
            None => {
                let pool = store::registry::pool_of_tenant(&mut write, tenant)
                    .await?
                    .ok_or_else(|| AuthorityError::NotFound {
                        kind: "pool for tenant",
                        name: tenant.to_owned(),
                    })?;
                let agent = Agent {
                    tenant: tenant.to_owned(),
                    name: name.to_owned(),
                    shard: shard_of(tenant, name, pool.shard_count),
                    pool: pool.name.clone(),
                    endpoint: endpoint.to_owned(),
                    spiffe_id: id.to_string(),
                    common_name: id.common_name(),
                    interval_ms,
                    unreachable_after_ms,
                    enabled: 1,
                    created_at: now,
                };
                store::agents::insert(&mut write, &agent).await?;
                pool.name
            }
        };
        let (ca, authority) = self.issuer(&mut write, "tenant", Some(tenant)).await?;
        let issued = authority.issue_agent(&key, &new.name, LEAF_LIFETIME, unix_time(now))?;
        store::certificates::supersede(&mut write, "agent", Some(tenant), name, now).await?;
        record(&mut write, ca.id, "agent", Some(tenant), name, &id, &issued, now).await?;
        store::registry::record_change(&mut write, &pool, tenant, name, "upsert", now).await?;
        let detail = format!("endpoint {endpoint}, serial {}", issued.serial);
        let action = if known.is_some() {
            "agent.replace"
        } else {
            "agent.add"
        };
        store::audit::record(&mut write, now, actor, action, Some(tenant), name, &detail).await?;
        let gateway_cas = self.trusted(&mut write, "gateway", None).await?;
        write.commit().await?;
        self.0.events.publish(Event::agent(tenant, name, now));
        let root = CertificateDer::from(self.root());
        Ok(IdentityBundle::for_agent(
            id,
            &issued.certificate,
            &issued.issuer,
            &[root],
            &gateway_cas,
        ))
    }

    /// Registers a gateway and issues its certificate for the platform.
    ///
    /// # Errors
    /// [`AuthorityError`]: the name is taken, or the request can't be used.
    pub async fn add_gateway(
        &self,
        name: &GatewayName,
        request: &[u8],
        replace: bool,
        actor: &str,
    ) -> Result<IdentityBundle, AuthorityError> {
        let key = PublicKey::from_request(request)?;
        let id = SpiffeId::Gateway {
            platform: self.0.trust_domain.clone(),
            gateway: name.clone(),
        };
        let mut write = self.0.store.write().await?;
        let now = write.now();
        let known = store::gateways::find(&mut write, name.as_str()).await?.is_some();
        if known && !replace {
            return Err(AuthorityError::Exists {
                kind: "gateway",
                name: name.to_string(),
                hint: REPLACE,
            });
        }
        if !known {
            let pool = store::registry::SHARED_POOL;
            store::gateways::insert(&mut write, name.as_str(), pool, &id.to_string(), now).await?;
        }
        let (ca, authority) = self.issuer(&mut write, "gateway", None).await?;
        let issued = authority.issue_gateway(&key, name, LEAF_LIFETIME, unix_time(now))?;
        store::certificates::supersede(&mut write, "gateway", None, name.as_str(), now).await?;
        record(
            &mut write,
            ca.id,
            "gateway",
            None,
            name.as_str(),
            &id,
            &issued,
            now,
        )
        .await?;
        let detail = format!("serial {}", issued.serial);
        let action = if known { "gateway.replace" } else { "gateway.add" };
        store::audit::record(&mut write, now, actor, action, None, name.as_str(), &detail).await?;
        let platform_cas = self.trusted(&mut write, "platform", None).await?;
        write.commit().await?;
        self.0.events.publish(Event::gateway(name.as_str(), now));
        let root = CertificateDer::from(self.root());
        Ok(IdentityBundle::for_gateway(
            id,
            &issued.certificate,
            &issued.issuer,
            &[root],
            &platform_cas,
        ))
    }

    /// Issues a certificate with which a gateway may dial one tenant's agents, if it may own any.
    ///
    /// # Errors
    /// [`AuthorityError`]: [`AuthorityError::ForeignTenant`] where it may not.
    pub async fn issue_for_tenant(
        &self,
        gateway: &GatewayName,
        tenant: &TenantSlug,
        request: &[u8],
    ) -> Result<Issued, AuthorityError> {
        let key = PublicKey::from_request(request)?;
        let mut write = self.0.store.write().await?;
        let now = write.now();
        let registered = store::gateways::find(&mut write, gateway.as_str())
            .await?
            .ok_or_else(|| AuthorityError::NotFound {
                kind: "gateway",
                name: gateway.to_string(),
            })?;
        if !store::agents::has_any(&mut write, tenant.as_str(), &registered.pool).await? {
            return Err(AuthorityError::ForeignTenant {
                gateway: gateway.to_string(),
                pool: registered.pool,
                tenant: tenant.to_string(),
            });
        }
        let (ca, authority) = self.issuer(&mut write, "gateway", None).await?;
        let lifetime = picket_issuing::issue::MAX_TENANT_LIFETIME;
        let issued = authority.issue_gateway_for_tenant(&key, gateway, tenant, lifetime, unix_time(now))?;
        let id = SpiffeId::GatewayForTenant {
            platform: self.0.trust_domain.clone(),
            gateway: gateway.clone(),
            tenant: tenant.clone(),
        };
        let scope = Some(tenant.as_str());
        record(
            &mut write,
            ca.id,
            "gateway",
            scope,
            gateway.as_str(),
            &id,
            &issued,
            now,
        )
        .await?;
        let detail = format!("serial {}", issued.serial);
        let actor = format!("gateway {gateway}");
        store::audit::record(
            &mut write,
            now,
            &actor,
            "certificate.issue",
            scope,
            gateway.as_str(),
            &detail,
        )
        .await?;
        write.commit().await?;
        Ok(issued)
    }
}

#[expect(
    clippy::too_many_arguments,
    reason = "a row's columns, each named at its call"
)]
async fn record(
    write: &mut Write,
    issuer_ca: i64,
    subject_kind: &str,
    tenant: Option<&str>,
    subject: &str,
    id: &SpiffeId,
    issued: &Issued,
    now: UnixMs,
) -> Result<(), AuthorityError> {
    let row = Certificate {
        issuer_ca,
        serial: issued.serial.to_string(),
        subject_kind: subject_kind.to_owned(),
        tenant: tenant.map(str::to_owned),
        subject: subject.to_owned(),
        spiffe_id: id.to_string(),
        certificate: issued.certificate.to_vec(),
        state: "current".to_owned(),
        not_before_at: unix_ms(issued.not_before),
        not_after_at: unix_ms(issued.not_after),
        superseded_at: None,
    };
    let connection: &mut Connection = write;
    Ok(store::certificates::insert(connection, &row, now).await?)
}

/// The shard of an agent: FNV-1a over tenant and name. It is written into the agent's row, so another function later
/// moves nobody.
fn shard_of(tenant: &str, agent: &str, shards: i64) -> i64 {
    let bytes = tenant.bytes().chain([0]).chain(agent.bytes());
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let shards = u64::try_from(shards.max(1)).unwrap_or(1);
    // The low bits of FNV-1a are its weakest; the high ones are folded in.
    i64::try_from((hash ^ (hash >> 32)) % shards).unwrap_or(0)
}

fn endpoint(text: &str) -> Result<&str, AuthorityError> {
    let wrong = || {
        AuthorityError::Setting(format!(
            "--endpoint {text:?}: expected HOST:PORT, for example 10.0.0.4:7443 or [2001:db8::4]:7443"
        ))
    };
    let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let host_is_sound = match bare {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            !host.is_empty()
                && host.len() <= 253
                && host
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'))
        }
    };
    match port.parse::<u16>() {
        Ok(1..) if host_is_sound => Ok(text),
        _ => Err(wrong()),
    }
}

fn interval(name: &str, interval: Duration) -> Result<i64, AuthorityError> {
    if !(SHORTEST_INTERVAL..=LONGEST_INTERVAL).contains(&interval) {
        return Err(AuthorityError::Setting(format!(
            "{name} is {interval:?}; expected 200ms to 1day"
        )));
    }
    Ok(i64::try_from(interval.as_millis()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_a_host_and_a_port() {
        for good in [
            "10.0.0.4:7443",
            "agent.acme.example:1",
            "[2001:db8::4]:7443",
            "localhost:65535",
        ] {
            assert!(endpoint(good).is_ok(), "{good}");
        }
        for bad in [
            "10.0.0.4",
            ":7443",
            "a:0",
            "a:65536",
            "2001:db8::4:7443",
            "http://a:1",
            "a b:1",
            "[x]:1",
        ] {
            assert!(endpoint(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn agents_spread_over_all_shards() {
        let mut counts = [0; 64];
        for number in 0..6_400 {
            counts[usize::try_from(shard_of("acme", &format!("agent-{number}"), 64)).unwrap()] += 1;
        }
        assert!(
            counts.iter().all(|count| (50..=150).contains(count)),
            "{counts:?}"
        );
    }
}
