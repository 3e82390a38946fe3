//! What a gateway refuses: agents that aren't the expected one, and platforms that aren't ours.

use std::collections::BTreeSet;

use picket_identity::verify::{
    Denied, PlatformExpectation, Reason, Serials, Trust, TrustError, verify_agent, verify_platform,
};
use picket_issuing::{CertificateAuthority, Intermediate, days};
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair, KeyUsagePurpose};

use crate::forge::{AGENT, World, date, earlier, issuer_named, issuer_of, later, named, platform, uri};

#[test]
fn accepts_the_expected_agent_with_and_without_its_ca_beside_it() {
    let world = World::new();
    let agent = world.agent();
    let verified = verify_agent(agent.chain(), &world.expects_agent(), world.now).unwrap();
    assert_eq!(verified.id().to_string(), AGENT);
    assert_eq!(verified.tenant().unwrap().as_str(), "acme");
    assert_eq!(verified.serial(), &agent.leaf().serial);
    assert_eq!(world.agent_refusal(&agent.chain()[..1]), None);
}

#[test]
fn refuses_nobody() {
    assert_eq!(World::new().agent_refusal(&[]), Some(Reason::NoCert));
}

#[test]
fn refuses_the_victims_id_by_another_tenants_ca() {
    let world = World::new();
    let forged = world.forge(&world.globex, AGENT, "berlin-1.acme", |_| {});
    let beside = world.globex.certificate_der().clone();
    assert_eq!(
        world.agent_refusal(&[forged.clone(), beside]),
        Some(Reason::WrongIssuer)
    );
    assert_eq!(world.agent_refusal(&[forged]), Some(Reason::UnknownCa));
}

#[test]
fn refuses_another_tenants_real_agent_at_the_victims_address() {
    let world = World::new();
    let other = world.agent_of(&world.globex, "berlin-1");
    assert_eq!(world.agent_refusal(other.chain()), Some(Reason::WrongTenant));
}

#[test]
fn refuses_another_tenants_id_by_the_right_tenants_ca() {
    let world = World::new();
    let forged = world.forge(
        &world.acme,
        "spiffe://globex.picket.example/agent/berlin-1",
        "berlin-1.globex",
        |_| {},
    );
    assert_eq!(world.agent_refusal(&[forged]), Some(Reason::WrongTenant));
}

#[test]
fn refuses_another_agent_of_the_same_tenant() {
    let world = World::new();
    let other = world.agent_of(&world.acme, "berlin-2");
    assert_eq!(world.agent_refusal(other.chain()), Some(Reason::WrongAgent));
}

#[test]
fn refuses_the_right_id_with_a_wrong_common_name() {
    let world = World::new();
    for name in [
        "berlin-2.acme",
        "berlin-1.globex",
        "berlin-1",
        "Berlin-1.acme",
        "berlin-1.acme ",
        "",
    ] {
        let forged = world.forge(&world.acme, AGENT, name, |_| {});
        assert_eq!(
            world.agent_refusal(&[forged]),
            Some(Reason::CnMismatch),
            "{name:?}"
        );
    }
}

#[test]
fn refuses_a_leaf_signed_by_the_root() {
    let world = World::new();
    let forged = world.forge(&world.root, AGENT, "berlin-1.acme", |_| {});
    assert_eq!(world.agent_refusal(&[forged]), Some(Reason::WrongIssuer));
}

#[test]
fn refuses_a_leaf_signed_by_the_gateway_ca() {
    let world = World::new();
    let forged = world.forge(&world.gateway_ca, AGENT, "berlin-1.acme", |_| {});
    let beside = world.gateway_ca.certificate_der().clone();
    assert_eq!(world.agent_refusal(&[forged, beside]), Some(Reason::WrongIssuer));
}

fn sub_ca(
    world: &World,
) -> (
    rcgen::Issuer<'static, KeyPair>,
    rustls_pki_types::CertificateDer<'static>,
) {
    let key = KeyPair::generate().unwrap();
    let certificate = authority(world, "sub", IsCa::Ca(BasicConstraints::Constrained(0)))
        .signed_by(&key, &issuer_of(&world.acme))
        .unwrap();
    (issuer_named("sub", key), certificate.der().clone())
}

fn authority(world: &World, name: &str, is_ca: IsCa) -> CertificateParams {
    let mut parameters = world.template(AGENT, name);
    parameters.distinguished_name = named(name);
    parameters.subject_alt_names = vec![uri("spiffe://acme.picket.example")];
    parameters.is_ca = is_ca;
    parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    parameters.extended_key_usages = Vec::new();
    parameters
}

#[test]
fn refuses_a_leaf_signed_by_a_ca_below_the_tenants() {
    let world = World::new();
    let (issuer, certificate) = sub_ca(&world);
    let forged = world.forge_by(&issuer, AGENT, "berlin-1.acme", |_| {});
    let chain = [forged, certificate, world.acme.certificate_der().clone()];
    assert_eq!(world.agent_refusal(&chain), Some(Reason::UnknownCa));
}

#[test]
fn refuses_a_path_through_two_pinned_cas() {
    let world = World::new();
    // A tenant CA without a path length: only the shape of the path is left to refuse it.
    let key = KeyPair::generate().unwrap();
    let upper = authority(&world, "upper", IsCa::Ca(BasicConstraints::Unconstrained))
        .signed_by(&key, &issuer_of(&world.root))
        .unwrap();
    let upper_issuer = issuer_named("upper", key);
    let lower_key = KeyPair::generate().unwrap();
    let lower = authority(&world, "lower", IsCa::Ca(BasicConstraints::Constrained(0)))
        .signed_by(&lower_key, &upper_issuer)
        .unwrap();
    let root = CertificateAuthority::from_pem(
        &world.root.key_pem(),
        &picket_identity::pem::certificates([world.root.certificate_der()]),
    )
    .unwrap();
    assert_eq!(root.certificate_der(), world.root.certificate_der());
    let mut expected = world.expects_agent();
    let cas = [upper.der().clone(), lower.der().clone()];
    expected.trust = Trust::new(world.root.certificate_der().clone(), cas).unwrap();
    let by_lower = world.forge_by(&issuer_named("lower", lower_key), AGENT, "berlin-1.acme", |_| {});
    assert!(verify_agent(&[by_lower], &expected, world.now).is_err());
    let by_upper = world.forge_by(&upper_issuer, AGENT, "berlin-1.acme", |_| {});
    // The root allows one CA below it, so the upper one itself is good.
    assert!(verify_agent(&[by_upper], &expected, world.now).is_ok());
}

#[test]
fn refuses_a_leaf_signed_by_another_agent() {
    let world = World::new();
    let other = world.agent_of(&world.acme, "berlin-2");
    let pretender = KeyPair::generate().unwrap();
    let by_leaf = world.forge_by(
        &issuer_named("berlin-2.acme", pretender),
        AGENT,
        "berlin-1.acme",
        |_| {},
    );
    assert_eq!(
        world.agent_refusal(&[by_leaf, other.chain()[0].clone()]),
        Some(Reason::UnknownCa)
    );
}

#[test]
fn refuses_a_rogue_ca_with_the_same_names() {
    let world = World::new();
    let rogue = World::at(world.now);
    let agent = rogue.agent();
    let mut chain = agent.chain().to_vec();
    chain.push(rogue.root.certificate_der().clone());
    assert_eq!(world.agent_refusal(&chain), Some(Reason::UnknownCa));
}

#[test]
fn refuses_a_self_signed_leaf() {
    let world = World::new();
    let key = KeyPair::generate().unwrap();
    let forged = world
        .template(AGENT, "berlin-1.acme")
        .self_signed(&key)
        .unwrap()
        .der()
        .clone();
    assert_eq!(world.agent_refusal(&[forged]), Some(Reason::UnknownCa));
}

#[test]
fn refuses_a_signing_certificate_presented_as_leaf() {
    let world = World::new();
    for ca in [&world.acme, &world.root] {
        assert_eq!(
            world.agent_refusal(&[ca.certificate_der().clone()]),
            Some(Reason::BadProfile)
        );
    }
}

#[test]
fn refuses_a_registry_row_that_pairs_one_tenant_with_anothers_ca() {
    let world = World::new();
    let mut expected = world.expects_agent();
    expected.trust = world.trust(&world.globex);
    let forged = world.forge(&world.globex, AGENT, "berlin-1.acme", |_| {});
    let refusal = verify_agent(&[forged], &expected, world.now).unwrap_err();
    assert_eq!(refusal.reason, Reason::WrongIssuer);
    assert!(
        refusal.got.contains("spiffe://globex.picket.example"),
        "{}",
        refusal.got
    );
}

#[test]
fn refuses_an_expired_leaf_and_one_that_is_not_valid_yet() {
    let world = World::new();
    let agent = world.agent();
    let expected = world.expects_agent();
    let reason = |at| {
        verify_agent(agent.chain(), &expected, at)
            .err()
            .map(|refusal| refusal.reason)
    };
    assert_eq!(reason(agent.leaf().not_after), None, "the last second counts");
    assert_eq!(
        reason(later(agent.leaf().not_after, std::time::Duration::from_secs(1))),
        Some(Reason::Expired)
    );
    assert_eq!(reason(agent.leaf().not_before), None, "the first second counts");
    let before = earlier(agent.leaf().not_before, std::time::Duration::from_secs(1));
    assert_eq!(reason(before), Some(Reason::NotYetValid));
}

#[test]
fn refuses_a_leaf_that_outlives_its_ca_once_the_ca_has_expired() {
    let world = World::new();
    let forged = world.forge_agent(|leaf| {
        leaf.not_before = date(later(world.now, days(725)));
        leaf.not_after = date(later(world.now, days(800)));
    });
    let chain = [forged];
    let reason = |at| {
        verify_agent(&chain, &world.expects_agent(), at)
            .err()
            .map(|refusal| refusal.reason)
    };
    assert_eq!(reason(later(world.now, days(729))), None);
    assert_eq!(reason(later(world.now, days(731))), Some(Reason::Expired));
}

#[test]
fn refuses_everything_once_the_root_has_expired() {
    let old = World::at(earlier(picket_identity::verify::now(), days(3651)));
    let now = picket_identity::verify::now();
    // A CA that the expired root's key made long-lived: only the root's own dates are left to refuse it.
    let key = KeyPair::generate().unwrap();
    let mut parameters = authority(&old, "tenant CA acme", IsCa::Ca(BasicConstraints::Constrained(0)));
    parameters.not_after = date(later(now, days(10)));
    let ca = parameters.signed_by(&key, &issuer_of(&old.root)).unwrap();
    let mut expected = old.expects_agent();
    expected.trust = Trust::new(old.root.certificate_der().clone(), [ca.der().clone()]).unwrap();
    let forged = old.forge_by(
        &issuer_named("tenant CA acme", key),
        AGENT,
        "berlin-1.acme",
        |leaf| {
            leaf.not_before = date(earlier(now, days(1)));
            leaf.not_after = date(later(now, days(1)));
        },
    );
    let refusal = verify_agent(&[forged], &expected, now).unwrap_err();
    assert_eq!(refusal.reason, Reason::Expired);
}

#[test]
fn refuses_a_serial_number_that_is_not_active() {
    let world = World::new();
    let agent = world.agent();
    let mut expected = world.expects_agent();
    expected.serials = Serials::Active(BTreeSet::from([agent.leaf().serial.clone()]));
    assert!(verify_agent(agent.chain(), &expected, world.now).is_ok());
    let older = world.agent();
    let refusal = verify_agent(older.chain(), &expected, world.now).unwrap_err();
    assert_eq!(refusal.reason, Reason::Revoked);
    expected.serials = Serials::Active(BTreeSet::new());
    assert!(
        verify_agent(agent.chain(), &expected, world.now).is_err(),
        "an empty registry accepts nobody"
    );
}

#[test]
fn denies_by_issuer_and_serial_number() {
    let world = World::new();
    let agent = world.agent();
    let issuer = world.expects_agent().trust.cas()[0].id();
    let denied = Denied {
        issuer,
        serial: agent.leaf().serial.clone(),
    };
    let mut expected = world.expects_agent();
    expected.serials = Serials::AllBut(BTreeSet::from([denied.clone()]));
    assert_eq!(
        verify_agent(agent.chain(), &expected, world.now)
            .unwrap_err()
            .reason,
        Reason::Revoked
    );
    let elsewhere = Denied {
        issuer: world.trust(&world.globex).cas()[0].id(),
        ..denied
    };
    expected.serials = Serials::AllBut(BTreeSet::from([elsewhere]));
    assert!(verify_agent(agent.chain(), &expected, world.now).is_ok());
}

#[test]
fn a_root_can_not_be_pinned_as_an_issuer() {
    let world = World::new();
    let root = world.root.certificate_der().clone();
    assert_eq!(
        Trust::new(root.clone(), [root]).unwrap_err(),
        TrustError::RootPinned { index: 0 }
    );
}

#[test]
fn trust_without_a_ca_is_refused() {
    let world = World::new();
    assert_eq!(
        Trust::new(world.root.certificate_der().clone(), []).unwrap_err(),
        TrustError::NoCa
    );
}

#[test]
fn a_leaf_can_not_be_pinned_as_a_ca() {
    let world = World::new();
    let leaf = world.agent().chain()[0].clone();
    assert!(matches!(
        Trust::new(world.root.certificate_der().clone(), [leaf]),
        Err(TrustError::Ca { .. })
    ));
}

#[test]
fn any_node_of_the_platform_is_the_platform() {
    let world = World::new();
    assert!(verify_platform(world.node().chain(), &world.expects_platform(), world.now).is_ok());
}

#[test]
fn an_agent_or_a_gateway_is_not_the_platform() {
    let world = World::new();
    let expected: PlatformExpectation = world.expects_platform();
    for peer in [world.agent(), world.gateway(), world.gateway_for("acme")] {
        let refusal = verify_platform(peer.chain(), &expected, world.now).unwrap_err();
        assert_eq!(refusal.reason, Reason::WrongIssuer);
    }
    let by_platform_ca = world.forge(
        &world.platform_ca,
        "spiffe://picket.example/gateway/gw-1",
        "gateway:gw-1",
        |_| {},
    );
    let refusal = verify_platform(&[by_platform_ca], &expected, world.now).unwrap_err();
    assert_eq!(refusal.reason, Reason::WrongAgent);
}

#[test]
fn another_platforms_node_is_not_ours() {
    let world = World::new();
    let mut expected = world.expects_platform();
    expected.platform = "other.example".parse().unwrap();
    let refusal = verify_platform(world.node().chain(), &expected, world.now).unwrap_err();
    assert_eq!(refusal.reason, Reason::WrongIssuer);
    assert_ne!(platform().as_str(), "other.example");
}

#[test]
fn a_new_tenants_ca_is_refused_by_another_root() {
    let world = World::new();
    let rogue = World::at(world.now);
    let ca = rogue
        .root
        .new_intermediate(Intermediate::Tenant("acme".parse().unwrap()), world.now)
        .unwrap();
    let mut expected = world.expects_agent();
    // Pinned, but not below our root: a pinned CA is no anchor.
    expected.trust = world.trust(&ca);
    let agent = rogue.agent_of(&ca, "berlin-1");
    assert!(verify_agent(agent.chain(), &expected, world.now).is_err());
}
