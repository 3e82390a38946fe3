use proptest::prelude::*;

use super::*;

fn record(tenant: &str, agent: &str, shard: u32) -> proto::AssignedAgent {
    proto::AssignedAgent {
        tenant: tenant.to_owned(),
        agent: agent.to_owned(),
        shard,
        endpoint: "127.0.0.1:7443".to_owned(),
        spiffe_id: format!("spiffe://{tenant}.picket.example/agent/{agent}"),
        common_name: format!("{agent}.{tenant}"),
        interval_ms: 10_000,
        unreachable_after_ms: 60_000,
        active_serials: vec!["0a".to_owned()],
        ..Default::default()
    }
}

fn trust(tenant: &str) -> proto::TenantTrust {
    proto::TenantTrust {
        tenant: tenant.to_owned(),
        tenant_cas: vec![vec![1, 2, 3].into()],
        roots: vec![vec![4].into()],
        ..proto::TenantTrust::default()
    }
}

fn shard(number: u32, epoch: u64) -> proto::Shard {
    proto::Shard { number, epoch }
}

fn snapshot(agents: Vec<proto::AssignedAgent>) -> proto::Assignment {
    proto::Assignment {
        revision: 1,
        shards: vec![shard(0, 1), shard(1, 1)],
        agents,
        tenants: vec![trust("acme"), trust("globex")],
        ..Default::default()
    }
}

fn names(changes: &[Change]) -> Vec<String> {
    let mut names: Vec<String> = changes
        .iter()
        .map(|change| match change {
            Change::Upsert(assigned) => format!("+{}@{}", assigned.key, assigned.epoch),
            Change::Remove(key) => format!("-{key}"),
        })
        .collect();
    names.sort();
    names
}

#[test]
fn a_snapshot_replaces_everything() {
    let mut assignment = Assignment::default();
    let (changes, unusable) =
        assignment.apply_snapshot(snapshot(vec![record("acme", "a", 0), record("acme", "b", 1)]));
    assert_eq!(names(&changes), ["+acme/a@1", "+acme/b@1"]);
    assert_eq!(unusable, []);
    let (changes, _) =
        assignment.apply_snapshot(snapshot(vec![record("acme", "b", 1), record("globex", "c", 1)]));
    assert_eq!(names(&changes), ["+globex/c@1", "-acme/a"]);
    assert_eq!(assignment.len(), 2);
}

#[test]
fn a_lost_shard_takes_its_agents_with_it() {
    let mut assignment = Assignment::default();
    assignment.apply_snapshot(snapshot(vec![record("acme", "a", 0), record("acme", "b", 1)]));
    let (changes, _) = assignment.apply_delta(proto::Assignment {
        revision: 2,
        lost_shards: vec![0],
        ..Default::default()
    });
    assert_eq!(names(&changes), ["-acme/a"]);
    assert_eq!(assignment.revision(), 2);
}

#[test]
fn a_new_epoch_is_news_for_every_agent_of_the_shard() {
    let mut assignment = Assignment::default();
    assignment.apply_snapshot(snapshot(vec![record("acme", "a", 0), record("acme", "b", 1)]));
    let (changes, _) = assignment.apply_delta(proto::Assignment {
        shards: vec![shard(0, 7)],
        ..Default::default()
    });
    assert_eq!(names(&changes), ["+acme/a@7"]);
}

#[test]
fn new_trust_is_news_for_every_agent_of_the_tenant_only() {
    let mut assignment = Assignment::default();
    assignment.apply_snapshot(snapshot(vec![record("acme", "a", 0), record("globex", "c", 0)]));
    let (changes, _) = assignment.apply_delta(proto::Assignment {
        tenants: vec![proto::TenantTrust {
            tenant_cas: vec![vec![9].into()],
            ..trust("globex")
        }],
        ..Default::default()
    });
    assert_eq!(names(&changes), ["+globex/c@1"]);
}

#[test]
fn what_agents_are_to_trust_is_news_for_every_agent_of_the_tenant_only() {
    let mut assignment = Assignment::default();
    assignment.apply_snapshot(snapshot(vec![record("acme", "a", 0), record("globex", "c", 0)]));
    let (changes, _) = assignment.apply_delta(proto::Assignment {
        tenants: vec![proto::TenantTrust {
            agent_trust: Some(TrustUpdate::default()),
            agent_trust_sequence: 7,
            ..trust("globex")
        }],
        ..Default::default()
    });
    let [Change::Upsert(changed)] = changes.as_slice() else {
        panic!("{changes:?}");
    };
    assert_eq!(changed.key.to_string(), "globex/c");
    assert_eq!(changed.agent_trust.as_ref().map(|trust| trust.sequence), Some(7));
}

#[test]
fn what_is_to_be_done_with_an_agent_is_news() {
    let mut assignment = Assignment::default();
    assignment.apply_snapshot(snapshot(vec![record("acme", "a", 0)]));
    let changed = proto::AssignedAgent {
        work: proto::AgentWork::Recover.into(),
        renew: true,
        ..record("acme", "a", 0)
    };
    let (changes, _) = assignment.apply_delta(snapshot(vec![changed]));
    let [Change::Upsert(changed)] = changes.as_slice() else {
        panic!("{changes:?}");
    };
    assert_eq!((changed.work, changed.renew), (Work::Recover, true));
}

#[test]
fn a_malformed_agent_costs_itself_only() {
    let mut assignment = Assignment::default();
    let mut stolen = record("acme", "stolen", 0);
    stolen.spiffe_id = "spiffe://globex.picket.example/agent/stolen".to_owned();
    let mut misnamed = record("acme", "misnamed", 0);
    misnamed.common_name = "other.acme".to_owned();
    let mut idle = record("acme", "idle", 0);
    idle.interval_ms = 0;
    let (changes, unusable) = assignment.apply_snapshot(snapshot(vec![
        record("acme", "good", 0),
        record("acme", "BAD", 0),
        record("acme", "elsewhere", 9),
        record("initech", "untrusted", 0),
        stolen,
        misnamed,
        idle,
    ]));
    assert_eq!(names(&changes), ["+acme/good@1"]);
    assert_eq!(unusable.len(), 6, "{unusable:#?}");
}

#[test]
fn the_same_delta_again_changes_nothing() {
    let mut assignment = Assignment::default();
    assignment.apply_snapshot(snapshot(vec![record("acme", "a", 0)]));
    let (changes, _) = assignment.apply_delta(snapshot(vec![record("acme", "a", 0)]));
    assert_eq!(changes, []);
}

#[derive(Clone, Debug)]
enum Step {
    Upsert(u8, u32),
    Remove(u8),
    Own(u32, u64),
    Lose(u32),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0_u8..6, 0_u32..4).prop_map(|(agent, shard)| Step::Upsert(agent, shard)),
        (0_u8..6).prop_map(Step::Remove),
        (0_u32..4, 1_u64..9).prop_map(|(shard, epoch)| Step::Own(shard, epoch)),
        (0_u32..4).prop_map(Step::Lose),
    ]
}

proptest! {
    /// Whoever follows the changes holds exactly the agents of the assignment, and each is in an owned shard under the
    /// shard's present epoch.
    #[test]
    fn following_the_changes_gives_the_assignment(steps in proptest::collection::vec(step(), 0..60)) {
        let mut assignment = Assignment::default();
        let mut followed: HashMap<AgentKey, Arc<Assigned>> = HashMap::new();
        let mut delta = snapshot(Vec::new());
        for step in steps {
            match step {
                Step::Upsert(agent, shard) => delta.agents.push(record("acme", &format!("a{agent}"), shard)),
                Step::Remove(agent) => delta.removed.push(proto::AgentKey {
                    tenant: "acme".to_owned(),
                    agent: format!("a{agent}"),
                }),
                Step::Own(number, epoch) => delta.shards.push(shard(number, epoch)),
                Step::Lose(number) => delta.lost_shards.push(number),
            }
            let (changes, _) = assignment.apply_delta(std::mem::take(&mut delta));
            for change in changes {
                match change {
                    Change::Upsert(assigned) => { followed.insert(assigned.key.clone(), assigned); }
                    Change::Remove(key) => prop_assert!(followed.remove(&key).is_some()),
                }
            }
            prop_assert_eq!(&followed, &assignment.agents);
            for assigned in followed.values() {
                prop_assert_eq!(assignment.shards.get(&assigned.shard), Some(&assigned.epoch));
            }
        }
    }
}
