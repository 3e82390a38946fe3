use std::sync::Arc;

use picket_proto::agent::v1::TrustUpdate;
use proptest::prelude::*;
use rand::SeedableRng as _;
use rand::rngs::StdRng;

use super::*;
use crate::assignment::{AgentKey, AgentTrust, Cursor, TenantTrust};
use crate::reachability::State;

const DAY: u64 = 86_400;

pub(crate) fn assigned() -> Assigned {
    Assigned {
        key: AgentKey {
            tenant: "acme".parse().unwrap(),
            agent: "berlin-1".parse().unwrap(),
        },
        shard: 0,
        epoch: 1,
        endpoint: "127.0.0.1:7443".to_owned(),
        spiffe_id: "spiffe://acme.picket.example/agent/berlin-1".parse().unwrap(),
        active_serials: vec!["0a".to_owned()],
        interval: Duration::from_secs(10),
        unreachable_after: Duration::from_secs(60),
        cursor: Cursor::default(),
        reachability: State::Reachable,
        trust: Arc::new(TenantTrust {
            tenant_cas: Vec::new(),
            roots: Vec::new(),
        }),
        agent_trust: None,
        work: Work::Poll,
        renew: false,
    }
}

fn trusting(sequence: u64) -> Assigned {
    Assigned {
        agent_trust: Some(Arc::new(AgentTrust {
            sequence,
            update: TrustUpdate::default(),
        })),
        ..assigned()
    }
}

fn at(seconds: u64) -> Moment {
    Moment {
        boot: BootTime::from_millis(1_000_000 + seconds * 1_000),
        unix_ms: seconds * 1_000,
    }
}

fn certificate(not_before_unix_s: u64, not_after_unix_s: u64) -> Certificate {
    Certificate {
        serial: "0a".parse().unwrap(),
        not_before_unix_s,
        not_after_unix_s,
    }
}

fn upkeep(assigned: &Assigned) -> Upkeep {
    Upkeep::new(0, assigned, at(0).boot)
}

#[test]
fn a_certificate_is_renewed_between_half_and_three_fifths_of_its_life() {
    assert_eq!(renewal_at(0, 30 * DAY, 0), 15 * DAY);
    let times: Vec<u64> = (0..1000)
        .map(|hash| renewal_at(0, 30 * DAY, hash * 7_919))
        .collect();
    assert!(times.iter().all(|at| (15 * DAY..18 * DAY).contains(at)));
    assert!(times.iter().any(|at| *at > 17 * DAY), "agents are spread");
    assert_eq!(
        renewal_at(2_000, 1_000, 5),
        2_000,
        "nonsense is renewed, not never"
    );
}

#[test]
fn nothing_is_needed_before_half_life() {
    let assigned = assigned();
    let mut upkeep = upkeep(&assigned);
    assert_eq!(
        upkeep.next(&assigned, true, at(0)),
        None,
        "nobody has seen a certificate"
    );
    upkeep.seen(certificate(0, 30 * DAY), 0);
    let (due, need) = upkeep.next(&assigned, true, at(0)).unwrap();
    assert_eq!((need, due), (Need::Renewal, at(15 * DAY).boot));
    // A machine that was asleep, or whose clock was put right, still renews by the certificate's dates.
    let (due, _) = upkeep.next(&assigned, true, at(16 * DAY)).unwrap();
    assert_eq!(due, at(16 * DAY).boot);
}

#[test]
fn a_renewal_that_the_platform_wants_is_due_at_once_and_once() {
    let before = assigned();
    let mut upkeep = upkeep(&before);
    upkeep.seen(certificate(0, 30 * DAY), 0);
    let wanted = Assigned {
        renew: true,
        ..assigned()
    };
    upkeep.told(&before, &wanted, at(5).boot);
    assert_eq!(
        upkeep.next(&wanted, true, at(5)),
        Some((at(5).boot, Need::Renewal))
    );
    upkeep.succeeded(Need::Renewal, at(6).boot);
    let (due, _) = upkeep.next(&wanted, true, at(6)).unwrap();
    assert!(
        due >= at(60).boot,
        "the platform's word follows a moment after the renewal"
    );
    upkeep.told(&wanted, &before, at(7).boot);
    upkeep.told(&before, &wanted, at(8).boot);
    assert_eq!(
        upkeep.next(&wanted, true, at(8)),
        Some((at(8).boot, Need::Renewal)),
        "wanted anew"
    );
}

#[test]
fn an_agent_is_enrolled_within_a_second_of_being_told_and_tried_every_few_seconds() {
    let polled = assigned();
    let mut rng = StdRng::seed_from_u64(1);
    for hash in 0..200 {
        let mut upkeep = Upkeep::new(hash * 7_919, &polled, at(0).boot);
        let awaited = Assigned {
            work: Work::Enroll,
            ..assigned()
        };
        upkeep.told(&polled, &awaited, at(100).boot);
        let (due, need) = upkeep.next(&awaited, false, at(100)).unwrap();
        assert_eq!(need, Need::Enrolment);
        assert!(due < at(101).boot);
        for _ in 0..20 {
            let wait = upkeep.failed(Need::Enrolment, at(100).boot, &mut rng);
            assert!(
                wait >= BREATH && wait <= Duration::from_secs(8),
                "{wait:?}: whoever starts the agent waits"
            );
        }
    }
}

#[test]
fn recovery_is_tried_only_where_the_platform_says_so() {
    let assigned = assigned();
    let mut upkeep = upkeep(&assigned);
    upkeep.seen(certificate(0, 10), 0);
    // Expired long ago, and nobody answers.
    assert_eq!(upkeep.next(&assigned, false, at(1_000)), None);
    let approved = Assigned {
        work: Work::Recover,
        ..assigned.clone()
    };
    upkeep.told(&assigned, &approved, at(1_000).boot);
    assert_eq!(
        upkeep.next(&approved, false, at(1_000)),
        Some((at(1_000).boot, Need::Recovery))
    );
}

#[test]
fn trust_is_brought_to_whoever_is_behind_and_to_nobody_else() {
    let assigned = trusting(5);
    let mut upkeep = upkeep(&assigned);
    let forever = certificate(0, 1_000 * DAY);
    assert_eq!(
        upkeep.next(&assigned, true, at(10)),
        None,
        "it hasn't said yet where it stands"
    );
    upkeep.seen(forever.clone(), 4);
    let (_, need) = upkeep.next(&assigned, true, at(10)).unwrap();
    assert_eq!(need, Need::Trust);
    assert_eq!(
        upkeep.next(&assigned, false, at(10)),
        None,
        "one that doesn't answer is left to the polls"
    );
    for sequence in [5, 6] {
        upkeep.seen(forever.clone(), sequence);
        let (_, need) = upkeep.next(&assigned, true, at(10)).unwrap();
        assert_eq!(need, Need::Renewal);
    }
}

#[test]
fn new_trust_goes_out_within_two_seconds_whatever_was_tried_before() {
    let (before, after) = (trusting(5), trusting(6));
    let mut rng = StdRng::seed_from_u64(1);
    for hash in 0..200 {
        let mut upkeep = Upkeep::new(hash * 7_919, &before, at(0).boot);
        upkeep.seen(certificate(0, 30 * DAY), 4);
        for _ in 0..20 {
            upkeep.failed(Need::Trust, at(50).boot, &mut rng);
        }
        upkeep.told(&before, &after, at(51).boot);
        let (due, need) = upkeep.next(&after, true, at(51)).unwrap();
        assert_eq!(need, Need::Trust);
        assert!(due < at(53).boot);
    }
}

#[test]
fn an_agent_that_refuses_its_trust_is_renewed_all_the_same() {
    let assigned = Assigned {
        renew: true,
        ..trusting(5)
    };
    let mut upkeep = upkeep(&assigned);
    upkeep.seen(certificate(0, 30 * DAY), 4);
    let (_, need) = upkeep.next(&assigned, true, at(10)).unwrap();
    assert_eq!(need, Need::Trust, "it comes first");
    upkeep.failed(Need::Trust, at(10).boot, &mut StdRng::seed_from_u64(1));
    let (_, need) = upkeep.next(&assigned, true, at(10)).unwrap();
    assert_eq!(need, Need::Renewal);
}

proptest! {
    #[test]
    fn a_failure_is_never_tried_again_at_once(seed in any::<u64>(), failures in 1_usize..40) {
        let mut rng = StdRng::seed_from_u64(seed);
        for need in Need::ALL {
            let mut upkeep = upkeep(&assigned());
            for _ in 0..failures {
                let wait = upkeep.failed(need, at(5).boot, &mut rng);
                prop_assert!(wait >= BREATH);
                prop_assert!(wait <= Duration::from_secs(600));
            }
        }
    }
}
