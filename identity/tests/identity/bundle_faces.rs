//! What gateway and platform refuse of each other where their certificates come from a Workload API.

use std::collections::BTreeSet;
use std::time::Duration;

use picket_identity::credential::{Credential, CredentialError};
use picket_identity::profile::ProfileError;
use picket_identity::verify::bundle_face::{
    BundleGatewayExpectation, BundlePlatformExpectation, BundleTrustError, MAX_INTERMEDIATES, TrustBundle,
    verify_gateway_by_bundle, verify_platform_by_bundle,
};
use picket_identity::verify::{
    Reason, Refusal, Verified, Vouching, verify_agent, verify_gateway, verify_gateway_client, verify_platform,
};
use picket_issuing::{days, hours};
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType,
};
use rustls_pki_types::{CertificateDer, UnixTime};

use crate::forge::{World, date, earlier, key, later, platform, uri};

const GATEWAY: &str = "spiffe://picket.example/gateway/gw-1";
const NODE: &str = "spiffe://picket.example/platform/node-1";

/// A certificate that signs, as SPIRE makes them: no common name, and the trust domain for an ID.
struct Signer {
    der: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

fn authority(now: UnixTime) -> CertificateParams {
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name = spire_name("SPIFFE");
    parameters.subject_alt_names = vec![uri("spiffe://picket.example")];
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    parameters.not_before = date(earlier(now, hours(1)));
    parameters.not_after = date(later(now, hours(24)));
    parameters
}

fn spire_name(organization: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CountryName, "US");
    name.push(DnType::OrganizationName, organization);
    name
}

impl Signer {
    fn root(now: UnixTime, edit: impl FnOnce(&mut CertificateParams)) -> Self {
        let mut parameters = authority(now);
        edit(&mut parameters);
        let key = KeyPair::generate().unwrap();
        let der = parameters.self_signed(&key).unwrap().der().clone();
        let issuer = Issuer::new(parameters, key);
        Self { der, issuer }
    }

    /// One below, with a subject of its own: path building goes by subjects.
    fn below(&self, now: UnixTime, name: &str, edit: impl FnOnce(&mut CertificateParams)) -> Self {
        let mut parameters = authority(now);
        parameters.distinguished_name = spire_name(name);
        edit(&mut parameters);
        let key = KeyPair::generate().unwrap();
        let der = parameters.signed_by(&key, &self.issuer).unwrap().der().clone();
        let issuer = Issuer::new(parameters, key);
        Self { der, issuer }
    }

    fn svid(
        &self,
        now: UnixTime,
        id: &str,
        edit: impl FnOnce(&mut CertificateParams),
    ) -> CertificateDer<'static> {
        let key = KeyPair::generate().unwrap();
        let mut parameters = svid(now, id);
        edit(&mut parameters);
        parameters.signed_by(&key, &self.issuer).unwrap().der().clone()
    }
}

/// An X.509-SVID as SPIRE makes them.
fn svid(now: UnixTime, id: &str) -> CertificateParams {
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name = spire_name("SPIRE");
    parameters.subject_alt_names = vec![uri(id)];
    parameters.is_ca = IsCa::ExplicitNoCa;
    parameters.key_usages = vec![
        KeyUsagePurpose::DigitalSignature,
        KeyUsagePurpose::KeyEncipherment,
        KeyUsagePurpose::KeyAgreement,
    ];
    parameters.extended_key_usages = vec![
        ExtendedKeyUsagePurpose::ServerAuth,
        ExtendedKeyUsagePurpose::ClientAuth,
    ];
    parameters.not_before = date(earlier(now, Duration::from_secs(10)));
    parameters.not_after = date(later(now, hours(1)));
    parameters
}

/// A SPIRE server: one authority, and a bundle with it.
struct Spire {
    now: UnixTime,
    root: Signer,
}

impl Spire {
    fn new() -> Self {
        let now = picket_identity::verify::now();
        let root = Signer::root(now, |_| {});
        Self { now, root }
    }

    fn bundle(&self) -> TrustBundle {
        bundle_of([&self.root])
    }

    fn gateway(&self, chain: &[CertificateDer<'_>]) -> Result<Verified, Refusal> {
        self.gateway_at(chain, self.now)
    }

    fn gateway_at(&self, chain: &[CertificateDer<'_>], now: UnixTime) -> Result<Verified, Refusal> {
        verify_gateway_by_bundle(chain, &expects_gateway(self.bundle()), now)
    }

    fn platform(&self, chain: &[CertificateDer<'_>]) -> Result<Verified, Refusal> {
        let bundle = self.bundle();
        verify_platform_by_bundle(chain, &BundlePlatformExpectation { bundle }, self.now)
    }

    /// Why the platform refuses a gateway's SVID after an `edit`.
    fn refusal(&self, edit: impl FnOnce(&mut CertificateParams)) -> Option<Reason> {
        reason(self.gateway(&[self.root.svid(self.now, GATEWAY, edit)]))
    }

    /// Why the platform refuses a good SVID below an intermediate after an `edit`.
    fn refusal_below(&self, edit: impl FnOnce(&mut CertificateParams)) -> Option<Reason> {
        let below = self.root.below(self.now, "below", edit);
        reason(self.gateway(&[below.svid(self.now, GATEWAY, |_| {}), below.der]))
    }
}

fn bundle_of<'s>(signers: impl IntoIterator<Item = &'s Signer>) -> TrustBundle {
    let authorities = signers.into_iter().map(|signer| signer.der.clone());
    TrustBundle::new(platform(), authorities).unwrap()
}

fn expects_gateway(bundle: TrustBundle) -> BundleGatewayExpectation {
    BundleGatewayExpectation {
        bundle,
        revoked: BTreeSet::new(),
    }
}

fn reason(outcome: Result<Verified, Refusal>) -> Option<Reason> {
    outcome.err().map(|refusal| refusal.reason)
}

#[test]
fn accepts_what_spire_issues_to_a_gateway_and_to_a_platform_node() {
    let spire = Spire::new();
    let leaf = spire.root.svid(spire.now, GATEWAY, |_| {});
    let verified = spire.gateway(&[leaf]).unwrap();
    assert_eq!(verified.id().to_string(), GATEWAY);
    assert_eq!(verified.vouching(), Vouching::Bundle);
    let leaf = spire.root.svid(spire.now, NODE, |_| {});
    assert_eq!(spire.platform(&[leaf]).unwrap().id().to_string(), NODE);
}

#[test]
fn accepts_a_leaf_without_an_extended_key_usage() {
    assert_eq!(
        Spire::new().refusal(|leaf| leaf.extended_key_usages.clear()),
        None
    );
}

#[test]
fn accepts_as_many_intermediates_as_nested_servers_need_and_no_more() {
    let spire = Spire::new();
    let (now, mut beside) = (spire.now, Vec::new());
    let mut last = spire.root.below(now, "1", |_| {});
    for depth in 1..=MAX_INTERMEDIATES + 1 {
        beside.insert(0, last.der.clone());
        let mut chain = vec![last.svid(now, GATEWAY, |_| {})];
        chain.extend(beside.iter().cloned());
        let expected = (depth > MAX_INTERMEDIATES).then_some(Reason::BadProfile);
        assert_eq!(reason(spire.gateway(&chain)), expected, "{depth} intermediates");
        last = last.below(now, &format!("{}", depth + 1), |_| {});
    }
}

#[test]
fn accepts_by_any_authority_of_a_bundle_that_is_being_rotated() {
    let spire = Spire::new();
    let next = Signer::root(spire.now, |root| root.distinguished_name = spire_name("next"));
    let expected = expects_gateway(bundle_of([&spire.root, &next]));
    for signer in [&spire.root, &next] {
        let leaf = signer.svid(spire.now, GATEWAY, |_| {});
        assert_eq!(
            reason(verify_gateway_by_bundle(&[leaf], &expected, spire.now)),
            None
        );
    }
}

#[test]
fn refuses_nobody() {
    assert_eq!(reason(Spire::new().gateway(&[])), Some(Reason::NoCert));
}

#[test]
fn refuses_an_authority_that_is_not_in_the_bundle() {
    let spire = Spire::new();
    // The same names, another key.
    let rogue = Signer::root(spire.now, |_| {});
    let leaf = rogue.svid(spire.now, GATEWAY, |_| {});
    assert_eq!(
        reason(spire.gateway(std::slice::from_ref(&leaf))),
        Some(Reason::UnknownCa)
    );
    // Nor does it help to send it along.
    assert_eq!(
        reason(spire.gateway(&[leaf, rogue.der.clone()])),
        Some(Reason::UnknownCa)
    );
}

#[test]
fn refuses_every_id_but_one_of_the_role() {
    let spire = Spire::new();
    for (id, expected) in [
        (NODE, Reason::WrongAgent),
        (
            "spiffe://picket.example/gateway/gw-1/tenant/acme",
            Reason::WrongAgent,
        ),
        ("spiffe://picket.example/agent/berlin-1", Reason::WrongAgent),
        ("spiffe://picket.example/ns/default/sa/web", Reason::WrongAgent),
        ("spiffe://picket.example/gateway/GW-1", Reason::WrongAgent),
        ("spiffe://picket.example/gateway/gw-1/", Reason::WrongAgent),
        ("spiffe://picket.example//gateway/gw-1", Reason::WrongAgent),
        ("spiffe://picket.example/gateway/%67w-1", Reason::WrongAgent),
    ] {
        let leaf = spire.root.svid(spire.now, id, |_| {});
        assert_eq!(reason(spire.gateway(&[leaf])), Some(expected), "{id}");
    }
    let leaf = spire.root.svid(spire.now, GATEWAY, |_| {});
    assert_eq!(reason(spire.platform(&[leaf])), Some(Reason::WrongAgent));
}

#[test]
fn refuses_an_id_of_another_trust_domain_whoever_signed_it() {
    let spire = Spire::new();
    for id in [
        "spiffe://other.example/gateway/gw-1",
        "spiffe://acme.picket.example/agent/berlin-1",
        "spiffe://picket.example.evil.example/gateway/gw-1",
        "spiffe://picket.examplegateway/gw-1",
        "spiffe://picket.example",
        "https://picket.example/gateway/gw-1",
        "SPIFFE://picket.example/gateway/gw-1",
    ] {
        let leaf = spire.root.svid(spire.now, id, |_| {});
        assert_eq!(reason(spire.gateway(&[leaf])), Some(Reason::WrongIssuer), "{id}");
    }
}

#[test]
fn refuses_a_gateway_that_was_turned_away() {
    let spire = Spire::new();
    let leaf = spire.root.svid(spire.now, GATEWAY, |_| {});
    let expected = BundleGatewayExpectation {
        revoked: BTreeSet::from(["gw-1".parse().unwrap()]),
        ..expects_gateway(spire.bundle())
    };
    assert_eq!(
        reason(verify_gateway_by_bundle(&[leaf], &expected, spire.now)),
        Some(Reason::Revoked)
    );
    let other = spire
        .root
        .svid(spire.now, "spiffe://picket.example/gateway/gw-2", |_| {});
    assert_eq!(
        reason(verify_gateway_by_bundle(&[other], &expected, spire.now)),
        None
    );
}

#[test]
fn refuses_leaves_that_are_expired_or_not_valid_yet() {
    let spire = Spire::new();
    let leaf = [spire.root.svid(spire.now, GATEWAY, |_| {})];
    let at = |now| reason(spire.gateway_at(&leaf, now));
    assert_eq!(at(later(spire.now, hours(2))), Some(Reason::Expired));
    assert_eq!(
        at(earlier(spire.now, Duration::from_secs(60))),
        Some(Reason::NotYetValid)
    );
}

#[test]
fn refuses_below_authorities_and_intermediates_that_have_expired() {
    let spire = Spire::new();
    let lasting = |leaf: &mut CertificateParams| leaf.not_after = date(later(spire.now, days(30)));
    let leaf = spire.root.svid(spire.now, GATEWAY, lasting);
    assert_eq!(
        reason(spire.gateway_at(&[leaf], later(spire.now, days(2)))),
        Some(Reason::Expired)
    );
    let short = |below: &mut CertificateParams| below.not_after = date(later(spire.now, hours(2)));
    let below = spire.root.below(spire.now, "short", short);
    let chain = [below.svid(spire.now, GATEWAY, lasting), below.der];
    assert_eq!(
        reason(spire.gateway_at(&chain, later(spire.now, hours(3)))),
        Some(Reason::Expired)
    );
}

#[test]
fn a_connection_ends_with_the_shortest_certificate_of_its_chain() {
    let spire = Spire::new();
    let end = later(spire.now, Duration::from_secs(600));
    let below = spire
        .root
        .below(spire.now, "short", |below| below.not_after = date(end));
    let chain = [below.svid(spire.now, GATEWAY, |_| {}), below.der];
    assert_eq!(
        spire.gateway(&chain).unwrap().chain_not_after().as_secs(),
        end.as_secs()
    );
}

#[test]
fn refuses_names_beside_the_id_and_a_second_id() {
    let spire = Spire::new();
    for extra in [
        uri("spiffe://picket.example/gateway/gw-2"),
        uri("https://picket.example/"),
        SanType::DnsName("gw-1.example".try_into().unwrap()),
    ] {
        let before = extra.clone();
        assert_eq!(
            spire.refusal(|leaf| leaf.subject_alt_names.push(extra)),
            Some(Reason::BadProfile)
        );
        assert_eq!(
            spire.refusal(|leaf| leaf.subject_alt_names.insert(0, before)),
            Some(Reason::BadProfile)
        );
    }
    assert_eq!(
        spire.refusal(|leaf| leaf.subject_alt_names.clear()),
        Some(Reason::BadProfile)
    );
}

#[test]
fn refuses_a_ca_as_a_leaf_and_leaves_that_may_sign() {
    let spire = Spire::new();
    let is_ca = |leaf: &mut CertificateParams| leaf.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    assert_eq!(spire.refusal(is_ca), Some(Reason::BadProfile));
    for usage in [KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign] {
        assert_eq!(
            spire.refusal(|leaf| leaf.key_usages.push(usage)),
            Some(Reason::BadProfile)
        );
    }
    assert_eq!(
        spire.refusal(|leaf| leaf.key_usages = vec![KeyUsagePurpose::KeyAgreement]),
        Some(Reason::BadProfile)
    );
    assert_eq!(
        spire.refusal(|leaf| leaf.key_usages.clear()),
        Some(Reason::BadProfile)
    );
}

#[test]
fn refuses_an_extended_key_usage_without_both_sides() {
    let spire = Spire::new();
    for usages in [
        vec![ExtendedKeyUsagePurpose::ServerAuth],
        vec![ExtendedKeyUsagePurpose::ClientAuth],
        vec![ExtendedKeyUsagePurpose::Any],
        vec![ExtendedKeyUsagePurpose::CodeSigning],
    ] {
        assert_eq!(
            spire.refusal(|leaf| leaf.extended_key_usages = usages),
            Some(Reason::BadProfile)
        );
    }
}

#[test]
fn refuses_an_unknown_critical_extension() {
    let unknown = |parameters: &mut CertificateParams| {
        let mut extension = CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 99999, 1], vec![5, 0]);
        extension.set_criticality(true);
        parameters.custom_extensions.push(extension);
    };
    let spire = Spire::new();
    assert_eq!(spire.refusal(unknown), Some(Reason::BadProfile));
    assert_eq!(spire.refusal_below(unknown), Some(Reason::BadProfile));
}

#[test]
fn refuses_keys_other_than_p256() {
    let spire = Spire::new();
    let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
    let leaf = svid(spire.now, GATEWAY)
        .signed_by(&key, &spire.root.issuer)
        .unwrap();
    assert_eq!(
        reason(spire.gateway(&[leaf.der().clone()])),
        Some(Reason::BadProfile)
    );
}

#[test]
fn refuses_intermediates_that_may_not_sign_or_are_another_trust_domains() {
    let spire = Spire::new();
    assert_eq!(spire.refusal_below(|_| {}), None);
    let leaf = |below: &mut CertificateParams| below.is_ca = IsCa::ExplicitNoCa;
    assert_eq!(spire.refusal_below(leaf), Some(Reason::BadProfile));
    let usage = |below: &mut CertificateParams| below.key_usages = vec![KeyUsagePurpose::CrlSign];
    assert_eq!(spire.refusal_below(usage), Some(Reason::BadProfile));
    let other = |below: &mut CertificateParams| below.subject_alt_names = vec![uri("spiffe://other.example")];
    assert_eq!(spire.refusal_below(other), Some(Reason::WrongIssuer));
    let with_path = |below: &mut CertificateParams| below.subject_alt_names = vec![uri(GATEWAY)];
    assert_eq!(spire.refusal_below(with_path), Some(Reason::BadProfile));
    let nameless = |below: &mut CertificateParams| below.subject_alt_names.clear();
    assert_eq!(spire.refusal_below(nameless), None);
}

#[test]
fn refuses_a_leaf_below_another_leaf() {
    let spire = Spire::new();
    let key = KeyPair::generate().unwrap();
    let parameters = svid(spire.now, "spiffe://picket.example/gateway/gw-2");
    let thief = parameters
        .signed_by(&key, &spire.root.issuer)
        .unwrap()
        .der()
        .clone();
    let below = Issuer::new(parameters, key);
    let forged = svid(spire.now, GATEWAY)
        .signed_by(&KeyPair::generate().unwrap(), &below)
        .unwrap();
    assert_eq!(
        reason(spire.gateway(&[forged.der().clone(), thief])),
        Some(Reason::BadProfile)
    );
}

#[test]
fn an_authoritys_path_length_counts_in_the_bundle_and_below_it() {
    let spire = Spire::new();
    let now = spire.now;
    let none_below = |ca: &mut CertificateParams| ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    let strict = Signer::root(now, none_below);
    let expected = expects_gateway(bundle_of([&strict]));
    let verify = |chain: &[CertificateDer<'_>]| reason(verify_gateway_by_bundle(chain, &expected, now));
    assert_eq!(verify(&[strict.svid(now, GATEWAY, |_| {})]), None);
    let below = strict.below(now, "below", |_| {});
    assert_eq!(
        verify(&[below.svid(now, GATEWAY, |_| {}), below.der]),
        Some(Reason::BadProfile)
    );

    let below = spire.root.below(now, "strict", none_below);
    let further = below.below(now, "further", |_| {});
    let chain = [further.svid(now, GATEWAY, |_| {}), further.der, below.der];
    assert_eq!(reason(spire.gateway(&chain)), Some(Reason::BadProfile));
}

#[test]
fn a_bundle_has_sound_authorities_of_its_own_trust_domain() {
    let now = picket_identity::verify::now();
    let refused = |edit: fn(&mut CertificateParams)| {
        TrustBundle::new(platform(), [Signer::root(now, edit).der]).unwrap_err()
    };
    assert!(matches!(
        refused(|root| root.is_ca = IsCa::ExplicitNoCa),
        BundleTrustError::Authority {
            index: 0,
            error: ProfileError::BasicConstraints(_),
            ..
        }
    ));
    assert!(matches!(
        refused(|root| root.key_usages = vec![KeyUsagePurpose::CrlSign]),
        BundleTrustError::Authority {
            error: ProfileError::KeyUsage(_),
            ..
        }
    ));
    assert!(matches!(
        refused(|root| root.subject_alt_names = vec![uri("spiffe://other.example")]),
        BundleTrustError::Foreign { .. }
    ));
    assert_eq!(
        TrustBundle::new(platform(), []).unwrap_err(),
        BundleTrustError::Empty(platform())
    );
    let one = Signer::root(now, |_| {}).der;
    assert_eq!(
        TrustBundle::new(platform(), vec![one; 33]).unwrap_err(),
        BundleTrustError::TooMany(platform())
    );
}

#[test]
fn no_face_of_our_own_cas_accepts_an_svid_of_the_bundle_nor_the_other_way_round() {
    let world = World::new();
    let spire = Spire::new();
    let svid = |id| [spire.root.svid(world.now, id, |_| {}), spire.root.der.clone()];
    let gateway = svid(GATEWAY);
    assert!(verify_gateway_client(&gateway, &world.expects_gateway_client(), world.now).is_err());
    let node = svid(NODE);
    assert!(verify_platform(&node, &world.expects_platform(), world.now).is_err());
    // An agent's two neighbours: what it meets, and what meets it.
    let scoped = svid("spiffe://picket.example/gateway/gw-1/tenant/acme");
    assert!(verify_gateway(&scoped, &world.expects_gateway(), world.now).is_err());
    let agent = svid("spiffe://acme.picket.example/agent/berlin-1");
    assert!(verify_agent(&agent, &world.expects_agent(), world.now).is_err());

    assert_eq!(
        reason(spire.gateway(world.gateway().chain())),
        Some(Reason::UnknownCa)
    );
    assert_eq!(
        reason(spire.platform(world.node().chain())),
        Some(Reason::UnknownCa)
    );
}

#[test]
fn a_credential_of_an_svid_needs_the_key_that_it_is_for() {
    let spire = Spire::new();
    let leaf = spire.root.svid(spire.now, GATEWAY, |_| {});
    let (other, _) = key();
    assert!(matches!(
        Credential::of_svid(other, vec![leaf]),
        Err(CredentialError::KeyMismatch { .. })
    ));
}
