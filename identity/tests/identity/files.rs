//! Files that aren't what a key or a certificate is kept in, and bundles that would only be good at another time.

use std::fs;
use std::os::unix::fs::symlink;

use picket_identity::bundle::{self, BundleError, IdentityBundle};
use picket_identity::credential::PrivateKey;
use picket_identity::store::{self, StoreError};
use picket_identity::verify::Reason;
use picket_issuing::{PublicKey, days};

use crate::folder::Folder;
use crate::forge::{World, later};

#[test]
fn a_key_is_no_folder_no_device_and_not_huge() {
    let folder = Folder::new();
    let sub = folder.path.join("sub");
    fs::create_dir(&sub).unwrap();
    assert!(matches!(store::read_public(&sub), Err(StoreError::NotAFile(_))));
    assert!(matches!(
        store::read_public("/dev/null".as_ref()),
        Err(StoreError::NotAFile(_))
    ));
    let huge = folder.path.join("huge");
    store::write_secret(&huge, &vec![b'x'; (1 << 20) + 1]).unwrap();
    assert!(matches!(store::read_secret(&huge), Err(StoreError::TooLarge(_))));
    store::write_secret(&huge, &vec![b'x'; 1 << 20]).unwrap();
    assert_eq!(store::read_secret(&huge).unwrap().len(), 1 << 20);
}

#[test]
fn nothing_is_written_where_a_symlink_stands() {
    let folder = Folder::new();
    let (target, link) = (folder.path.join("target"), folder.path.join("link"));
    store::write_public(&target, b"before").unwrap();
    symlink(&target, &link).unwrap();
    assert!(matches!(
        store::write_secret(&link, b"after"),
        Err(StoreError::Symlink(_))
    ));
    assert!(link.symlink_metadata().unwrap().is_symlink(), "it is still there");
    assert_eq!(fs::read(&target).unwrap(), b"before");
}

#[test]
fn an_expired_bundle_is_not_installed_neither_alone_nor_with_its_key() {
    let world = World::new();
    let at = later(world.now, days(91));
    let folder = Folder::new();
    let bundle = folder.bundle(&world, &world.acme);
    let key = PrivateKey::load(&bundle::key_path(&folder.path)).unwrap();
    for refused in [
        bundle::install(&folder.path, &bundle, at),
        bundle::install_with_key(&folder.path, &bundle, &key, at),
    ] {
        assert!(
            matches!(&refused, Err(BundleError::Refused(refusal)) if refusal.reason == Reason::Expired),
            "{refused:?}"
        );
        assert!(!bundle::has_identity(&folder.path));
    }
}

#[test]
fn a_gateways_own_certificate_is_verified_as_the_platform_will() {
    let world = World::new();
    let key = PrivateKey::generate().unwrap();
    let public = PublicKey::from_request(&key.csr("x").unwrap()).unwrap();
    let issued = world
        .gateway_ca
        .issue_gateway(&public, &"gw-1".parse().unwrap(), days(30), world.now)
        .unwrap();
    let bundle = IdentityBundle::for_gateway(
        "spiffe://picket.example/gateway/gw-1".parse().unwrap(),
        &issued.certificate,
        &issued.issuer,
        &[world.root.certificate_der().clone()],
        &[world.platform_ca.certificate_der().clone()],
    );
    bundle.verify(key.clone(), world.now).unwrap();
    let refused = bundle.verify(key.clone(), later(world.now, days(31)));
    assert!(matches!(&refused, Err(BundleError::Refused(refusal)) if refusal.reason == Reason::Expired));
    let other = World::new();
    let below_another_root = IdentityBundle {
        root: picket_identity::pem::certificates([other.root.certificate_der()]),
        ..bundle
    };
    assert!(matches!(
        below_another_root.verify(key, world.now),
        Err(BundleError::Refused(_))
    ));
}

#[test]
fn an_agents_clock_begins_with_its_own_certificate() {
    let world = World::new();
    let folder = Folder::new();
    let identity = bundle::install(&folder.path, &folder.bundle(&world, &world.acme), world.now).unwrap();
    let expected = identity.gateway_expectation().unwrap();
    assert_eq!(expected.not_before, identity.credential().leaf().not_before);
}
