//! Leaves and CAs that are nearly right, each told apart by the one rule that it breaks.

use picket_identity::profile::{Leaf, ProfileError};
use picket_identity::spiffe::TrustDomain;
use picket_identity::verify::{
    IssuerId, Reason, Trust, TrustError, verify_agent, verify_gateway_client, verify_platform,
};
use picket_issuing::hours;
use rcgen::{BasicConstraints, CustomExtension, IsCa, SerialNumber};
use rustls_pki_types::CertificateDer;

use crate::forge::{AGENT, World, earlier};

/// The leaf with its first `from` in the place of which stands `to`.
fn patched(leaf: &CertificateDer<'_>, from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut bytes = leaf.to_vec();
    let at = bytes.windows(from.len()).position(|part| part == from).unwrap();
    bytes[at..at + to.len()].copy_from_slice(to);
    bytes
}

#[test]
fn refuses_a_certificate_of_another_version() {
    let leaf = World::new().forge_agent(|_| {});
    for (version, number) in [(0, 1), (1, 2)] {
        let bytes = patched(&leaf, &[0xa0, 3, 2, 1, 2], &[0xa0, 3, 2, 1, version]);
        assert_eq!(Leaf::parse(&bytes).unwrap_err(), ProfileError::Version(number));
    }
}

#[test]
fn refuses_an_extension_that_cannot_be_parsed_even_where_nobody_needs_it() {
    let world = World::new();
    const AUTHORITY_KEY_IDENTIFIER: [u64; 4] = [2, 5, 29, 35];
    let leaf = world.forge_agent(|leaf| {
        let broken = CustomExtension::from_oid_content(&AUTHORITY_KEY_IDENTIFIER, vec![0x30, 0x05, 0x80]);
        leaf.custom_extensions = vec![broken];
    });
    assert!(matches!(
        Leaf::parse(&leaf),
        Err(ProfileError::BrokenExtension(_))
    ));
    assert_eq!(world.agent_refusal(&[leaf]), Some(Reason::BadProfile));
}

#[test]
fn refuses_bytes_after_the_content_of_an_extension() {
    let world = World::new();
    let cases: [(&[u64], &[u8]); 3] = [
        (&[2, 5, 29, 19], &[0x30, 0, 5, 0]),
        (&[2, 5, 29, 15], &[3, 2, 7, 0x80, 0]),
        (
            &[2, 5, 29, 37],
            b"\x30\x14\x06\x08\x2b\x06\x01\x05\x05\x07\x03\x01\x06\x08\x2b\x06\x01\x05\x05\x07\x03\x02\x05\x00",
        ),
    ];
    for (oid, der) in cases {
        let leaf = world.forge_agent(|leaf| {
            match oid[3] {
                19 => leaf.is_ca = IsCa::NoCa,
                15 => leaf.key_usages.clear(),
                _ => leaf.extended_key_usages.clear(),
            }
            let mut extension = CustomExtension::from_oid_content(oid, der.to_vec());
            extension.set_criticality(true);
            leaf.custom_extensions = vec![extension];
        });
        let refused = Leaf::parse(&leaf);
        assert!(
            matches!(refused, Err(ProfileError::BrokenExtension(_))),
            "{oid:?}: {refused:?}"
        );
    }
}

#[test]
fn refuses_a_ca_as_a_leaf_before_any_path_is_built() {
    for is_ca in [BasicConstraints::Unconstrained, BasicConstraints::Constrained(0)] {
        let leaf = World::new().forge_agent(|leaf| leaf.is_ca = IsCa::Ca(is_ca));
        let refused = ProfileError::BasicConstraints("CA is true on a leaf");
        assert_eq!(Leaf::parse(&leaf).unwrap_err(), refused);
    }
}

#[test]
fn refuses_a_leaf_that_is_not_for_clients_before_any_path_is_built() {
    use rcgen::ExtendedKeyUsagePurpose::{ClientAuth, ServerAuth};
    for (only, missing) in [
        (ServerAuth, "clientAuth is missing"),
        (ClientAuth, "serverAuth is missing"),
    ] {
        let leaf = World::new().forge_agent(|leaf| leaf.extended_key_usages = vec![only]);
        let refused = ProfileError::ExtendedKeyUsage(missing);
        assert_eq!(Leaf::parse(&leaf).unwrap_err(), refused);
    }
}

#[test]
fn refuses_a_path_length_on_a_leaf() {
    let leaf = World::new().forge_agent(|leaf| {
        leaf.is_ca = IsCa::NoCa;
        let length = CustomExtension::from_oid_content(&[2, 5, 29, 19], vec![0x30, 3, 2, 1, 0]);
        leaf.custom_extensions = vec![length];
    });
    assert!(matches!(
        Leaf::parse(&leaf),
        Err(ProfileError::BasicConstraints(_))
    ));
}

#[test]
fn refuses_a_point_in_any_other_form() {
    let leaf = World::new().forge_agent(|_| {});
    for form in [0x02, 0x03, 0x06, 0x00] {
        let bytes = patched(&leaf, &[3, 0x42, 0, 4], &[3, 0x42, 0, form]);
        assert_eq!(Leaf::parse(&bytes).unwrap_err(), ProfileError::PublicKey);
    }
}

#[test]
fn refuses_a_point_on_another_curve() {
    let leaf = World::new().forge_agent(|_| {});
    // prime256v1 is 1.2.840.10045.3.1.7; 3.1.6 is another curve, of 239 bits.
    let curve = [6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];
    let other = [6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 6];
    let bytes = patched(&leaf, &curve, &other);
    assert_eq!(Leaf::parse(&bytes).unwrap_err(), ProfileError::PublicKey);
}

#[test]
fn a_trust_domain_has_labels_and_a_length() {
    let label = "a".repeat(63);
    let longest = [label.as_str(); 4].join(".");
    assert_eq!(longest.len(), 255);
    assert!(longest.parse::<TrustDomain>().is_ok());
    let longer = format!("{longest}.a");
    for text in [
        longer.as_str(),
        "",
        "a..b",
        ".a",
        "a.",
        "-a.b",
        "a.-b",
        "a-.b",
        "a.b-",
        &"a".repeat(64),
        "a_b",
        "A",
    ] {
        assert!(text.parse::<TrustDomain>().is_err(), "{text}");
    }
}

#[test]
fn refuses_a_serial_number_of_zero_and_one_that_is_negative() {
    let world = World::new();
    let zero = world.forge_agent(|leaf| leaf.serial_number = Some(SerialNumber::from_slice(&[0])));
    assert_eq!(Leaf::parse(&zero).unwrap_err(), ProfileError::Serial);
    assert_eq!(world.agent_refusal(&[zero]), Some(Reason::BadProfile));
    let one = world.forge_agent(|leaf| leaf.serial_number = Some(SerialNumber::from_slice(&[0x51])));
    let negative = patched(&one, &[2, 1, 0x51], &[2, 1, 0xd1]);
    assert_eq!(Leaf::parse(&negative).unwrap_err(), ProfileError::Serial);
}

#[test]
fn an_issuer_has_one_spelling() {
    let world = World::new();
    let issuer = world.trust(&world.acme).cas()[0].id();
    let text = issuer.to_string();
    assert_eq!(text.parse(), Ok(issuer));
    for other in [
        text.to_uppercase(),
        text[1..].to_owned(),
        format!("{text}0"),
        text.replace(char::is_numeric, "G"),
    ] {
        assert!(other.parse::<IssuerId>().is_err(), "{other}");
    }
}

#[test]
fn a_leaf_is_no_root() {
    let world = World::new();
    let trust = Trust::new(
        world.agent().chain()[0].clone(),
        [world.acme.certificate_der().clone()],
    );
    assert!(matches!(trust, Err(TrustError::Root(_))), "{trust:?}");
}

#[test]
fn a_root_that_is_not_valid_yet_vouches_for_nobody() {
    let world = World::new();
    // Leaf and CA begin an hour ago, the root a few minutes ago.
    let (ca, key) = crate::chains::forge_ca(&world, &crate::forge::issuer_of(&world.root), |_| {});
    let leaf = world.forge_by(&key, AGENT, "berlin-1.acme", |_| {});
    let mut expected = world.expects_agent();
    expected.trust = Trust::new(world.root.certificate_der().clone(), [ca]).unwrap();
    let leaf = [leaf];
    verify_agent(&leaf, &expected, world.now).unwrap();
    let at = earlier(world.now, hours(1) / 2);
    let refusal = verify_agent(&leaf, &expected, at).unwrap_err();
    assert_eq!(refusal.reason, Reason::NotYetValid);
}

#[test]
fn a_part_of_another_platform_is_refused_even_by_our_own_ca() {
    let world = World::new();
    let forged = |ca, id: &str, name: &str| [world.forge(ca, id, name, |_| {})];
    let node = forged(
        &world.platform_ca,
        "spiffe://other.example/platform/node-1",
        "platform:node-1",
    );
    let refusal = verify_platform(&node, &world.expects_platform(), world.now).unwrap_err();
    assert_eq!(refusal.reason, Reason::WrongAgent);
    let client = forged(
        &world.gateway_ca,
        "spiffe://other.example/gateway/gw-1",
        "gateway:gw-1",
    );
    let refusal = verify_gateway_client(&client, &world.expects_gateway_client(), world.now).unwrap_err();
    assert_eq!(refusal.reason, Reason::WrongAgent);
    let id = "spiffe://other.example/gateway/gw-1/tenant/acme";
    let gateway = forged(&world.gateway_ca, id, "gateway:gw-1");
    assert_eq!(world.gateway_refusal(&gateway), Some(Reason::WrongTenant));
}
