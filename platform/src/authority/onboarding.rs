//! Agents and gateways come in here. Each act is one transaction with its audit row; hints follow the commit.

use std::time::Duration;

use picket_identity::bundle::IdentityBundle;
use picket_identity::enrollment::{ActivationKey, EnrollFile, NewEnrollFile};
use picket_identity::name::{AgentName, GatewayName, TenantSlug};
use picket_identity::spiffe::SpiffeId;
use picket_issuing::{Issued, PublicKey};

use super::record::Record;
use super::tenants::require_active;
use super::{Authority, AuthorityError, LEAF_LIFETIME, activation, unix_time};
use crate::alerts::{self, Kind};
use crate::events::Event;
use crate::store::agents::{Agent, Refused};
use crate::store::{self, Write};

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
    /// Whether one that is registered gets a new endpoint, and a new file to enrol with.
    pub replace: bool,
}

/// What is to change about a registered agent.
#[derive(Debug, Clone, Default)]
pub struct AgentChange {
    /// `host:port`.
    pub endpoint: Option<String>,
    /// How often it is polled.
    pub interval: Option<Duration>,
    /// How long it may stay away.
    pub unreachable_after: Option<Duration>,
}

/// The shortest interval of polls: below, a poll overtakes itself on a slow line.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(200);

/// The longest: a day.
const LONGEST_INTERVAL: Duration = Duration::from_secs(86_400);

/// RFC 5280 appendix A.
const MAX_COMMON_NAME: usize = 64;

/// An agent's clock may be behind ours by so much when it reads its enrolment file.
const BACKDATED_MS: i64 = 3_600_000;

/// The most certificates for one tenant's agents that a gateway has at a time: each is one more that agents have to be told
/// to deny if it is ever revoked. A gateway asks for two a day, and for one at each start.
const MAX_FOR_TENANT: i64 = 200;

impl Authority {
    /// Registers an agent, and writes the file that it enrols with: the one-time key in it is nowhere else. One that is
    /// registered already keeps its certificates until the next one is in use.
    ///
    /// # Errors
    /// [`AuthorityError`]: no such tenant, or the name is taken.
    pub async fn add_agent(&self, new: &NewAgent, actor: &str) -> Result<EnrollFile, AuthorityError> {
        let endpoint = endpoint(&new.endpoint)?;
        let interval_ms = interval("--interval", new.interval)?;
        let unreachable_after_ms = interval("--unreachable-after", new.unreachable_after)?;
        let key = ActivationKey::generate()?;
        let (tenant, name) = (new.tenant.as_str(), new.name.as_str());
        let mut write = self.0.store.write().await?;
        let now = write.now();
        require_active(&mut write, tenant).await?;
        let id = SpiffeId::Agent {
            platform: self.0.trust_domain.clone(),
            tenant: new.tenant.clone(),
            agent: new.name.clone(),
        };
        // X.509 has room for 64 characters; better said now than when the agent stands there with its key.
        let common_name = id.common_name();
        if common_name.len() > MAX_COMMON_NAME {
            return Err(AuthorityError::Setting(format!(
                "the common name {common_name} has {} characters: expected at most {MAX_COMMON_NAME}; choose a shorter name",
                common_name.len()
            )));
        }
        let known = store::agents::find(&mut write, tenant, name).await?;
        let pool = match &known {
            Some(_) if !new.replace => {
                return Err(AuthorityError::Exists {
                    kind: "agent",
                    name: format!("{tenant}/{name}"),
                    hint: "; --replace makes another enrolment file for it",
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
                    common_name,
                    interval_ms,
                    unreachable_after_ms,
                    enabled: 1,
                    created_at: now,
                    recovery_approved_at: None,
                };
                store::agents::insert(&mut write, &agent).await?;
                pool.name
            }
        };
        let file = self.enroll_file(&mut write, &id, endpoint, &key).await?;
        let activation = uuid::Uuid::now_v7().to_string();
        store::activations::close(&mut write, tenant, name).await?;
        store::activations::insert(
            &mut write,
            &activation,
            (tenant, name),
            &key.public_key(),
            now,
            now + activation::LIFETIME_MS,
        )
        .await?;
        store::agents::note_refusal(&mut write, tenant, name, Refused::default()).await?;
        // Whoever makes a new file has dealt with the copy of the old one.
        let reuse = Kind::ActivationReuse.subject(tenant, name, "");
        let resolved = alerts::apply(&mut write, &reuse, None, now).await?;
        store::registry::record_change(&mut write, &pool, tenant, name, "upsert", now).await?;
        let detail = format!("endpoint {endpoint}, activation {activation}");
        let action = if known.is_some() {
            "agent.replace"
        } else {
            "agent.add"
        };
        store::audit::record(&mut write, now, actor, action, Some(tenant), name, &detail).await?;
        write.commit().await?;
        self.0.events.publish(Event::agent(tenant, name, now));
        resolved
            .into_iter()
            .for_each(|event| self.0.events.publish(event));
        Ok(file)
    }

    /// Changes where an agent is found and how often it is polled; what is `None` stays. Its identity stays in any case: it
    /// is expected at the new place with the certificate that it has.
    ///
    /// # Errors
    /// [`AuthorityError`]: no such agent, or a setting that can't be.
    pub async fn set_agent(
        &self,
        tenant: &TenantSlug,
        name: &AgentName,
        change: &AgentChange,
        actor: &str,
    ) -> Result<(), AuthorityError> {
        let (tenant, name) = (tenant.as_str(), name.as_str());
        let mut write = self.0.store.write().await?;
        let now = write.now();
        let agent = store::agents::find(&mut write, tenant, name)
            .await?
            .ok_or_else(|| AuthorityError::NotFound {
                kind: "agent",
                name: format!("{tenant}/{name}"),
            })?;
        let place = match &change.endpoint {
            Some(text) => endpoint(text)?,
            None => &agent.endpoint,
        };
        let interval_ms = match change.interval {
            Some(duration) => interval("--interval", duration)?,
            None => agent.interval_ms,
        };
        let unreachable_after_ms = match change.unreachable_after {
            Some(duration) => interval("--unreachable-after", duration)?,
            None => agent.unreachable_after_ms,
        };
        store::agents::update(&mut write, tenant, name, place, interval_ms, unreachable_after_ms).await?;
        store::registry::record_change(&mut write, &agent.pool, tenant, name, "upsert", now).await?;
        let detail = format!(
            "endpoint {place}, interval {interval_ms} ms, unreachable after {unreachable_after_ms} ms"
        );
        store::audit::record(&mut write, now, actor, "agent.set", Some(tenant), name, &detail).await?;
        write.commit().await?;
        self.0.events.publish(Event::agent(tenant, name, now));
        Ok(())
    }

    async fn enroll_file(
        &self,
        write: &mut Write,
        id: &SpiffeId,
        endpoint: &str,
        key: &ActivationKey,
    ) -> Result<EnrollFile, AuthorityError> {
        let now = write.now();
        let roots = self.roots(write).await?;
        let gateway_cas = self.trusted(write, "gateway", None).await?;
        let sequence = store::installation::trust_sequence(write).await?;
        let (_, signer) = self.issuer(write, "platform", None).await?;
        let new = NewEnrollFile {
            id,
            endpoint,
            roots: &roots,
            gateway_cas: &gateway_cas,
            trust_sequence: store::from_db(sequence),
            key,
            not_before: unix_time(now - BACKDATED_MS),
            not_after: unix_time(now + activation::LIFETIME_MS),
            signer: signer.certificate_der(),
        };
        Ok(EnrollFile::sign(&new, |context, bytes| {
            signer.sign_statement(context, bytes)
        })?)
    }

    /// Registers a gateway and issues its certificate for the platform. One that is registered already has only this one
    /// from now on.
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
        let hint = "; --replace gives it a new certificate in place of the old one";
        let known = register_gateway(&mut write, name, &id, replace.then_some(()).ok_or(hint)).await?;
        store::gateways::set_by_workload_api(&mut write, name.as_str(), false).await?;
        let (ca, authority) = self.issuer(&mut write, "gateway", None).await?;
        let issued = authority.issue_gateway(&key, name, LEAF_LIFETIME, unix_time(now))?;
        let record = Record {
            issuer_ca: ca.id,
            subject_kind: "gateway",
            tenant: None,
            subject: name.as_str(),
            id: &id,
            key: &key,
            state: "current",
        };
        record.insert(&mut write, &issued).await?;
        let detail = format!("serial {}", issued.serial);
        let action = if known { "gateway.replace" } else { "gateway.add" };
        store::audit::record(&mut write, now, actor, action, None, name.as_str(), &detail).await?;
        let roots = self.roots(&mut write).await?;
        let platform_cas = self.trusted(&mut write, "platform", None).await?;
        let sequence = store::installation::trust_sequence(&mut write).await?;
        write.commit().await?;
        self.0.events.publish(Event::gateway(name.as_str(), now));
        Ok(IdentityBundle {
            trust_sequence: store::from_db(sequence),
            ..IdentityBundle::for_gateway(id, &issued.certificate, &issued.issuer, &roots, &platform_cas)
        })
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
        // Between the look at its certificate and this, it may have been revoked.
        let registered = store::gateways::find(&mut write, gateway.as_str())
            .await?
            .filter(|gateway| gateway.revoked_at.is_none())
            .ok_or_else(|| AuthorityError::NotFound {
                kind: "gateway",
                name: gateway.to_string(),
            })?;
        require_active(&mut write, tenant.as_str()).await?;
        if !store::agents::has_any(&mut write, tenant.as_str(), &registered.pool).await? {
            return Err(AuthorityError::ForeignTenant {
                gateway: gateway.to_string(),
                pool: registered.pool,
                tenant: tenant.to_string(),
            });
        }
        let scope = Some(tenant.as_str());
        let count =
            store::certificates::count_for_tenant(&mut write, gateway.as_str(), tenant.as_str(), now).await?;
        if count >= MAX_FOR_TENANT {
            return Err(AuthorityError::TooMany {
                gateway: gateway.to_string(),
                tenant: tenant.to_string(),
                found: count,
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
        // Those that it had for this tenant are no more what it goes by: a CA that issued them needn't wait for their end.
        store::certificates::supersede_for_tenant(&mut write, gateway.as_str(), tenant.as_str(), now).await?;
        let record = Record {
            issuer_ca: ca.id,
            subject_kind: "gateway",
            tenant: scope,
            subject: gateway.as_str(),
            id: &id,
            key: &key,
            state: "current",
        };
        record.insert(&mut write, &issued).await?;
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

/// Registers a gateway, or takes its certificates from one that is registered, where it may be replaced; else the hint says
/// what to do. Whether it was registered already.
pub(super) async fn register_gateway(
    write: &mut Write,
    name: &GatewayName,
    id: &SpiffeId,
    replace: Result<(), &'static str>,
) -> Result<bool, AuthorityError> {
    let now = write.now();
    let gateway = name.as_str();
    if store::gateways::find(write, gateway).await?.is_none() {
        let pool = store::registry::SHARED_POOL;
        store::gateways::insert(write, gateway, pool, &id.to_string(), now).await?;
        return Ok(false);
    }
    replace.map_err(|hint| AuthorityError::Exists {
        kind: "gateway",
        name: name.to_string(),
        hint,
    })?;
    store::certificates::revoke(write, "gateway", None, gateway, None).await?;
    store::gateways::readmit(write, gateway, now).await?;
    Ok(true)
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
