//! What an agent refuses as a gateway, and what the platform refuses as one.

use std::collections::BTreeSet;

use picket_identity::verify::{Denied, Reason, Serials, verify_gateway, verify_gateway_client};
use picket_issuing::{days, hours};

use crate::forge::{GATEWAY, World, date, earlier, later};

#[test]
fn accepts_a_gateway_for_the_agents_own_tenant() {
    let world = World::new();
    let gateway = world.gateway_for("acme");
    let verified = verify_gateway(gateway.chain(), &world.expects_gateway(), world.now).unwrap();
    assert_eq!(verified.id().to_string(), GATEWAY);
}

#[test]
fn refuses_a_gateway_for_another_tenant() {
    let world = World::new();
    assert_eq!(
        world.gateway_refusal(world.gateway_for("globex").chain()),
        Some(Reason::WrongTenant)
    );
}

#[test]
fn refuses_a_gateways_id_for_the_platform() {
    let world = World::new();
    assert_eq!(
        world.gateway_refusal(world.gateway().chain()),
        Some(Reason::WrongTenant)
    );
}

#[test]
fn refuses_an_agent_as_a_client() {
    let world = World::new();
    assert_eq!(
        world.gateway_refusal(world.agent().chain()),
        Some(Reason::WrongIssuer)
    );
}

#[test]
fn refuses_a_platform_node_as_a_client() {
    let world = World::new();
    assert_eq!(
        world.gateway_refusal(world.node().chain()),
        Some(Reason::WrongIssuer)
    );
}

#[test]
fn refuses_a_gateway_id_minted_by_any_other_ca() {
    let world = World::new();
    for ca in [&world.acme, &world.globex, &world.platform_ca, &world.root] {
        let forged = world.forge(ca, GATEWAY, "gateway:gw-1", |_| {});
        let chain = [forged, ca.certificate_der().clone()];
        assert_eq!(
            world.gateway_refusal(&chain),
            Some(Reason::WrongIssuer),
            "{}",
            ca.role()
        );
    }
}

#[test]
fn refuses_an_agents_id_minted_by_the_gateway_ca() {
    let world = World::new();
    let forged = world.forge(&world.gateway_ca, crate::forge::AGENT, "berlin-1.acme", |_| {});
    assert_eq!(world.gateway_refusal(&[forged]), Some(Reason::WrongTenant));
}

#[test]
fn refuses_a_client_without_a_certificate() {
    assert_eq!(World::new().gateway_refusal(&[]), Some(Reason::NoCert));
}

#[test]
fn refuses_a_gateway_leaf_for_longer_than_a_day() {
    let world = World::new();
    let forged = world.forge(&world.gateway_ca, GATEWAY, "gateway:gw-1", |leaf| {
        leaf.not_after = date(later(world.now, days(2)));
    });
    assert_eq!(world.gateway_refusal(&[forged]), Some(Reason::BadProfile));
}

#[test]
fn refuses_a_denied_gateway() {
    let world = World::new();
    let gateway = world.gateway_for("acme");
    let mut expected = world.expects_gateway();
    let issuer = expected.trust.cas()[0].id();
    let serial = gateway.leaf().serial.clone();
    expected.serials = Serials::AllBut(BTreeSet::from([Denied { issuer, serial }]));
    assert_eq!(
        verify_gateway(gateway.chain(), &expected, world.now)
            .unwrap_err()
            .reason,
        Reason::Revoked
    );
}

#[test]
fn a_clock_that_was_turned_back_does_not_revive_what_expired_before_our_own_certificate() {
    let world = World::new();
    let old = World::at(earlier(world.now, days(2)));
    let forged = old.forge(&world.gateway_ca, GATEWAY, "gateway:gw-1", |_| {});
    let mut expected = world.expects_gateway();
    let turned_back = earlier(world.now, days(2));
    expected.not_before = world.now;
    let refusal = verify_gateway(&[forged], &expected, turned_back).unwrap_err();
    assert_eq!(refusal.reason, Reason::Expired);
    assert_eq!(refusal.at, world.now);
    let fresh = world.gateway_for("acme");
    assert!(
        verify_gateway(fresh.chain(), &expected, turned_back).is_ok(),
        "what is valid at the floor still is"
    );
}

#[test]
fn the_platform_accepts_a_gateway_and_nobody_else() {
    let world = World::new();
    let expected = world.expects_gateway_client();
    let reason = |chain: &[_]| {
        verify_gateway_client(chain, &expected, world.now)
            .err()
            .map(|refusal| refusal.reason)
    };
    assert_eq!(reason(world.gateway().chain()), None);
    assert_eq!(reason(world.agent().chain()), Some(Reason::WrongIssuer));
    assert_eq!(reason(world.node().chain()), Some(Reason::WrongIssuer));
    assert_eq!(
        reason(world.gateway_for("acme").chain()),
        Some(Reason::WrongAgent)
    );
    assert_eq!(reason(&[]), Some(Reason::NoCert));
}

#[test]
fn the_platform_refuses_a_gateway_that_has_expired() {
    let world = World::new();
    let gateway = world.gateway();
    let at = later(gateway.leaf().not_after, hours(1));
    let refusal = verify_gateway_client(gateway.chain(), &world.expects_gateway_client(), at).unwrap_err();
    assert_eq!(refusal.reason, Reason::Expired);
}
