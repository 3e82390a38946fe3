//! What the platform says to trust, whoever brings it.

use std::fs;

use picket_identity::bundle::{self, BundleError, IdentityBundle};
use picket_identity::spiffe::TrustDomain;
use picket_identity::statement::StatementError;
use picket_identity::trust_update::{CONTEXT, SignedTrust, TrustStatement, TrustUpdateError};
use picket_identity::verify::{Denied, Reason, verify_gateway};
use picket_issuing::{CertificateAuthority, Intermediate, days};
use rustls_pki_types::CertificateDer;

use crate::folder::Folder;
use crate::forge::{World, later, platform};

fn statement(world: &World, sequence: u64, gateway_cas: &[&CertificateAuthority]) -> TrustStatement {
    TrustStatement::new(
        platform(),
        "acme".parse().unwrap(),
        sequence,
        [world.root.certificate_der().as_ref()],
        gateway_cas.iter().map(|ca| ca.certificate_der().as_ref()),
        Vec::new(),
    )
}

fn signed(world: &World, statement: &TrustStatement) -> SignedTrust {
    let statement = statement.to_bytes().unwrap();
    SignedTrust {
        signature: world.platform_ca.sign_statement(CONTEXT, &statement).unwrap(),
        signer: world.platform_ca.certificate_der().to_vec(),
        statement,
    }
}

fn verify(world: &World, update: &SignedTrust) -> Result<TrustStatement, TrustUpdateError> {
    let roots = [world.root.certificate_der().clone()];
    update.verify(&platform(), &"acme".parse().unwrap(), &roots, world.now)
}

fn enrolled(world: &World) -> Folder {
    let folder = Folder::new();
    let bundle = folder.bundle(world, &world.acme);
    bundle::install(&folder.path, &bundle, world.now).unwrap();
    folder
}

#[test]
fn the_platforms_word_for_the_own_tenant_is_taken() {
    let world = World::new();
    let said = statement(&world, 3, &[&world.gateway_ca]);
    assert_eq!(verify(&world, &signed(&world, &said)).unwrap(), said);
}

#[test]
fn a_changed_statement_is_refused() {
    let world = World::new();
    let mut update = signed(&world, &statement(&world, 3, &[&world.gateway_ca]));
    let text = String::from_utf8(update.statement).unwrap();
    update.statement = text.replace("\"sequence\":3", "\"sequence\":4").into_bytes();
    assert!(matches!(
        verify(&world, &update),
        Err(TrustUpdateError::Statement(StatementError::Signature))
    ));
}

#[test]
fn a_signature_over_an_enrolment_file_is_none_over_a_statement() {
    let world = World::new();
    let mut update = signed(&world, &statement(&world, 3, &[&world.gateway_ca]));
    let context = picket_identity::enrollment::FILE_CONTEXT;
    update.signature = world
        .platform_ca
        .sign_statement(context, &update.statement)
        .unwrap();
    assert!(verify(&world, &update).is_err());
}

#[test]
fn another_tenants_statement_and_another_platforms_are_refused() {
    let world = World::new();
    let said = statement(&world, 3, &[&world.gateway_ca]);
    let mut globex = said.clone();
    globex.tenant = "globex".parse().unwrap();
    let mut elsewhere = said;
    elsewhere.platform = "elsewhere.example".parse::<TrustDomain>().unwrap();
    for said in [globex, elsewhere] {
        assert!(matches!(
            verify(&world, &signed(&world, &said)),
            Err(TrustUpdateError::OtherTenant { .. })
        ));
    }
}

#[test]
fn an_expired_platform_ca_says_nothing_more() {
    let world = World::new();
    let update = signed(&world, &statement(&world, 3, &[&world.gateway_ca]));
    let roots = [world.root.certificate_der().clone()];
    let at = later(world.now, days(731));
    let refused = update.verify(&platform(), &"acme".parse().unwrap(), &roots, at);
    assert!(matches!(
        refused,
        Err(TrustUpdateError::Statement(StatementError::NotValid { .. }))
    ));
    // Nor does one below a root that has expired.
    let at = later(world.now, days(3651));
    let refused = update.verify(&platform(), &"acme".parse().unwrap(), &roots, at);
    assert!(matches!(
        refused,
        Err(TrustUpdateError::Statement(StatementError::Root))
    ));
}

#[test]
fn a_statement_without_roots_or_gateway_cas_is_refused() {
    let world = World::new();
    let none: [&[u8]; 0] = [];
    let rootless = TrustStatement::new(
        platform(),
        "acme".parse().unwrap(),
        3,
        none,
        [world.gateway_ca.certificate_der().as_ref()],
        Vec::new(),
    );
    for said in [rootless, statement(&world, 3, &[])] {
        assert!(matches!(
            verify(&world, &signed(&world, &said)),
            Err(TrustUpdateError::Trust(_))
        ));
    }
}

#[test]
fn a_new_gateway_ca_is_accepted_once_it_was_said_and_not_before() {
    let world = World::new();
    let folder = enrolled(&world);
    let next = world
        .root
        .new_intermediate(Intermediate::Gateway, world.now)
        .unwrap();
    let (private, public) = crate::forge::key();
    let issued = next
        .issue_gateway_for_tenant(
            &public,
            &"gw-1".parse().unwrap(),
            &"acme".parse().unwrap(),
            days(1),
            world.now,
        )
        .unwrap();
    drop(private);
    let chain = [issued.certificate, issued.issuer];
    let accepts = |chain: &[CertificateDer<'_>]| {
        let identity = bundle::load(&folder.path, world.now).unwrap();
        verify_gateway(chain, &identity.gateway_expectation().unwrap(), world.now).is_ok()
    };
    assert!(!accepts(&chain));
    let said = statement(&world, 1, &[&world.gateway_ca, &next]);
    bundle::apply_trust(&folder.path, &said, world.now).unwrap();
    assert!(accepts(&chain));
    assert!(accepts(world.gateway_for("acme").chain()), "both, in the overlap");
    bundle::apply_trust(&folder.path, &statement(&world, 2, &[&next]), world.now).unwrap();
    assert!(!accepts(world.gateway_for("acme").chain()));
}

#[test]
fn a_denied_gateway_is_refused_as_revoked() {
    let world = World::new();
    let folder = enrolled(&world);
    let gateway = world.gateway_for("acme");
    let verified = verify_gateway(gateway.chain(), &world.expects_gateway(), world.now).unwrap();
    let mut said = statement(&world, 1, &[&world.gateway_ca]);
    said.denied = vec![Denied {
        issuer: *verified.issuer(),
        serial: verified.serial().clone(),
    }];
    let identity = bundle::apply_trust(&folder.path, &said, world.now).unwrap();
    let loaded = bundle::load(&folder.path, world.now).unwrap();
    for identity in [identity, loaded] {
        let expected = identity.gateway_expectation().unwrap();
        let refused = verify_gateway(gateway.chain(), &expected, world.now);
        assert_eq!(refused.unwrap_err().reason, Reason::Revoked);
        assert!(verify_gateway(world.gateway_for("acme").chain(), &expected, world.now).is_ok());
    }
}

#[test]
fn a_sequence_only_rises() {
    let world = World::new();
    let folder = enrolled(&world);
    bundle::apply_trust(
        &folder.path,
        &statement(&world, 5, &[&world.gateway_ca]),
        world.now,
    )
    .unwrap();
    for sequence in [0, 4, 5] {
        let refused = bundle::apply_trust(
            &folder.path,
            &statement(&world, sequence, &[&world.gateway_ca]),
            world.now,
        );
        assert!(
            matches!(refused, Err(BundleError::NotNewer { known: 5, .. })),
            "{sequence}"
        );
    }
    assert_eq!(bundle::load(&folder.path, world.now).unwrap().trust_sequence(), 5);
}

#[test]
fn a_statement_under_which_the_own_certificate_would_not_be_good_changes_nothing() {
    let world = World::new();
    let folder = enrolled(&world);
    let before = fs::read(folder.path.join("root.pem")).unwrap();
    let other = World::new();
    let said = statement(&other, 9, &[&other.gateway_ca]);
    assert!(matches!(
        bundle::apply_trust(&folder.path, &said, world.now),
        Err(BundleError::Refused(_))
    ));
    assert_eq!(fs::read(folder.path.join("root.pem")).unwrap(), before);
    assert_eq!(bundle::load(&folder.path, world.now).unwrap().trust_sequence(), 0);
}

#[test]
fn a_key_is_swapped_together_with_its_certificate() {
    let world = World::new();
    let folder = enrolled(&world);
    let next = Folder::new();
    let bundle: IdentityBundle = next.bundle(&world, &world.acme);
    let key = picket_identity::credential::PrivateKey::load(&bundle::key_path(&next.path)).unwrap();
    // Only together: the bundle alone doesn't fit the key that is there.
    assert!(bundle::install(&folder.path, &bundle, world.now).is_err());
    bundle::install_with_key(&folder.path, &bundle, &key, world.now).unwrap();
    let identity = bundle::load(&folder.path, world.now).unwrap();
    assert_eq!(identity.credential().key().public_key(), key.public_key());
    // And a bundle that doesn't fit leaves key and certificate as they are.
    let wrong = picket_identity::credential::PrivateKey::generate().unwrap();
    assert!(bundle::install_with_key(&folder.path, &bundle, &wrong, world.now).is_err());
    assert!(bundle::load(&folder.path, world.now).is_ok());
}
