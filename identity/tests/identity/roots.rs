//! Two roots at a time, while one takes the other's place.

use picket_identity::verify::{AgentExpectation, Reason, Trust, TrustError, verify_agent};
use picket_issuing::{CertificateAuthority, days};

use crate::forge::{World, later};

fn expects(world: &World, trust: Trust) -> AgentExpectation {
    AgentExpectation {
        trust,
        ..world.expects_agent()
    }
}

#[test]
fn a_chain_may_end_at_either_root_and_at_no_third() {
    let (old, new, rogue) = (World::new(), World::new(), World::new());
    let der = |ca: &CertificateAuthority| ca.certificate_der().clone();
    let trust =
        Trust::with_roots([der(&old.root), der(&new.root)], [der(&old.acme), der(&new.acme)]).unwrap();
    let expected = expects(&old, trust);
    for world in [&old, &new] {
        verify_agent(world.agent().chain(), &expected, world.now).unwrap();
    }
    let refused = verify_agent(rogue.agent().chain(), &expected, old.now).unwrap_err();
    assert_eq!(refused.reason, Reason::UnknownCa);
}

#[test]
fn a_pinned_ca_below_a_root_that_is_gone_vouches_for_nobody() {
    let (old, new) = (World::new(), World::new());
    let der = |ca: &CertificateAuthority| ca.certificate_der().clone();
    let trust = Trust::with_roots([der(&new.root)], [der(&old.acme), der(&new.acme)]).unwrap();
    let refused = verify_agent(old.agent().chain(), &expects(&old, trust), old.now).unwrap_err();
    assert_eq!(refused.reason, Reason::UnknownCa);
}

#[test]
fn an_expired_root_beside_a_good_one_vouches_for_nobody() {
    let old = World::new();
    let later_on = later(old.now, days(3649));
    let new = World::at(later_on);
    let der = |ca: &CertificateAuthority| ca.certificate_der().clone();
    let trust = Trust::with_roots([der(&old.root), der(&new.root)], [der(&new.acme)]).unwrap();
    let expected = expects(&old, trust);
    let at = later(old.now, days(3660));
    let verified = verify_agent(new.agent().chain(), &expected, at).unwrap();
    assert!(verified.chain_not_after() > at);
    let trust = Trust::with_roots([der(&old.root)], [der(&new.acme)]).unwrap();
    let refused = verify_agent(new.agent().chain(), &expects(&old, trust), at).unwrap_err();
    assert_eq!(refused.reason, Reason::Expired);
}

#[test]
fn there_is_at_least_one_root_and_a_root_is_no_pinned_ca() {
    let (old, new) = (World::new(), World::new());
    let der = |ca: &CertificateAuthority| ca.certificate_der().clone();
    assert_eq!(
        Trust::with_roots([], [der(&old.acme)]).unwrap_err(),
        TrustError::NoRoot
    );
    let both = [der(&old.root), der(&new.root)];
    assert_eq!(
        Trust::with_roots(both.clone(), [der(&old.acme), der(&new.root)]).unwrap_err(),
        TrustError::RootPinned { index: 1 }
    );
    let many = std::iter::repeat_n(der(&old.root), 5);
    assert!(matches!(
        Trust::with_roots(many, [der(&old.acme)]),
        Err(TrustError::TooMany(..))
    ));
    let many = std::iter::repeat_n(der(&old.acme), 17);
    assert!(matches!(
        Trust::with_roots(both, many),
        Err(TrustError::TooMany(..))
    ));
}
