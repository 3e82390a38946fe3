//! What the CAs issue, and what they refuse to.

#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use std::time::Duration;

use picket_identity::credential::PrivateKey;
use picket_identity::profile::{Leaf, SigningCertificate};
use picket_identity::verify;
use picket_issuing::{CertificateAuthority, Intermediate, IssueError, PublicKey, Role, days, hours};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

struct World {
    now: UnixTime,
    root: CertificateAuthority,
}

impl World {
    fn new() -> Self {
        let now = verify::now();
        Self {
            now,
            root: CertificateAuthority::new_root(&"picket.example".parse().unwrap(), now).unwrap(),
        }
    }

    fn below(&self, kind: Intermediate) -> CertificateAuthority {
        self.root.new_intermediate(kind, self.now).unwrap()
    }

    fn acme(&self) -> CertificateAuthority {
        self.below(Intermediate::Tenant("acme".parse().unwrap()))
    }
}

fn public_key() -> PublicKey {
    PublicKey::from_request(&PrivateKey::generate().unwrap().csr("x").unwrap()).unwrap()
}

#[test]
fn an_agent_gets_its_id_its_name_and_its_own_key() {
    let world = World::new();
    let key = public_key();
    let issued = world
        .acme()
        .issue_agent(&key, &"berlin-1".parse().unwrap(), days(90), world.now)
        .unwrap();
    let leaf = Leaf::parse(&issued.certificate).unwrap();
    assert_eq!(leaf.uri, "spiffe://acme.picket.example/agent/berlin-1");
    assert_eq!(leaf.common_name, "berlin-1.acme");
    assert_eq!(leaf.spki, key.spki());
    assert_eq!(leaf.serial, issued.serial);
    assert_eq!(
        (leaf.not_before, leaf.not_after),
        (issued.not_before, issued.not_after)
    );
}

#[test]
fn certificates_begin_five_minutes_ago_but_never_before_their_ca() {
    let world = World::new();
    let ca = world.acme();
    let later = UnixTime::since_unix_epoch(Duration::from_secs(world.now.as_secs() + 3600));
    let issued = ca
        .issue_agent(&public_key(), &"a".parse().unwrap(), days(1), later)
        .unwrap();
    assert_eq!(issued.not_before.as_secs(), later.as_secs() - 300);
    let authority = SigningCertificate::parse(ca.certificate_der()).unwrap();
    assert_eq!(authority.not_before.as_secs(), world.now.as_secs() - 300);
}

#[test]
fn nothing_outlives_its_issuer() {
    let world = World::new();
    let ca = world.acme();
    let near_the_end = UnixTime::since_unix_epoch(Duration::from_secs(ca.not_after().as_secs() - 3600));
    let issued = ca
        .issue_agent(&public_key(), &"a".parse().unwrap(), days(90), near_the_end)
        .unwrap();
    assert_eq!(issued.not_after, ca.not_after());
    let after = UnixTime::since_unix_epoch(Duration::from_secs(ca.not_after().as_secs() + 1));
    let refused = ca.issue_agent(&public_key(), &"a".parse().unwrap(), days(1), after);
    assert!(matches!(refused, Err(IssueError::AuthorityNotValid(_))));
}

#[test]
fn a_request_gives_its_public_key_and_nothing_else() {
    let world = World::new();
    let pair = KeyPair::generate().unwrap();
    let mut greedy = CertificateParams::default();
    greedy.distinguished_name.push(DnType::CommonName, "root");
    greedy.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    greedy.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    greedy.subject_alt_names = vec![
        SanType::URI("spiffe://picket.example/gateway/gw-1".try_into().unwrap()),
        SanType::DnsName("x.example".try_into().unwrap()),
    ];
    let request = greedy.serialize_request(&pair).unwrap();
    let key = PublicKey::from_request(request.der()).unwrap();
    let issued = world
        .acme()
        .issue_agent(&key, &"berlin-1".parse().unwrap(), days(90), world.now)
        .unwrap();
    let leaf = Leaf::parse(&issued.certificate).expect("the profile has no CA and no other name");
    assert_eq!(leaf.uri, "spiffe://acme.picket.example/agent/berlin-1");
    assert_eq!(leaf.common_name, "berlin-1.acme");
}

#[test]
fn a_request_whose_signature_is_not_by_its_key_is_refused() {
    let request = PrivateKey::generate().unwrap().csr("x").unwrap();
    let last = request.len() - 1;
    // A bit in the subject, in the key, in the signature.
    for at in [30, 60, 90, last] {
        let mut changed = request.clone();
        changed[at] ^= 1;
        assert!(PublicKey::from_request(&changed).is_err(), "byte {at}");
    }
    let mut longer = request.clone();
    longer.push(0);
    assert!(PublicKey::from_request(&longer).is_err());
    assert!(PublicKey::from_request(&request[..last]).is_err());
    assert!(PublicKey::from_request(b"").is_err());
    assert!(PublicKey::from_request(&vec![0x30; 9000]).is_err());
}

#[test]
fn a_request_for_any_other_kind_of_key_is_refused() {
    for algorithm in [&rcgen::PKCS_ECDSA_P384_SHA384, &rcgen::PKCS_ED25519] {
        let pair = KeyPair::generate_for(algorithm).unwrap();
        let request = CertificateParams::default().serialize_request(&pair).unwrap();
        assert!(matches!(
            PublicKey::from_request(request.der()),
            Err(IssueError::Request(_))
        ));
    }
}

#[test]
fn each_ca_issues_only_what_it_is_for() {
    let world = World::new();
    let key = public_key();
    let cas = [
        &world.root,
        &world.below(Intermediate::Gateway),
        &world.below(Intermediate::Platform),
        &world.acme(),
    ];
    for ca in cas {
        let role = ca.role();
        let now = world.now;
        let (agent, gateway, node) = ("a".parse().unwrap(), "g".parse().unwrap(), "n".parse().unwrap());
        let acme = "acme".parse().unwrap();
        assert_eq!(
            ca.issue_agent(&key, &agent, days(1), now).is_ok(),
            matches!(role, Role::Tenant(_)),
            "{role}"
        );
        assert_eq!(
            ca.issue_gateway(&key, &gateway, days(1), now).is_ok(),
            *role == Role::Gateway,
            "{role}"
        );
        let for_tenant = ca.issue_gateway_for_tenant(&key, &gateway, &acme, hours(24), now);
        assert_eq!(for_tenant.is_ok(), *role == Role::Gateway, "{role}");
        assert_eq!(
            ca.issue_platform_node(&key, &node, days(1), now).is_ok(),
            *role == Role::Platform,
            "{role}"
        );
        let web = ca.issue_web_server(&key, &["localhost".to_owned()], days(1), now);
        assert_eq!(web.is_ok(), *role == Role::Platform, "{role}");
        let below = ca.new_intermediate(Intermediate::Gateway, now);
        assert_eq!(below.is_ok(), *role == Role::Root, "{role}");
    }
}

#[test]
fn only_the_platform_ca_signs_statements() {
    let world = World::new();
    for ca in [&world.root, &world.below(Intermediate::Gateway), &world.acme()] {
        let refused = ca.sign_statement(b"context", b"bytes");
        assert!(matches!(refused, Err(IssueError::Statement(_))), "{}", ca.role());
    }
    let platform = world.below(Intermediate::Platform);
    let signature = platform.sign_statement(b"context", b"bytes").unwrap();
    let key = SigningCertificate::parse(platform.certificate_der())
        .unwrap()
        .spki;
    let verify = |context: &[u8], bytes: &[u8]| {
        picket_identity::credential::verify_signature_by_key(&key, context, bytes, &signature)
    };
    verify(b"context", b"bytes").unwrap();
    assert!(verify(b"other", b"bytes").is_err());
    assert!(verify(b"context", b"bytez").is_err());
}

#[test]
fn a_gateways_leaf_for_a_tenant_lasts_a_day_at_most() {
    let world = World::new();
    let ca = world.below(Intermediate::Gateway);
    let (gateway, acme) = ("g".parse().unwrap(), "acme".parse().unwrap());
    let refused = ca.issue_gateway_for_tenant(&public_key(), &gateway, &acme, hours(25), world.now);
    assert!(matches!(refused, Err(IssueError::Lifetime { .. })));
}

#[test]
fn a_leaf_for_longer_than_the_profile_allows_is_refused() {
    let world = World::new();
    let refused = world
        .acme()
        .issue_agent(&public_key(), &"a".parse().unwrap(), days(398), world.now);
    assert!(matches!(refused, Err(IssueError::Lifetime { .. })));
    let longest = world
        .acme()
        .issue_agent(&public_key(), &"a".parse().unwrap(), days(397), world.now)
        .unwrap();
    assert!(Leaf::parse(&longest.certificate).is_ok());
}

#[test]
fn a_common_name_of_more_than_64_characters_is_refused() {
    let world = World::new();
    let ca = world.below(Intermediate::Tenant("t".repeat(40).parse().unwrap()));
    let refused = ca.issue_agent(
        &public_key(),
        &"a".repeat(40).parse().unwrap(),
        days(1),
        world.now,
    );
    assert!(matches!(
        refused,
        Err(IssueError::CommonNameTooLong { found: 81, .. })
    ));
    assert!(
        ca.issue_agent(
            &public_key(),
            &"a".repeat(23).parse().unwrap(),
            days(1),
            world.now
        )
        .is_ok()
    );
}

#[test]
fn serial_numbers_are_random_positive_and_sixteen_bytes() {
    let world = World::new();
    let ca = world.acme();
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..50 {
        let issued = ca
            .issue_agent(&public_key(), &"a".parse().unwrap(), days(1), world.now)
            .unwrap();
        assert_eq!(issued.serial.as_bytes().len(), 16);
        assert!(seen.insert(issued.serial));
    }
}

fn accepts_web_name(
    ca: &CertificateAuthority,
    root: &CertificateAuthority,
    leaf: &[u8],
    name: &str,
) -> Result<(), webpki::Error> {
    let der = CertificateDer::from(leaf);
    let leaf = webpki::EndEntityCert::try_from(&der)?;
    let anchor = [webpki::anchor_from_trusted_cert(root.certificate_der())?];
    let between = [ca.certificate_der().clone()];
    let usage = webpki::KeyUsage::server_auth();
    leaf.verify_for_usage(
        webpki::ALL_VERIFICATION_ALGS,
        &anchor,
        &between,
        verify::now(),
        usage,
        None,
        None,
    )?;
    leaf.verify_is_valid_for_subject_name(&ServerName::try_from(name).unwrap())
}

#[test]
fn a_web_servers_certificate_is_good_for_its_names_and_for_nobodys_identity() {
    let world = World::new();
    let ca = world.below(Intermediate::Platform);
    let names = [
        "picket.example".to_owned(),
        "127.0.0.1".to_owned(),
        "::1".to_owned(),
    ];
    let issued = ca
        .issue_web_server(&public_key(), &names, days(90), world.now)
        .unwrap();
    for name in &names {
        accepts_web_name(&ca, &world.root, &issued.certificate, name).unwrap();
    }
    assert!(accepts_web_name(&ca, &world.root, &issued.certificate, "other.example").is_err());
    assert!(Leaf::parse(&issued.certificate).is_err());
}

#[test]
fn a_web_servers_certificate_needs_names_that_are_names() {
    let world = World::new();
    let ca = world.below(Intermediate::Platform);
    for names in [
        vec![],
        vec![""],
        vec!["a b"],
        vec!["-a.example"],
        vec!["a..b"],
        vec!["*"],
        vec!["https://x"],
        vec!["a", "b_c"],
    ] {
        let names: Vec<String> = names.into_iter().map(str::to_owned).collect();
        let refused = ca.issue_web_server(&public_key(), &names, days(1), world.now);
        assert!(matches!(refused, Err(IssueError::WebName(_))), "{names:?}");
    }
}

#[test]
fn a_stolen_tenant_or_gateway_ca_can_not_make_web_servers_names() {
    let world = World::new();
    for ca in [world.acme(), world.below(Intermediate::Gateway)] {
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name = rcgen::DistinguishedName::new();
        parameters
            .distinguished_name
            .push(DnType::CommonName, ca.role().to_string());
        let stolen = Issuer::new(parameters, KeyPair::try_from(ca.key_der().as_slice()).unwrap());
        for name in ["bank.example", "10.0.0.1", "2001:db8::1"] {
            let leaf = CertificateParams::new([name.to_owned()]).unwrap();
            let leaf = leaf.signed_by(&KeyPair::generate().unwrap(), &stolen).unwrap();
            let refused = accepts_web_name(&ca, &world.root, leaf.der(), name).unwrap_err();
            assert_eq!(refused, webpki::Error::NameConstraintViolation, "{name}");
        }
    }
}

#[test]
fn a_ca_issues_again_when_its_key_and_certificate_come_back() {
    let world = World::new();
    let again = |ca: &CertificateAuthority| {
        CertificateAuthority::from_der(&ca.key_der(), ca.certificate_der().clone()).unwrap()
    };
    let root = again(&world.root);
    assert_eq!(
        (root.role(), root.platform().as_str()),
        (&Role::Root, "picket.example")
    );
    let acme = again(
        &root
            .new_intermediate(Intermediate::Tenant("acme".parse().unwrap()), world.now)
            .unwrap(),
    );
    let issued = acme
        .issue_agent(&public_key(), &"berlin-1".parse().unwrap(), days(1), world.now)
        .unwrap();
    assert!(accepts_agent(&issued.certificate, &[&world.root], &[&acme]));
}

fn accepts_agent(
    leaf: &CertificateDer<'static>,
    roots: &[&CertificateAuthority],
    cas: &[&CertificateAuthority],
) -> bool {
    let der = |ca: &&CertificateAuthority| ca.certificate_der().clone();
    let expected = verify::AgentExpectation {
        platform: "picket.example".parse().unwrap(),
        tenant: "acme".parse().unwrap(),
        agent: "berlin-1".parse().unwrap(),
        trust: verify::Trust::with_roots(roots.iter().map(der), cas.iter().map(der)).unwrap(),
        serials: verify::Serials::default(),
    };
    verify::verify_agent(std::slice::from_ref(leaf), &expected, verify::now()).is_ok()
}

#[test]
fn a_key_of_another_ca_is_refused() {
    let world = World::new();
    let mixed =
        CertificateAuthority::from_der(&world.acme().key_der(), world.acme().certificate_der().clone());
    assert!(matches!(mixed, Err(IssueError::KeyMismatch(_))));
}

#[test]
fn a_reissued_ca_has_the_same_key_and_its_leaves_are_good_under_both_roots() {
    let world = World::new();
    let acme = world.acme();
    let next = CertificateAuthority::new_root(&"picket.example".parse().unwrap(), world.now).unwrap();
    let reissued = next.reissue(&acme, world.now).unwrap();
    assert_eq!(*reissued.key_der(), *acme.key_der());
    assert_eq!(reissued.role(), acme.role());
    assert_ne!(reissued.certificate_der(), acme.certificate_der());
    for ca in [&acme, &reissued] {
        let issued = ca
            .issue_agent(&public_key(), &"berlin-1".parse().unwrap(), days(1), world.now)
            .unwrap();
        let leaf = &issued.certificate;
        assert!(
            accepts_agent(leaf, &[&world.root], &[&acme]),
            "under the old root"
        );
        assert!(accepts_agent(leaf, &[&next], &[&reissued]), "under the new root");
        assert!(
            !accepts_agent(leaf, &[&next], &[&acme]),
            "a root for another's CA"
        );
    }
}

#[test]
fn only_a_root_reissues_and_only_cas_of_its_own_platform() {
    let world = World::new();
    let acme = world.acme();
    let gateway = world.below(Intermediate::Gateway);
    assert!(matches!(
        gateway.reissue(&acme, world.now),
        Err(IssueError::WrongAuthority { .. })
    ));
    assert!(matches!(
        world.root.reissue(&world.root, world.now),
        Err(IssueError::WrongAuthority { .. })
    ));
    let other = CertificateAuthority::new_root(&"other.example".parse().unwrap(), world.now).unwrap();
    assert!(matches!(
        other.reissue(&acme, world.now),
        Err(IssueError::OtherPlatform { .. })
    ));
}

#[test]
fn debug_output_holds_no_key() {
    let shown = format!("{:?}", World::new().root);
    assert_eq!(
        shown,
        "CertificateAuthority { role: Root, platform: picket.example, .. }"
    );
}
