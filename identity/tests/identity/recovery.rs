//! An agent whose certificate has expired.

use picket_identity::bundle::{self, BundleError};
use picket_identity::verify::{
    Reason, RecoveryExpectation, Refusal, Serials, UnixTime, Verified, verify_agent,
    verify_agent_for_recovery,
};
use picket_issuing::days;
use rustls_pki_types::CertificateDer;

use crate::folder::Folder;
use crate::forge::{AGENT, World, later};

fn recover(world: &World, chain: &[CertificateDer<'_>], at: UnixTime) -> Result<Verified, Refusal> {
    verify_agent_for_recovery(chain, &RecoveryExpectation(world.expects_agent()), at)
}

#[test]
fn an_expired_agent_is_recognised_for_thirty_days_and_for_recovery_only() {
    let world = World::new();
    let agent = world.agent();
    for (day, is_recovered) in [(1, true), (89, true), (91, true), (119, true), (121, false)] {
        let at = later(world.now, days(day));
        let recovered = recover(&world, agent.chain(), at);
        assert_eq!(recovered.is_ok(), is_recovered, "day {day}: {recovered:?}");
        assert_eq!(
            verify_agent(agent.chain(), &world.expects_agent(), at).is_ok(),
            day < 90,
            "day {day}"
        );
        match recovered {
            Ok(verified) => {
                assert_eq!(verified.id().to_string(), AGENT);
                assert!(
                    verified.chain_not_after() > at,
                    "the connection would be cut at once"
                );
            }
            Err(refusal) => assert_eq!(refusal.reason, Reason::Expired),
        }
    }
}

#[test]
fn a_recovery_connection_lives_two_minutes() {
    let world = World::new();
    let at = later(world.now, days(91));
    let verified = recover(&world, world.agent().chain(), at).unwrap();
    assert_eq!(verified.chain_not_after().as_secs() - at.as_secs(), 120);
}

#[test]
fn nothing_but_the_date_is_forgiven() {
    let world = World::new();
    let at = later(world.now, days(91));
    let other_agent = world.agent_of(&world.acme, "berlin-2");
    let other_tenant = world.agent_of(&world.globex, "berlin-1");
    let rogue = World::new();
    for (chain, reason) in [
        (other_agent.chain(), Reason::WrongAgent),
        (rogue.agent().chain(), Reason::UnknownCa),
        (other_tenant.chain(), Reason::WrongTenant),
        (world.node().chain(), Reason::Expired),
        (&[], Reason::NoCert),
    ] {
        assert_eq!(recover(&world, chain, at).unwrap_err().reason, reason);
    }
    let mut expected = world.expects_agent();
    expected.serials = Serials::Active(["1234".parse().unwrap()].into());
    let refused = verify_agent_for_recovery(world.agent().chain(), &RecoveryExpectation(expected), at);
    assert_eq!(refused.unwrap_err().reason, Reason::Revoked);
}

#[test]
fn a_ca_that_has_expired_since_recovers_nobody() {
    let world = World::new();
    // The CA's two years end before the thirty days after the leaf's end do.
    let (_, public) = crate::forge::key();
    let start = later(world.now, days(700));
    let issued = world
        .acme
        .issue_agent(&public, &"berlin-1".parse().unwrap(), days(29), start)
        .unwrap();
    let chain = [issued.certificate, issued.issuer];
    assert!(recover(&world, &chain, later(world.now, days(729))).is_ok());
    let refused = recover(&world, &chain, later(world.now, days(735))).unwrap_err();
    assert_eq!(refused.reason, Reason::Expired);
}

#[test]
fn an_agents_own_expired_identity_is_loaded_only_where_that_is_meant() {
    let world = World::new();
    let folder = Folder::new();
    bundle::install(&folder.path, &folder.bundle(&world, &world.acme), world.now).unwrap();
    let at = later(world.now, days(91));
    assert!(matches!(
        bundle::load(&folder.path, at),
        Err(BundleError::Refused(refusal)) if refusal.reason == Reason::Expired
    ));
    let identity = bundle::load_even_expired(&folder.path, at).unwrap();
    assert!(identity.is_expired(at));
    assert!(!identity.is_expired(world.now));
}
