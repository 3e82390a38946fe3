//! Leaves by the right CA, for the right agent, that aren't shaped as the profile wants.

use picket_identity::profile::Leaf;
use picket_identity::verify::Reason;
use picket_issuing::days;
use rcgen::{
    CustomExtension, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P384_SHA384, SanType,
};
use rustls_pki_types::CertificateDer;

use crate::forge::{AGENT, World, date, issuer_of, later, uri};

const SAN: [u64; 4] = [2, 5, 29, 17];
const KEY_USAGE: [u64; 4] = [2, 5, 29, 15];
const BASIC_CONSTRAINTS: [u64; 4] = [2, 5, 29, 19];
const NAME_CONSTRAINTS: [u64; 4] = [2, 5, 29, 30];

#[track_caller]
fn is_bad(world: &World, leaf: CertificateDer<'static>) {
    assert_eq!(world.agent_refusal(&[leaf]), Some(Reason::BadProfile));
}

/// Refused by the profile itself, whatever path building would say later.
#[track_caller]
fn breaks_the_profile(world: &World, leaf: CertificateDer<'static>) {
    assert!(Leaf::parse(&leaf).is_err());
    is_bad(world, leaf);
}

fn raw_san(entries: &[(u8, &[u8])]) -> CustomExtension {
    let mut content = Vec::new();
    for (tag, bytes) in entries {
        content.push(0x80 | tag);
        content.push(u8::try_from(bytes.len()).unwrap());
        content.extend_from_slice(bytes);
    }
    let mut der = vec![0x30, u8::try_from(content.len()).unwrap()];
    der.extend(content);
    CustomExtension::from_oid_content(&SAN, der)
}

#[test]
fn the_forgers_own_template_is_accepted() {
    let world = World::new();
    assert_eq!(world.agent_refusal(&[world.forge_agent(|_| {})]), None);
    let leaf = world.forge_agent(|leaf| {
        leaf.subject_alt_names.clear();
        leaf.custom_extensions = vec![raw_san(&[(6, AGENT.as_bytes())])];
    });
    assert_eq!(world.agent_refusal(&[leaf]), None);
}

#[test]
fn refuses_two_uris_in_either_order() {
    let world = World::new();
    let other = "spiffe://globex.picket.example/agent/berlin-1";
    for pair in [
        [AGENT, other],
        [other, AGENT],
        [AGENT, AGENT],
        [AGENT, "https://x.example/"],
        ["https://x.example/", AGENT],
    ] {
        is_bad(
            &world,
            world.forge_agent(|leaf| leaf.subject_alt_names = pair.map(uri).to_vec()),
        );
    }
}

#[test]
fn refuses_a_uri_beside_any_other_name() {
    let world = World::new();
    for other in [
        SanType::DnsName("berlin-1.example".try_into().unwrap()),
        SanType::Rfc822Name("a@example.com".try_into().unwrap()),
        SanType::IpAddress([10, 0, 0, 4].into()),
    ] {
        is_bad(
            &world,
            world.forge_agent(|leaf| leaf.subject_alt_names.push(other.clone())),
        );
        is_bad(
            &world,
            world.forge_agent(|leaf| leaf.subject_alt_names.insert(0, other)),
        );
    }
}

#[test]
fn refuses_a_second_extension_with_names() {
    let world = World::new();
    breaks_the_profile(
        &world,
        world.forge_agent(|leaf| leaf.custom_extensions = vec![raw_san(&[(6, AGENT.as_bytes())])]),
    );
}

#[test]
fn refuses_a_broken_name_beside_the_good_one() {
    let world = World::new();
    for entries in [
        [(6, AGENT.as_bytes()), (6, &b"spiffe://\xff\xfe"[..])],
        [(6, &b"\xff"[..]), (6, AGENT.as_bytes())],
        [(6, AGENT.as_bytes()), (15, &b"x"[..])],
    ] {
        is_bad(
            &world,
            world.forge_agent(|leaf| {
                leaf.subject_alt_names.clear();
                leaf.custom_extensions = vec![raw_san(&entries)];
            }),
        );
    }
}

#[test]
fn refuses_bytes_after_the_names() {
    let world = World::new();
    is_bad(
        &world,
        world.forge_agent(|leaf| {
            leaf.subject_alt_names.clear();
            let mut der = raw_san(&[(6, AGENT.as_bytes())]).content().to_vec();
            der.extend([0x05, 0x00]);
            leaf.custom_extensions = vec![CustomExtension::from_oid_content(&SAN, der)];
        }),
    );
}

#[test]
fn refuses_an_id_that_stands_anywhere_but_in_a_uri() {
    let world = World::new();
    is_bad(
        &world,
        world.forge_agent(|leaf| {
            leaf.subject_alt_names = vec![SanType::DnsName("berlin-1.acme".try_into().unwrap())];
        }),
    );
    is_bad(
        &world,
        world.forge_agent(|leaf| {
            leaf.subject_alt_names = vec![SanType::Rfc822Name(AGENT.try_into().unwrap())];
        }),
    );
    is_bad(&world, world.forge_agent(|leaf| leaf.subject_alt_names.clear()));
    is_bad(
        &world,
        world.forge(&world.acme, AGENT, AGENT, |leaf| leaf.subject_alt_names.clear()),
    );
}

#[test]
fn refuses_every_other_spelling_of_the_id() {
    let world = World::new();
    for id in [
        "spiffe://acme.picket.example/agent/Berlin-1",
        "spiffe://ACME.picket.example/agent/berlin-1",
        "SPIFFE://acme.picket.example/agent/berlin-1",
        "spiffe://acme.picket.example/agent/../agent/berlin-1",
        "spiffe://acme.picket.example/agent//berlin-1",
        "spiffe://acme.picket.example//agent/berlin-1",
        "spiffe://acme.picket.example/agent/berlin%2d1",
        "spiffe://acme.picket.example/agent/berlin-1\0",
        "spiffe://acme.picket.example:443/agent/berlin-1",
        "spiffe://x@acme.picket.example/agent/berlin-1",
        "spiffe://acme.picket.example/agent/berlin-1?x",
        "spiffe://acme.picket.example/agent/berlin-1#x",
        "spiffe://acme.picket.example/agent/berlin-1/",
        "spiffe://acme.picket.example",
        "spiffe://acme.picket.example/agent",
    ] {
        is_bad(&world, world.forge(&world.acme, id, "berlin-1.acme", |_| {}));
    }
}

#[test]
fn refuses_a_beginning_and_a_continuation_of_the_id() {
    let world = World::new();
    for id in [
        "spiffe://acme.picket.example/agent/berlin-",
        "spiffe://acme.picket.example/agent/berlin-1/x",
    ] {
        is_bad(&world, world.forge(&world.acme, id, "berlin-1.acme", |_| {}));
    }
    for (id, reason) in [
        ("spiffe://acme.picket.example/agent/berlin", Reason::WrongAgent),
        ("spiffe://acme.picket.example/agent/berlin-11", Reason::WrongAgent),
        (
            "spiffe://acme.picket.example.evil/agent/berlin-1",
            Reason::WrongAgent,
        ),
        (
            "spiffe://evil-acme.picket.example/agent/berlin-1",
            Reason::WrongTenant,
        ),
    ] {
        let leaf = world.forge(&world.acme, id, "berlin-1.acme", |_| {});
        assert_eq!(world.agent_refusal(&[leaf]), Some(reason), "{id}");
    }
}

#[test]
fn refuses_a_validity_that_is_too_long() {
    let world = World::new();
    is_bad(
        &world,
        world.forge_agent(|leaf| leaf.not_after = date(later(world.now, days(399)))),
    );
}

#[test]
fn refuses_a_leaf_that_is_a_ca() {
    let world = World::new();
    is_bad(
        &world,
        world.forge_agent(|leaf| leaf.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained)),
    );
}

#[test]
fn refuses_broken_basic_constraints() {
    let world = World::new();
    // A second version of CA:TRUE that a lenient parser takes for "absent".
    for der in [
        vec![0x30, 0x03, 0x01, 0x01],
        vec![0x30, 0x06, 0x01, 0x01, 0xff, 0x02, 0x01, 0x00, 0x00],
        vec![0x04, 0x00],
    ] {
        is_bad(
            &world,
            world.forge_agent(|leaf| {
                leaf.is_ca = IsCa::NoCa;
                let mut extension = CustomExtension::from_oid_content(&BASIC_CONSTRAINTS, der);
                extension.set_criticality(true);
                leaf.custom_extensions = vec![extension];
            }),
        );
    }
}

#[test]
fn refuses_every_other_key_usage() {
    let world = World::new();
    is_bad(&world, world.forge_agent(|leaf| leaf.key_usages.clear()));
    is_bad(
        &world,
        world.forge_agent(|leaf| leaf.key_usages = vec![KeyUsagePurpose::KeyAgreement]),
    );
    for extra in [KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign] {
        is_bad(&world, world.forge_agent(|leaf| leaf.key_usages.push(extra)));
    }
    for (is_critical, der) in [
        // digitalSignature, but not critical.
        (false, vec![0x03, 0x02, 0x07, 0x80]),
        // Three bytes of bits, of which a parser of two may see any.
        (true, vec![0x03, 0x04, 0x00, 0x80, 0x00, 0x80]),
        (true, vec![0x03, 0x04, 0x00, 0x80, 0x00, 0x00]),
    ] {
        is_bad(
            &world,
            world.forge_agent(|leaf| {
                leaf.key_usages.clear();
                let mut extension = CustomExtension::from_oid_content(&KEY_USAGE, der);
                extension.set_criticality(is_critical);
                leaf.custom_extensions = vec![extension];
            }),
        );
    }
}

#[test]
fn refuses_every_other_extended_key_usage() {
    let world = World::new();
    use ExtendedKeyUsagePurpose::{Any, ClientAuth, CodeSigning, ServerAuth};
    for usages in [
        vec![],
        vec![ServerAuth],
        vec![ClientAuth],
        vec![Any],
        vec![CodeSigning],
        vec![ServerAuth, ClientAuth, Any],
    ] {
        is_bad(
            &world,
            world.forge_agent(|leaf| leaf.extended_key_usages = usages),
        );
    }
}

#[test]
fn refuses_an_unknown_critical_extension_and_ignores_one_that_is_not() {
    let world = World::new();
    let with = |is_critical| {
        world.forge_agent(|leaf| {
            let mut extension =
                CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 99999, 1], vec![0x05, 0x00]);
            extension.set_criticality(is_critical);
            leaf.custom_extensions = vec![extension];
        })
    };
    breaks_the_profile(&world, with(true));
    assert_eq!(world.agent_refusal(&[with(false)]), None);
}

#[test]
fn refuses_name_constraints_on_a_leaf() {
    let world = World::new();
    is_bad(
        &world,
        world.forge_agent(|leaf| {
            leaf.custom_extensions = vec![CustomExtension::from_oid_content(
                &NAME_CONSTRAINTS,
                vec![0x30, 0x00],
            )];
        }),
    );
}

#[test]
fn refuses_any_other_kind_of_key() {
    let world = World::new();
    let key = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
    let leaf = world
        .template(AGENT, "berlin-1.acme")
        .signed_by(&key, &issuer_of(&world.acme))
        .unwrap();
    is_bad(&world, leaf.der().clone());
}

#[test]
fn refuses_a_subject_with_more_than_one_common_name() {
    let world = World::new();
    is_bad(
        &world,
        world.forge_agent(|leaf| {
            leaf.distinguished_name
                .push(rcgen::DnType::OrganizationName, "acme");
        }),
    );
    is_bad(
        &world,
        world.forge_agent(|leaf| leaf.distinguished_name = rcgen::DistinguishedName::new()),
    );
}

#[test]
fn refuses_bytes_after_the_certificate_and_what_is_no_certificate() {
    let world = World::new();
    let good = world.forge_agent(|_| {});
    let mut longer = good.to_vec();
    longer.push(0);
    breaks_the_profile(&world, CertificateDer::from(longer));
    breaks_the_profile(&world, CertificateDer::from(good[..good.len() - 1].to_vec()));
    breaks_the_profile(&world, CertificateDer::from(Vec::new()));
}

#[test]
fn refuses_a_huge_certificate() {
    let world = World::new();
    breaks_the_profile(
        &world,
        world.forge_agent(|leaf| {
            let oid = [1, 3, 6, 1, 4, 1, 99999, 2];
            leaf.custom_extensions = vec![CustomExtension::from_oid_content(&oid, vec![0; 9000])];
        }),
    );
}

#[test]
fn no_single_changed_bit_is_accepted_with_another_meaning() {
    let world = World::new();
    let good = world.forge_agent(|_| {});
    for at in 0..good.len() * 8 {
        let mut bytes = good.to_vec();
        bytes[at / 8] ^= 1 << (at % 8);
        let refusal = world.agent_refusal(&[CertificateDer::from(bytes)]);
        assert!(refusal.is_some(), "accepted with bit {at} changed");
    }
}
