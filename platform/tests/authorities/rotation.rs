use picket_issuing::Role;
use picket_platform::authority::AuthorityError;
use picket_platform::authority::rotation::RotationError;
use picket_platform::authority::rotation::decision::{Decision, OVERLAP_MS, Step};
use picket_platform::store;

use crate::bench::Bench;

async fn by_hand(bench: &Bench, role: &Role, step: Step, force: bool) -> Result<(), RotationError> {
    let authority = &bench.site.services.authority;
    match authority.rotate_by_hand(role, step, force, "test").await {
        Ok(()) => Ok(()),
        Err(AuthorityError::Rotation(error)) => Err(error),
        Err(other) => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_prepared_authority_is_trusted_and_issues_nothing() {
    let mut bench = Bench::new().await;
    let old = bench.agent.issued.issuer.clone();
    bench.prepare(&Bench::acme()).await;
    bench.round().await;
    assert_eq!(bench.states("tenant").await, ["active", "prepared"]);
    assert_eq!(
        bench.waits_for("tenant", "prepared").await,
        "1 to learn of it: gateway gw-1"
    );
    assert_eq!(bench.view().await.tenants["acme"].tenant_cas.len(), 2);
    let issued = bench.renew().await;
    assert_eq!(issued.issuer, old);
    assert!(bench.is_taken(&issued.leaf).await);
}

#[tokio::test]
async fn a_tenants_authority_goes_the_whole_way_and_the_agent_is_always_taken() {
    let mut bench = Bench::new().await;
    let first = bench.standings("tenant").await[0].ca.clone();
    bench.prepare(&Bench::acme()).await;
    let before = bench.agent.issued.leaf.clone();

    bench.gateway_catches_up().await;
    assert!(bench.round().await, "more is to come");
    assert_eq!(bench.states("tenant").await, ["active", "active"]);
    let (_, agent) = bench.view().await.agents.pop_first().unwrap();
    assert!(!agent.renew, "in the overlap nobody has to hurry");
    let issued = bench.renew().await;
    assert_ne!(issued.issuer, bench.agent.issued.issuer, "the new one issues");
    assert!(bench.is_taken(&issued.leaf).await && bench.is_taken(&before).await);

    bench.round().await;
    assert_eq!(
        bench.states("tenant").await,
        ["active", "active"],
        "the overlap hasn't passed"
    );
    bench.pass(OVERLAP_MS).await;
    bench.round().await;
    assert_eq!(bench.states("tenant").await, ["retiring", "active"]);
    assert!(bench.is_taken(&before).await, "a retiring one is trusted");

    assert!(bench.has_key(&first.key_ref));
    assert!(!bench.round().await, "nothing is left to come");
    assert_eq!(bench.states("tenant").await, ["revoked", "active"]);
    assert!(!bench.is_taken(&before).await, "a revoked one isn't");
    assert!(bench.is_taken(&issued.leaf).await);
    assert!(!bench.has_key(&first.key_ref), "its key is destroyed");
    let acts = bench.acts().await;
    for act in ["ca.prepare", "ca.activate", "ca.taint", "ca.revoke"] {
        assert_eq!(
            acts.iter().filter(|done| *done == act).count(),
            1,
            "{act} in {acts:?}"
        );
    }
}

#[tokio::test]
async fn a_retiring_authority_waits_for_who_lives_by_it_and_they_are_told_to_renew() {
    let mut bench = Bench::new().await;
    bench.prepare(&Bench::acme()).await;
    bench.gateway_catches_up().await;
    bench.round().await;
    bench.pass(OVERLAP_MS).await;
    bench.round().await;
    bench.round().await;
    assert_eq!(bench.states("tenant").await, ["retiring", "active"]);
    assert_eq!(
        bench.waits_for("tenant", "retiring").await,
        "1 to renew what they have by it: acme/berlin-1"
    );
    let (_, agent) = bench.view().await.agents.pop_first().unwrap();
    assert!(agent.renew);
    bench.renew().await;
    bench.round().await;
    assert_eq!(bench.states("tenant").await, ["revoked", "active"]);
}

#[tokio::test]
async fn each_step_makes_everybody_look_again() {
    let mut bench = Bench::new().await;
    let mut before = bench.sequence().await;
    for step in 0..4 {
        match step {
            0 => bench.prepare(&Bench::acme()).await,
            1 => bench.gateway_catches_up().await,
            2 => bench.pass(OVERLAP_MS).await,
            _ => drop(bench.renew().await),
        }
        bench.round().await;
        let after = bench.sequence().await;
        assert!(after > before, "step {step}");
        before = after;
    }
    assert_eq!(bench.states("tenant").await, ["revoked", "active"]);
}

#[tokio::test]
async fn the_gateway_ca_waits_for_every_agent() {
    let bench = Bench::new().await;
    bench.prepare(&Role::Gateway).await;
    bench.gateway_catches_up().await;
    bench.round().await;
    assert_eq!(
        bench.waits_for("gateway", "prepared").await,
        "1 to learn of it: acme/berlin-1"
    );
    bench.agent_catches_up().await;
    bench.round().await;
    assert_eq!(bench.states("gateway").await, ["active", "active"]);
}

#[tokio::test]
async fn the_gateway_ca_waits_for_a_suspended_tenants_agents_too() {
    let bench = Bench::new().await;
    let authority = &bench.site.services.authority;
    authority
        .suspend_tenant(&"acme".parse().unwrap(), "test")
        .await
        .unwrap();
    bench.prepare(&Role::Gateway).await;
    bench.round().await;
    assert_eq!(bench.states("gateway").await, ["active", "prepared"]);
}

#[tokio::test]
async fn an_enrolment_file_from_before_is_waited_for_until_it_has_ended() {
    let bench = Bench::new().await;
    bench.site.register("acme", "late", false).await;
    bench.site.clock.advance(1_000);
    bench.prepare(&Role::Gateway).await;
    bench.site.register("acme", "later", false).await;
    bench.agent_catches_up().await;
    bench.round().await;
    assert_eq!(
        bench.waits_for("gateway", "prepared").await,
        "1 to learn of it: acme/late (by its enrolment file)"
    );
    bench.site.clock.advance(24 * 3_600_000);
    bench.round().await;
    assert_eq!(bench.states("gateway").await, ["active", "active"]);
}

#[tokio::test]
async fn a_retiring_gateway_ca_waits_for_the_gateways() {
    let bench = Bench::new().await;
    bench.prepare(&Role::Gateway).await;
    bench.agent_catches_up().await;
    bench.round().await;
    bench.pass(OVERLAP_MS).await;
    bench.round().await;
    bench.agent_catches_up().await;
    bench.round().await;
    assert_eq!(
        bench.waits_for("gateway", "retiring").await,
        "1 to renew what they have by it: gateway gw-1"
    );
}

#[tokio::test]
async fn the_platform_ca_waits_for_every_gateway_that_is_not_revoked() {
    let bench = Bench::new().await;
    bench.site.gateway("gw-2").await;
    bench.prepare(&Role::Platform).await;
    bench.gateway_catches_up().await;
    bench.round().await;
    assert_eq!(
        bench.waits_for("platform", "prepared").await,
        "1 to learn of it: gateway gw-2"
    );
    let authority = &bench.site.services.authority;
    authority
        .revoke_gateway(&"gw-2".parse().unwrap(), "test")
        .await
        .unwrap();
    bench.round().await;
    assert_eq!(bench.states("platform").await, ["active", "active"]);
}

#[tokio::test]
async fn a_retiring_platform_ca_waits_for_the_platforms_own_certificates() {
    let bench = Bench::new().await;
    let authority = &bench.site.services.authority;
    authority.grpc_tls(&"node-1".parse().unwrap()).await.unwrap();
    bench.prepare(&Role::Platform).await;
    bench.gateway_catches_up().await;
    bench.round().await;
    bench.pass(OVERLAP_MS).await;
    bench.round().await;
    bench.gateway_catches_up().await;
    bench.round().await;
    assert_eq!(
        bench.waits_for("platform", "retiring").await,
        "1 to renew what they have by it: platform node-1"
    );
    authority.grpc_tls(&"node-1".parse().unwrap()).await.unwrap();
    bench.round().await;
    assert_eq!(bench.states("platform").await, ["revoked", "active"]);
}

#[tokio::test]
async fn a_step_by_hand_waits_as_the_job_does_unless_it_is_forced() {
    let bench = Bench::new().await;
    let acme = Bench::acme();
    bench.prepare(&acme).await;
    let refused = by_hand(&bench, &acme, Step::Activate, false).await.unwrap_err();
    assert!(refused.to_string().contains("gateway gw-1"), "{refused}");
    by_hand(&bench, &acme, Step::Activate, true).await.unwrap();
    assert!(
        by_hand(&bench, &acme, Step::Taint, false).await.is_err(),
        "the overlap"
    );
    by_hand(&bench, &acme, Step::Taint, true).await.unwrap();
    bench.gateway_catches_up().await;
    let refused = by_hand(&bench, &acme, Step::Revoke, false).await.unwrap_err();
    assert!(refused.to_string().contains("acme/berlin-1"), "{refused}");
    by_hand(&bench, &acme, Step::Revoke, true).await.unwrap();
    assert_eq!(bench.states("tenant").await, ["revoked", "active"]);
    assert!(!bench.is_taken(&bench.agent.issued.leaf).await);
    let mut read = bench.site.services.store.read().await.unwrap();
    let acts = store::audit::newest(&mut read, 1).await.unwrap();
    assert!(
        acts[0].detail.contains("without waiting for 1 to renew"),
        "{acts:?}"
    );
}

#[tokio::test]
async fn the_last_authority_can_not_be_taken_away_by_any_force() {
    let bench = Bench::new().await;
    for role in [Bench::acme(), Role::Gateway, Role::Platform, Role::Root] {
        for step in [Step::Activate, Step::Taint, Step::Revoke] {
            let refused = by_hand(&bench, &role, step, true).await;
            assert!(refused.is_err(), "{role} {step:?}");
        }
    }
}

#[tokio::test]
async fn a_prepared_authority_can_be_given_up() {
    let bench = Bench::new().await;
    bench.prepare(&Bench::acme()).await;
    by_hand(&bench, &Bench::acme(), Step::Revoke, false)
        .await
        .unwrap();
    assert_eq!(bench.states("tenant").await, ["active", "revoked"]);
    assert_eq!(bench.view().await.tenants["acme"].tenant_cas.len(), 1);
    assert!(!bench.round().await);
}

#[tokio::test]
async fn there_is_one_prepared_authority_of_a_kind_at_a_time() {
    let bench = Bench::new().await;
    bench.prepare(&Bench::acme()).await;
    let authority = &bench.site.services.authority;
    let again = authority.prepare_rotation(&Bench::acme(), "test").await;
    assert!(matches!(
        again,
        Err(AuthorityError::Rotation(RotationError::Prepared { .. }))
    ));
    bench.prepare(&Role::Gateway).await;
}

#[tokio::test]
async fn what_is_said_and_what_the_job_does_are_the_same() {
    let bench = Bench::new().await;
    bench.prepare(&Bench::acme()).await;
    bench.gateway_catches_up().await;
    let next = bench.standings("tenant").await.pop().unwrap().next;
    assert_eq!(next, Decision::Take(Step::Activate));
    bench.round().await;
    assert_eq!(bench.states("tenant").await, ["active", "active"]);
}
