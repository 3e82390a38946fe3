//! Chains of every class that public test suites of path building have: lengths, dates, extensions, constraints, and too
//! many CAs of one name. The CAs are forged by whoever holds the root's key, or a pinned CA's.

use std::time::{Duration, Instant};

use picket_identity::profile::ProfileError;
use picket_identity::verify::{AgentExpectation, Reason, Trust, TrustError, path_alone, verify_agent};
use picket_issuing::{days, hours};
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, ExtendedKeyUsagePurpose, GeneralSubtree, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, NameConstraints, PKCS_ECDSA_P256_SHA256,
};
use rustls_pki_types::CertificateDer;

use crate::forge::{AGENT, World, date, earlier, issuer_named, issuer_of, later, named, uri};

const ACME: &str = "spiffe://acme.picket.example";
const NAME: &str = "tenant CA acme";

/// acme's CA as the root could have made it, after an `edit` of the good template, and its key.
pub(crate) fn forge_ca(
    world: &World,
    by: &Issuer<'_, KeyPair>,
    edit: impl FnOnce(&mut CertificateParams),
) -> (CertificateDer<'static>, Issuer<'static, KeyPair>) {
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name = named(NAME);
    parameters.subject_alt_names = vec![uri(ACME)];
    parameters.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    parameters.not_before = date(earlier(world.now, hours(1)));
    parameters.not_after = date(later(world.now, days(365)));
    edit(&mut parameters);
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let certificate = parameters.signed_by(&key, by).unwrap().der().clone();
    (certificate, issuer_named(NAME, key))
}

fn expects(world: &World, cas: &[CertificateDer<'static>]) -> Result<AgentExpectation, TrustError> {
    let trust = Trust::new(world.root.certificate_der().clone(), cas.iter().cloned())?;
    Ok(AgentExpectation {
        trust,
        ..world.expects_agent()
    })
}

/// Why berlin-1's good leaf is refused, below a CA that the root made after an `edit`.
fn refusal_below(world: &World, edit: impl FnOnce(&mut CertificateParams)) -> Option<Reason> {
    let (ca, key) = forge_ca(world, &issuer_of(&world.root), edit);
    let leaf = world.forge_by(&key, AGENT, "berlin-1.acme", |_| {});
    let expected = expects(world, &[ca]).unwrap();
    verify_agent(&[leaf], &expected, world.now)
        .err()
        .map(|refusal| refusal.reason)
}

/// A CA that the root made after an `edit` can't be pinned at all.
#[track_caller]
fn is_never_pinned(world: &World, edit: impl FnOnce(&mut CertificateParams)) -> ProfileError {
    let (ca, _) = forge_ca(world, &issuer_of(&world.root), edit);
    let refused = expects(world, &[ca]).unwrap_err();
    let TrustError::Ca { error, .. } = refused else {
        unreachable!("the root is good: {refused:?}");
    };
    error
}

fn extension(oid: &[u64], is_critical: bool, der: &[u8]) -> CustomExtension {
    let mut extension = CustomExtension::from_oid_content(oid, der.to_vec());
    extension.set_criticality(is_critical);
    extension
}

const UNKNOWN: &[u64] = &[1, 3, 6, 1, 4, 1, 99999, 1];

#[test]
fn the_forgers_own_ca_is_accepted() {
    let world = World::new();
    assert_eq!(refusal_below(&world, |_| {}), None);
}

#[test]
fn a_path_with_a_second_ca_is_refused_even_where_lengths_allow_it() {
    let world = World::new();
    // The root allows one CA below it, so whoever wants two needs a root of their own kind.
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name = named("root");
    parameters.subject_alt_names = vec![uri("spiffe://picket.example")];
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    parameters.not_after = date(later(world.now, days(365)));
    parameters.not_before = date(earlier(world.now, hours(1)));
    let root_key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
    let root = parameters.self_signed(&root_key).unwrap().der().clone();
    let root_key = issuer_named("root", root_key);
    let (upper, upper_key) = forge_ca(&world, &root_key, |ca| {
        ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(1));
        ca.distinguished_name = named("upper");
    });
    let upper_key = issuer_named(
        "upper",
        KeyPair::from_pem(&upper_key.key().serialize_pem()).unwrap(),
    );
    let (lower, lower_key) = forge_ca(&world, &upper_key, |_| {});
    let leaf = world.forge_by(&lower_key, AGENT, "berlin-1.acme", |_| {});
    let offered = [lower.clone(), upper.clone()];
    assert_eq!(
        path_alone(&leaf, std::slice::from_ref(&root), &offered, world.now, false),
        Ok(2),
        "there is such a path"
    );
    let expected = AgentExpectation {
        trust: Trust::new(root, offered).unwrap(),
        ..world.expects_agent()
    };
    let sent = [leaf, lower, upper];
    let refusal = verify_agent(&sent, &expected, world.now).unwrap_err();
    assert_eq!(refusal.reason, Reason::UnknownCa);
}

#[test]
fn a_path_longer_than_its_cas_allow_is_no_path() {
    let world = World::new();
    let (sub, sub_key) = forge_ca(&world, &issuer_of(&world.acme), |_| {});
    let leaf = world.forge_by(&sub_key, AGENT, "berlin-1.acme", |_| {});
    let roots = [world.root.certificate_der().clone()];
    let offered = [sub.clone(), world.acme.certificate_der().clone()];
    let path = path_alone(&leaf, &roots, &offered, world.now, false);
    assert!(path.is_err(), "acme's CA has a path length of 0: {path:?}");
    let expected = expects(&world, &offered).unwrap();
    let refusal = verify_agent(&[leaf, sub], &expected, world.now).unwrap_err();
    assert_eq!(refusal.reason, Reason::UnknownCa);
}

#[test]
fn a_ca_without_the_right_to_sign_certificates_is_never_pinned() {
    let world = World::new();
    for usages in [
        vec![],
        vec![KeyUsagePurpose::CrlSign],
        vec![KeyUsagePurpose::DigitalSignature],
    ] {
        let error = is_never_pinned(&world, |ca| ca.key_usages = usages);
        assert!(matches!(error, ProfileError::KeyUsage(_)), "{error}");
    }
    // keyCertSign, but not critical.
    let error = is_never_pinned(&world, |ca| {
        ca.key_usages.clear();
        ca.custom_extensions = vec![extension(&[2, 5, 29, 15], false, &[3, 2, 1, 6])];
    });
    assert!(matches!(error, ProfileError::KeyUsage(_)), "{error}");
}

#[test]
fn a_ca_that_is_valid_for_too_long_is_never_pinned() {
    let world = World::new();
    let error = is_never_pinned(&world, |ca| ca.not_after = date(later(world.now, days(13 * 366))));
    assert!(matches!(error, ProfileError::Validity { .. }), "{error}");
}

#[test]
fn what_is_no_ca_is_never_pinned() {
    let world = World::new();
    for is_ca in [IsCa::NoCa, IsCa::ExplicitNoCa] {
        let error = is_never_pinned(&world, |ca| ca.is_ca = is_ca);
        assert!(matches!(error, ProfileError::BasicConstraints(_)), "{error}");
    }
}

#[test]
fn a_ca_of_a_member_rather_than_a_trust_domain_is_never_pinned() {
    let world = World::new();
    let error = is_never_pinned(&world, |ca| ca.subject_alt_names = vec![uri(AGENT)]);
    assert!(matches!(error, ProfileError::SigningId(_)), "{error}");
    let error = is_never_pinned(&world, |ca| ca.subject_alt_names.clear());
    assert!(matches!(error, ProfileError::AlternativeNames(_)), "{error}");
    let error = is_never_pinned(&world, |ca| {
        ca.subject_alt_names.push(uri("spiffe://globex.picket.example"));
    });
    assert!(matches!(error, ProfileError::AlternativeNames(_)), "{error}");
}

#[test]
fn an_unknown_critical_extension_in_a_ca_is_never_pinned_and_one_that_is_not_is_ignored() {
    let world = World::new();
    let error = is_never_pinned(&world, |ca| {
        ca.custom_extensions = vec![extension(UNKNOWN, true, &[5, 0])];
    });
    assert!(matches!(error, ProfileError::UnknownCritical(_)), "{error}");
    let ignored = refusal_below(&world, |ca| {
        ca.custom_extensions = vec![extension(UNKNOWN, false, &[5, 0])];
    });
    assert_eq!(ignored, None);
}

#[test]
fn path_building_itself_refuses_unknown_critical_extensions() {
    let world = World::new();
    let roots = [world.root.certificate_der().clone()];
    let build = |ca: &CertificateDer<'static>, leaf: &CertificateDer<'static>| {
        path_alone(leaf, &roots, std::slice::from_ref(ca), world.now, false)
    };
    let unknown = || vec![extension(UNKNOWN, true, &[5, 0])];
    let (good, good_key) = forge_ca(&world, &issuer_of(&world.root), |_| {});
    let (odd, odd_key) = forge_ca(&world, &issuer_of(&world.root), |ca| {
        ca.custom_extensions = unknown();
    });
    let plain = |key: &Issuer<'_, KeyPair>| world.forge_by(key, AGENT, "berlin-1.acme", |_| {});
    assert_eq!(build(&good, &plain(&good_key)), Ok(1));
    assert!(build(&odd, &plain(&odd_key)).is_err());
    let leaf = world.forge_by(&good_key, AGENT, "berlin-1.acme", |leaf| {
        leaf.custom_extensions = unknown();
    });
    assert!(build(&good, &leaf).is_err());
}

#[test]
fn an_expired_ca_and_one_that_is_not_valid_yet_vouch_for_nobody() {
    let world = World::new();
    let expired = refusal_below(&world, |ca| {
        ca.not_before = date(earlier(world.now, days(30)));
        ca.not_after = date(earlier(world.now, Duration::from_secs(1)));
    });
    assert_eq!(expired, Some(Reason::Expired));
    let early = refusal_below(&world, |ca| {
        ca.not_before = date(later(world.now, Duration::from_secs(1)));
    });
    assert_eq!(early, Some(Reason::NotYetValid));
    // To the second: both ends are still in it (RFC 5280 §4.1.2.5).
    let exact = refusal_below(&world, |ca| {
        ca.not_before = date(world.now);
        ca.not_after = date(world.now);
    });
    assert_eq!(exact, None);
}

#[test]
fn an_expired_ca_beside_a_good_one_of_the_same_name_does_not_matter() {
    let world = World::new();
    let root = issuer_of(&world.root);
    let (expired, _) = forge_ca(&world, &root, |ca| {
        ca.not_after = date(earlier(world.now, Duration::from_secs(1)));
        ca.not_before = date(earlier(world.now, days(2)));
    });
    let (good, key) = forge_ca(&world, &root, |_| {});
    let leaf = world.forge_by(&key, AGENT, "berlin-1.acme", |_| {});
    for cas in [[expired.clone(), good.clone()], [good, expired]] {
        let expected = expects(&world, &cas).unwrap();
        verify_agent(std::slice::from_ref(&leaf), &expected, world.now).unwrap();
    }
}

#[test]
fn a_ca_that_is_for_something_else_vouches_for_nobody() {
    let world = World::new();
    for usages in [
        vec![ExtendedKeyUsagePurpose::CodeSigning],
        vec![ExtendedKeyUsagePurpose::ServerAuth],
    ] {
        let reason = refusal_below(&world, |ca| ca.extended_key_usages = usages);
        assert_eq!(reason, Some(Reason::BadProfile));
    }
}

fn constraints(permitted: Vec<GeneralSubtree>, excluded: Vec<GeneralSubtree>) -> Option<NameConstraints> {
    Some(NameConstraints {
        permitted_subtrees: permitted,
        excluded_subtrees: excluded,
    })
}

/// `[6]`, the URI of a GeneralSubtree, as nameConstraints.
fn uri_constraint(field: u8, host: &str) -> CustomExtension {
    let length = |more: usize| u8::try_from(host.len() + more).unwrap();
    let mut der = vec![
        0x30,
        length(6),
        field,
        length(4),
        0x30,
        length(2),
        0x86,
        length(0),
    ];
    der.extend(host.as_bytes());
    extension(&[2, 5, 29, 30], true, &der)
}

#[test]
fn name_constraints_of_a_ca_hold() {
    let world = World::new();
    // About names that no identity has.
    for of in [
        constraints(vec![GeneralSubtree::DnsName("acme".into())], vec![]),
        constraints(vec![], vec![GeneralSubtree::DnsName(String::new())]),
        constraints(vec![], vec![GeneralSubtree::Rfc822Name(String::new())]),
    ] {
        assert_eq!(
            refusal_below(&world, |ca| ca.name_constraints = of.clone()),
            None,
            "{of:?}"
        );
    }
    // About URIs: permitted, excluded, or somebody else's, path building refuses them all.
    for field in [0xa0, 0xa1] {
        for host in ["acme.picket.example", ".picket.example", "globex.picket.example"] {
            let reason = refusal_below(&world, |ca| {
                ca.custom_extensions = vec![uri_constraint(field, host)];
            });
            assert_eq!(reason, Some(Reason::BadProfile), "{field:x} {host}");
        }
    }
}

#[test]
fn a_ca_whose_constraints_exclude_a_name_refuses_a_leaf_with_it() {
    let world = World::new();
    let roots = [world.root.certificate_der().clone()];
    let excluded = vec![GeneralSubtree::DnsName("example".into())];
    let (ca, key) = forge_ca(&world, &issuer_of(&world.root), |ca| {
        ca.name_constraints = constraints(vec![], excluded);
    });
    let build = |name: &str| {
        let leaf = world.forge_by(&key, AGENT, "berlin-1.acme", |leaf| {
            let name = rcgen::SanType::DnsName(name.try_into().unwrap());
            leaf.subject_alt_names = vec![name];
        });
        path_alone(&leaf, &roots, std::slice::from_ref(&ca), world.now, false)
    };
    assert_eq!(build("www.elsewhere"), Ok(1));
    assert!(build("www.example").is_err());
}

#[test]
fn many_cas_of_one_name_and_a_cycle_of_them_take_bounded_work() {
    let world = World::new();
    // As many as may be pinned, all of one name, none of which signed the leaf; each signed by the next, the last by the first.
    let keys: Vec<KeyPair> = (0..16).map(|_| KeyPair::generate().unwrap()).collect();
    let copy = |key: &KeyPair| issuer_named(NAME, KeyPair::from_pem(&key.serialize_pem()).unwrap());
    let cas: Vec<_> = (0..16)
        .map(|at| {
            let mut parameters = CertificateParams::default();
            parameters.distinguished_name = named(NAME);
            parameters.subject_alt_names = vec![uri(ACME)];
            parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign];
            parameters.not_before = date(earlier(world.now, hours(1)));
            parameters.not_after = date(later(world.now, days(365)));
            let by = copy(&keys[(at + 1) % 16]);
            parameters.signed_by(&keys[at], &by).unwrap().der().clone()
        })
        .collect();
    let expected = expects(&world, &cas).unwrap();
    let stranger = issuer_named(NAME, KeyPair::generate().unwrap());
    for by in [&stranger, &copy(&keys[0])] {
        let leaf = world.forge_by(by, AGENT, "berlin-1.acme", |_| {});
        let mut sent = vec![leaf];
        sent.extend(cas.iter().cloned());
        let began = Instant::now();
        let refusal = verify_agent(&sent, &expected, world.now).unwrap_err();
        assert!(
            matches!(refusal.reason, Reason::UnknownCa | Reason::BadProfile),
            "{refusal:?}"
        );
        assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    }
}

#[test]
fn what_a_peer_sends_is_never_searched() {
    let world = World::new();
    let stranger = issuer_named(NAME, KeyPair::generate().unwrap());
    let leaf = world.forge_by(&stranger, AGENT, "berlin-1.acme", |_| {});
    let (ca, _) = forge_ca(&world, &issuer_of(&world.root), |_| {});
    let mut sent = vec![leaf];
    sent.extend(std::iter::repeat_n(ca, 10_000));
    let began = Instant::now();
    assert_eq!(world.agent_refusal(&sent), Some(Reason::UnknownCa));
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}
