//! What a gateway is told: a snapshot first, then what differs from what it was told last. The difference is taken from
//! two whole views, so a change that nobody thought of can't be missed.

use std::collections::BTreeMap;

use picket_proto::platform::v1::{AgentKey, AgentWork, AssignedAgent, Assignment, Shard, TenantTrust};

use super::claims::state_of_word;
use crate::app::Services;
use crate::authority::AuthorityError;
use crate::metrics::authority as report;
use crate::store::{self, StoreError, from_db};

/// Agents in one message: some 300 bytes each, and a message may have 4 MiB.
const AGENTS_PER_MESSAGE: usize = 2_000;

/// What a gateway's process owns.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct View {
    /// The pool's revision.
    pub revision: u64,
    /// Owned shards and their epochs.
    pub shards: BTreeMap<u32, u64>,
    /// Their agents.
    pub agents: BTreeMap<(String, String), AssignedAgent>,
    /// What their tenants' agents are trusted by.
    pub tenants: BTreeMap<String, TenantTrust>,
}

/// What says cheaply whether a view is still so: the pool's revision and the owned shards.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Mark {
    revision: i64,
    shards: Vec<store::shards::Shard>,
}

impl View {
    /// The mark and the view, of one moment.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn read(
        services: &Services,
        pool: &str,
        gateway: &str,
        instance: &str,
    ) -> Result<(Mark, Self), StoreError> {
        let now = services.store.now().await?;
        let mut snapshot = services.store.snapshot().await?;
        let mark = Mark::read(&mut snapshot, pool, gateway, instance).await?;
        let mut view = Self {
            revision: from_db(mark.revision),
            shards: mark
                .shards
                .iter()
                .map(|key| (narrow(key.number), from_db(key.epoch)))
                .collect(),
            ..Self::default()
        };
        for row in store::assignments::agents(&mut snapshot, pool, gateway, instance).await? {
            view.agents
                .insert((row.tenant.clone(), row.name.clone()), assigned(row));
        }
        for (tenant, agent, serial) in
            store::assignments::serials(&mut snapshot, pool, gateway, instance).await?
        {
            if let Some(agent) = view.agents.get_mut(&(tenant, agent)) {
                agent.active_serials.push(serial);
            }
        }
        let roots: Vec<_> = store::authorities::trusted(&mut snapshot, "root", None)
            .await?
            .into_iter()
            .map(|root| root.certificate.into())
            .collect();
        for (tenant, ca) in store::assignments::tenant_cas(&mut snapshot, pool, gateway, instance).await? {
            let trust = view.tenants.entry(tenant.clone()).or_insert_with(|| TenantTrust {
                tenant,
                roots: roots.clone(),
                ..TenantTrust::default()
            });
            trust.tenant_cas.push(ca.into());
        }
        for trust in view.tenants.values_mut() {
            // Agents are polled all the same: they go by what they have.
            match services
                .authority
                .agent_trust(&mut snapshot, &trust.tenant, now)
                .await
            {
                Ok((update, sequence)) => {
                    trust.agent_trust = Some(update);
                    trust.agent_trust_sequence = sequence;
                }
                Err(AuthorityError::Store(error)) => return Err(error),
                Err(error) => report::statement_failed(&trust.tenant, &error),
            }
        }
        snapshot.rollback().await?;
        Ok((mark, view))
    }

    /// All of it, in as many messages as it takes; the first is the snapshot, the others add to it.
    #[must_use]
    pub fn snapshot(&self) -> (Assignment, Vec<Assignment>) {
        let mut messages = Self::default().difference(self);
        if messages.is_empty() {
            messages.push(Assignment {
                revision: self.revision,
                ..Assignment::default()
            });
        }
        let first = messages.remove(0);
        (first, messages)
    }

    /// What `after` has that this one hasn't, and the reverse, in as many messages as it takes; none where a gateway
    /// would do nothing else. The cursor and the reachability come from the gateway itself and make no difference.
    #[must_use]
    pub fn difference(&self, after: &Self) -> Vec<Assignment> {
        let same = |before: &AssignedAgent, now: &AssignedAgent| {
            let told = |agent: &AssignedAgent| AssignedAgent {
                stream: String::new(),
                committed_seq: 0,
                reachability: 0,
                ..agent.clone()
            };
            told(before) == told(now) && self.shards.get(&now.shard) == after.shards.get(&now.shard)
        };
        let shards: Vec<Shard> = after
            .shards
            .iter()
            .filter(|(number, epoch)| self.shards.get(number) != Some(epoch))
            .map(|(&number, &epoch)| Shard { number, epoch })
            .collect();
        let lost_shards = self
            .shards
            .keys()
            .filter(|number| !after.shards.contains_key(number))
            .copied()
            .collect();
        let mut agents = after
            .agents
            .iter()
            .filter(|(key, agent)| !self.agents.get(*key).is_some_and(|before| same(before, agent)))
            .map(|(_, agent)| agent.clone())
            .peekable();
        let removed = self
            .agents
            .keys()
            .filter(|key| !after.agents.contains_key(*key))
            .map(|(tenant, agent)| AgentKey {
                tenant: tenant.clone(),
                agent: agent.clone(),
            })
            .collect();
        let tenants = after
            .tenants
            .iter()
            .filter(|(tenant, trust)| self.tenants.get(*tenant) != Some(trust))
            .map(|(_, trust)| trust.clone())
            .collect();
        let revision = after.revision;
        let first = Assignment {
            revision,
            shards,
            lost_shards,
            agents: agents.by_ref().take(AGENTS_PER_MESSAGE).collect(),
            removed,
            tenants,
        };
        if first
            == (Assignment {
                revision,
                ..Assignment::default()
            })
        {
            return Vec::new();
        }
        let mut messages = vec![first];
        while agents.peek().is_some() {
            let agents = agents.by_ref().take(AGENTS_PER_MESSAGE).collect();
            messages.push(Assignment {
                revision,
                agents,
                ..Assignment::default()
            });
        }
        messages
    }
}

impl Mark {
    /// Reads it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn read(
        connection: &mut store::Connection,
        pool: &str,
        gateway: &str,
        instance: &str,
    ) -> Result<Self, StoreError> {
        let revision = store::registry::pool(connection, pool)
            .await?
            .map_or(0, |pool| pool.revision);
        let shards = store::shards::owned(connection, pool, gateway, instance).await?;
        Ok(Self { revision, shards })
    }
}

fn assigned(row: store::assignments::Assigned) -> AssignedAgent {
    AssignedAgent {
        tenant: row.tenant,
        agent: row.name,
        shard: narrow(row.shard),
        endpoint: row.endpoint,
        spiffe_id: row.spiffe_id,
        common_name: row.common_name,
        interval_ms: from_db(row.interval_ms),
        active_serials: Vec::new(),
        stream: row.stream.unwrap_or_default(),
        committed_seq: row.committed_seq.map_or(0, from_db),
        reachability: row.reachability.map_or(0, |word| state_of_word(&word).into()),
        unreachable_after_ms: from_db(row.unreachable_after_ms),
        work: work(row.awaited != 0, row.recovering != 0).into(),
        renew: row.outdated != 0,
    }
}

/// What is to be done with an agent. One that awaits enrolment and has serials has a certificate that may be in use
/// already: the old one's, or the new one's whose reply was lost.
const fn work(is_awaited: bool, is_recovering: bool) -> AgentWork {
    match (is_awaited, is_recovering) {
        (true, _) => AgentWork::Enroll,
        (false, true) => AgentWork::Recover,
        (false, false) => AgentWork::Unspecified,
    }
}

/// A shard's number, as it travels.
fn narrow(shard: i64) -> u32 {
    u32::try_from(shard).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agent(name: &str) -> ((String, String), AssignedAgent) {
        let agent = AssignedAgent {
            tenant: "acme".into(),
            agent: name.into(),
            shard: 1,
            ..AssignedAgent::default()
        };
        (("acme".into(), name.into()), agent)
    }

    fn view(agents: &[&str]) -> View {
        View {
            revision: 1,
            shards: BTreeMap::from([(1, 1)]),
            agents: agents.iter().map(|name| agent(name)).collect(),
            tenants: BTreeMap::new(),
        }
    }

    #[test]
    fn what_is_the_same_is_not_told_again() {
        assert_eq!(view(&["a"]).difference(&view(&["a"])), []);
    }

    #[test]
    fn a_moved_cursor_alone_is_not_told() {
        let mut after = view(&["a"]);
        after
            .agents
            .values_mut()
            .for_each(|agent| agent.committed_seq = 7);
        assert_eq!(view(&["a"]).difference(&after), []);
    }

    #[test]
    fn a_new_agent_and_a_removed_one_are_told() {
        let messages = view(&["a", "b"]).difference(&view(&["b", "c"]));
        assert_eq!(messages.len(), 1);
        assert_eq!(messages[0].agents[0].agent, "c");
        assert_eq!(messages[0].removed[0].agent, "a");
    }

    #[test]
    fn a_shard_that_came_back_under_a_new_epoch_is_told_with_its_agents() {
        let after = View {
            shards: BTreeMap::from([(1, 2)]),
            ..view(&["a"])
        };
        let messages = view(&["a"]).difference(&after);
        assert_eq!((messages[0].shards[0].epoch, messages[0].agents.len()), (2, 1));
    }

    #[test]
    fn many_agents_take_several_messages() {
        let names: Vec<String> = (0..4_500).map(|number| format!("a{number}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let (first, rest) = view(&names).snapshot();
        assert_eq!(
            (first.agents.len(), rest.len(), rest[1].agents.len()),
            (2_000, 2, 500)
        );
    }

    #[test]
    fn a_gateway_without_agents_gets_an_empty_snapshot() {
        let (first, rest) = View::default().snapshot();
        assert_eq!((first, rest.len()), (Assignment::default(), 0));
    }
}
