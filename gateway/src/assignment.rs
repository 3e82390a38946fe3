//! The agents that this gateway owns, as the platform's snapshots and deltas say. Pure.
//!
//! A malformed entry costs that one agent, is reported, and never the session: the platform may be newer than this
//! gateway.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use picket_identity::name::{AgentName, TenantSlug};
use picket_identity::spiffe::SpiffeId;
use picket_proto::agent::v1::TrustUpdate;
use picket_proto::platform::v1 as proto;

use crate::reachability::State;

/// An agent's name among all tenants.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AgentKey {
    /// Its tenant.
    pub tenant: TenantSlug,
    /// Its name within the tenant.
    pub agent: AgentName,
}

impl fmt::Display for AgentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.tenant, self.agent)
    }
}

/// Where the platform stands with an agent's results.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    /// The stream that it knows; empty where it knows none.
    pub stream: String,
    /// The last sequence number that it has committed.
    pub committed_seq: u64,
}

/// What to trust one tenant's agents by; DER.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TenantTrust {
    /// The tenant's CA certificates.
    pub tenant_cas: Vec<Vec<u8>>,
    /// The platform roots.
    pub roots: Vec<Vec<u8>>,
}

/// What one tenant's agents are to trust: signed by the platform, carried to each that goes by an older one.
#[derive(Clone, Debug, PartialEq)]
pub struct AgentTrust {
    /// Only ever rises.
    pub sequence: u64,
    /// As the platform sent it.
    pub update: TrustUpdate,
}

/// What is to be done with an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Work {
    /// It is polled, and its certificate renewed.
    Poll,
    /// It waits to be enrolled. One that has a certificate as well goes on being polled.
    Enroll,
    /// Its certificate has expired, and an operator approved that it gets another.
    Recover,
}

impl From<proto::AgentWork> for Work {
    fn from(work: proto::AgentWork) -> Self {
        match work {
            proto::AgentWork::Unspecified => Self::Poll,
            proto::AgentWork::Enroll => Self::Enroll,
            proto::AgentWork::Recover => Self::Recover,
        }
    }
}

/// One agent that this gateway owns, with all that is needed to poll it.
#[derive(Clone, Debug, PartialEq)]
pub struct Assigned {
    /// Which agent.
    pub key: AgentKey,
    /// The shard that it is in.
    pub shard: u32,
    /// The epoch under which this gateway owns the shard.
    pub epoch: u64,
    /// `host:port`.
    pub endpoint: String,
    /// Who must answer there.
    pub spiffe_id: SpiffeId,
    /// The serial numbers that the registry calls active, hexadecimal in lower case.
    pub active_serials: Vec<String>,
    /// How often to poll.
    pub interval: Duration,
    /// How long it may stay away before it is called unreachable.
    pub unreachable_after: Duration,
    /// Where the platform stood when it assigned the agent.
    pub cursor: Cursor,
    /// What the platform believed then.
    pub reachability: State,
    /// What to trust it by.
    pub trust: Arc<TenantTrust>,
    /// What it is to trust itself; `None` where the platform says nothing of that.
    pub agent_trust: Option<Arc<AgentTrust>>,
    /// What is to be done with it.
    pub work: Work,
    /// Its certificate is to be renewed now, whatever its age.
    pub renew: bool,
}

/// What a snapshot or a delta changed.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// The agent is new, or something about it is.
    Upsert(Arc<Assigned>),
    /// The agent isn't ours any more.
    Remove(AgentKey),
}

/// An entry that can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{tenant}/{agent} can't be polled: {problem}")]
pub struct Unusable {
    /// The tenant, as received.
    pub tenant: String,
    /// The agent, as received.
    pub agent: String,
    /// What is wrong with it.
    pub problem: String,
}

/// The agents, and what else the session has said.
#[derive(Debug, Default)]
pub struct Assignment {
    revision: u64,
    shards: HashMap<u32, u64>,
    trust: HashMap<String, (Arc<TenantTrust>, Option<Arc<AgentTrust>>)>,
    records: HashMap<(String, String), proto::AssignedAgent>,
    agents: HashMap<AgentKey, Arc<Assigned>>,
}

impl Assignment {
    /// The registry revision that has been applied.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// How many agents are owned.
    pub fn len(&self) -> usize {
        self.agents.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.agents.is_empty()
    }

    /// The tenants whose agents are owned.
    pub fn tenants(&self) -> Vec<TenantSlug> {
        let mut tenants: Vec<_> = self.agents.keys().map(|key| key.tenant.clone()).collect();
        tenants.sort_unstable();
        tenants.dedup();
        tenants
    }

    /// Replaces everything.
    pub fn apply_snapshot(&mut self, snapshot: proto::Assignment) -> (Vec<Change>, Vec<Unusable>) {
        self.revision = 0;
        self.shards.clear();
        self.trust.clear();
        self.records.clear();
        self.apply_delta(snapshot)
    }

    /// Changes what the delta names.
    pub fn apply_delta(&mut self, delta: proto::Assignment) -> (Vec<Change>, Vec<Unusable>) {
        self.revision = self.revision.max(delta.revision);
        for lost in &delta.lost_shards {
            self.shards.remove(lost);
        }
        self.records
            .retain(|_, record| !delta.lost_shards.contains(&record.shard));
        for shard in delta.shards {
            self.shards.insert(shard.number, shard.epoch);
        }
        for tenant in delta.tenants {
            let trust = TenantTrust {
                tenant_cas: tenant.tenant_cas.iter().map(|der| der.to_vec()).collect(),
                roots: tenant.roots.iter().map(|der| der.to_vec()).collect(),
            };
            let agent_trust = tenant.agent_trust.map(|update| {
                Arc::new(AgentTrust {
                    sequence: tenant.agent_trust_sequence,
                    update,
                })
            });
            self.trust.insert(tenant.tenant, (Arc::new(trust), agent_trust));
        }
        for removed in delta.removed {
            self.records.remove(&(removed.tenant, removed.agent));
        }
        for record in delta.agents {
            self.records
                .insert((record.tenant.clone(), record.agent.clone()), record);
        }
        self.resolve()
    }

    /// Recomputes the agents and says what is different.
    fn resolve(&mut self) -> (Vec<Change>, Vec<Unusable>) {
        let mut changes = Vec::new();
        let mut unusable = Vec::new();
        let mut agents = HashMap::with_capacity(self.records.len());
        for record in self.records.values() {
            let assigned = match self.assigned(record) {
                Ok(assigned) => assigned,
                Err(problem) => {
                    unusable.push(Unusable {
                        tenant: record.tenant.clone(),
                        agent: record.agent.clone(),
                        problem,
                    });
                    continue;
                }
            };
            let before = self.agents.get(&assigned.key);
            let assigned = match before {
                Some(before) if **before == assigned => Arc::clone(before),
                _ => {
                    let assigned = Arc::new(assigned);
                    changes.push(Change::Upsert(Arc::clone(&assigned)));
                    assigned
                }
            };
            agents.insert(assigned.key.clone(), assigned);
        }
        let gone = self.agents.keys().filter(|key| !agents.contains_key(*key));
        changes.extend(gone.cloned().map(Change::Remove));
        self.agents = agents;
        (changes, unusable)
    }

    fn assigned(&self, record: &proto::AssignedAgent) -> Result<Assigned, String> {
        let tenant: TenantSlug = record.tenant.parse().map_err(|error| format!("{error}"))?;
        let agent: AgentName = record.agent.parse().map_err(|error| format!("{error}"))?;
        let spiffe_id: SpiffeId = record
            .spiffe_id
            .parse()
            .map_err(|error| format!("its SPIFFE ID: {error}"))?;
        match &spiffe_id {
            SpiffeId::Agent {
                tenant: t, agent: a, ..
            } if *t == tenant && *a == agent => {}
            other => return Err(format!("its SPIFFE ID is {other}, which is somebody else")),
        }
        if record.common_name != spiffe_id.common_name() {
            return Err(format!(
                "its common name is {}, expected {}",
                record.common_name,
                spiffe_id.common_name()
            ));
        }
        let epoch = *self
            .shards
            .get(&record.shard)
            .ok_or_else(|| format!("it is in shard {}, which this gateway doesn't own", record.shard))?;
        let (trust, agent_trust) = self
            .trust
            .get(&record.tenant)
            .ok_or("the platform sent no CA certificate for its tenant")?;
        if record.interval_ms == 0 {
            return Err("its interval is zero".to_owned());
        }
        Ok(Assigned {
            key: AgentKey { tenant, agent },
            shard: record.shard,
            epoch,
            endpoint: record.endpoint.clone(),
            spiffe_id,
            active_serials: record.active_serials.clone(),
            interval: Duration::from_millis(record.interval_ms),
            unreachable_after: Duration::from_millis(record.unreachable_after_ms),
            cursor: Cursor {
                stream: record.stream.clone(),
                committed_seq: record.committed_seq,
            },
            reachability: record.reachability().into(),
            trust: Arc::clone(trust),
            agent_trust: agent_trust.clone(),
            work: record.work().into(),
            renew: record.renew,
        })
    }
}

#[cfg(test)]
mod tests;
