//! Keys, bundles and identity folders on disk.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use picket_identity::bundle::{self, BundleError, IdentityBundle};
use picket_identity::credential::{Credential, CredentialError, PrivateKey, verify_signature};
use picket_identity::store::StoreError;
use picket_identity::verify::{Reason, Serials};
use picket_issuing::{CertificateAuthority, PublicKey, days};

use crate::forge::{AGENT, World, later};

pub(crate) struct Folder {
    _root: tempfile::TempDir,
    pub(crate) path: PathBuf,
    key: PrivateKey,
}

impl Folder {
    pub(crate) fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("identity");
        let key = PrivateKey::generate().unwrap();
        key.store(&bundle::key_path(&path)).unwrap();
        Self {
            _root: root,
            path,
            key,
        }
    }

    pub(crate) fn bundle(&self, world: &World, ca: &CertificateAuthority) -> IdentityBundle {
        let public = PublicKey::from_request(&self.key.csr("x").unwrap()).unwrap();
        let issued = ca
            .issue_agent(&public, &"berlin-1".parse().unwrap(), days(90), world.now)
            .unwrap();
        let id = Credential::new(self.key.clone(), vec![issued.certificate.clone()])
            .unwrap()
            .id()
            .clone();
        let (root, gateway_ca) = (
            world.root.certificate_der(),
            world.gateway_ca.certificate_der().clone(),
        );
        IdentityBundle::for_agent(
            id,
            &issued.certificate,
            &issued.issuer,
            std::slice::from_ref(root),
            &[gateway_ca],
        )
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_bundle_is_installed_and_loaded_again() {
    let (world, folder) = (World::new(), Folder::new());
    let text = folder.bundle(&world, &world.acme).to_json().unwrap();
    let bundle = IdentityBundle::from_json(&text).unwrap();
    assert!(!bundle::has_identity(&folder.path));
    bundle::install(&folder.path, &bundle, world.now).unwrap();
    assert!(bundle::has_identity(&folder.path));
    let identity = bundle::load(&folder.path, world.now).unwrap();
    assert_eq!(identity.id().to_string(), AGENT);
    assert_eq!(identity.gateway_expectation().unwrap().tenant.as_str(), "acme");
    assert!(identity.platform_expectation(Serials::default()).is_none());
    let mut names: Vec<_> = fs::read_dir(&folder.path)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(
        names,
        [
            "gateway-cas.pem",
            "identity.key",
            "issuer.pem",
            "leaf.pem",
            "root.pem",
            "trust.json"
        ]
    );
}

#[test]
fn a_folder_without_identity_says_so() {
    let (world, folder) = (World::new(), Folder::new());
    assert!(matches!(
        bundle::load(&folder.path, world.now),
        Err(BundleError::NotEnrolled(_))
    ));
}

#[test]
fn a_bundle_for_another_key_changes_nothing() {
    let (world, folder, other) = (World::new(), Folder::new(), Folder::new());
    bundle::install(&folder.path, &folder.bundle(&world, &world.acme), world.now).unwrap();
    let before = fs::read(folder.path.join("leaf.pem")).unwrap();
    let refused = bundle::install(&folder.path, &other.bundle(&world, &world.acme), world.now);
    assert!(matches!(
        refused,
        Err(BundleError::Credential(CredentialError::KeyMismatch { .. }))
    ));
    assert_eq!(fs::read(folder.path.join("leaf.pem")).unwrap(), before);
    assert!(bundle::load(&folder.path, world.now).is_ok());
}

#[test]
fn a_bundle_that_the_verifier_refuses_is_not_installed() {
    let (world, folder) = (World::new(), Folder::new());
    let good = folder.bundle(&world, &world.acme);
    let pem = |ca: &CertificateAuthority| picket_identity::pem::certificates([ca.certificate_der()]);
    let reason = |bundle: &IdentityBundle, at| match bundle::install(&folder.path, bundle, at) {
        Err(BundleError::Refused(refusal)) => Some(refusal.reason),
        other => panic!("{other:?}"),
    };
    let other_root = IdentityBundle {
        root: pem(&World::new().root),
        ..good.clone()
    };
    assert_eq!(reason(&other_root, world.now), Some(Reason::UnknownCa));
    let other_issuer = IdentityBundle {
        issuer: pem(&world.globex),
        ..good.clone()
    };
    assert!(reason(&other_issuer, world.now).is_some());
    assert_eq!(reason(&good, later(world.now, days(91))), Some(Reason::Expired));
    assert!(!bundle::has_identity(&folder.path));
}

#[test]
fn a_bundle_for_one_agent_with_the_certificate_of_another_is_refused() {
    let (world, folder) = (World::new(), Folder::new());
    let mut bundle = folder.bundle(&world, &world.acme);
    bundle.spiffe_id = "spiffe://acme.picket.example/agent/berlin-2".parse().unwrap();
    assert!(matches!(
        bundle::install(&folder.path, &bundle, world.now),
        Err(BundleError::OtherId { .. })
    ));
}

#[test]
fn a_bundle_without_the_gateways_cas_or_of_another_version_is_refused() {
    let (world, folder) = (World::new(), Folder::new());
    let good = folder.bundle(&world, &world.acme);
    let without = IdentityBundle {
        gateway_cas: None,
        ..good.clone()
    };
    assert!(matches!(
        bundle::install(&folder.path, &without, world.now),
        Err(BundleError::MissingPeers { .. })
    ));
    let newer = good
        .to_json()
        .unwrap()
        .replace("\"version\": 1", "\"version\": 2");
    assert!(matches!(
        IdentityBundle::from_json(&newer),
        Err(BundleError::Version(2))
    ));
    let unknown = good.to_json().unwrap().replacen('{', "{\"x\": 1,", 1);
    assert!(matches!(
        IdentityBundle::from_json(&unknown),
        Err(BundleError::Format(_))
    ));
}

#[test]
fn an_installation_that_was_cut_short_is_finished_once_it_counts_and_forgotten_before() {
    let (world, folder) = (World::new(), Folder::new());
    bundle::install(&folder.path, &folder.bundle(&world, &world.acme), world.now).unwrap();
    let renewed = folder.bundle(&world, &world.acme);
    let serial = |world: &World| {
        bundle::load(&folder.path, world.now)
            .unwrap()
            .verified()
            .serial()
            .clone()
    };
    let first = serial(&world);

    let incoming = folder.path.join("incoming");
    fs::create_dir(&incoming).unwrap();
    fs::write(incoming.join("leaf.pem"), &renewed.leaf).unwrap();
    assert_eq!(serial(&world), first, "half a set counts for nothing");

    fs::rename(&incoming, folder.path.join("ready")).unwrap();
    assert_ne!(serial(&world), first, "a whole set counts");
    assert!(!folder.path.join("ready").exists());
}

#[test]
fn mixed_files_are_refused() {
    let (world, folder) = (World::new(), Folder::new());
    bundle::install(&folder.path, &folder.bundle(&world, &world.acme), world.now).unwrap();
    PrivateKey::generate()
        .unwrap()
        .store(&bundle::key_path(&folder.path))
        .unwrap();
    assert!(bundle::load(&folder.path, world.now).is_err());
}

#[test]
fn a_stored_key_is_its_owners_alone_and_the_same_when_read() {
    let folder = Folder::new();
    let path = bundle::key_path(&folder.path);
    assert_eq!(mode(&path), 0o600);
    assert_eq!(mode(&folder.path), 0o700);
    assert_eq!(
        PrivateKey::load(&path).unwrap().public_key(),
        folder.key.public_key()
    );
}

#[test]
fn a_key_or_a_folder_that_others_can_read_is_refused() {
    let folder = Folder::new();
    let path = bundle::key_path(&folder.path);
    for bad in [0o640, 0o604, 0o660] {
        fs::set_permissions(&path, fs::Permissions::from_mode(bad)).unwrap();
        let refused = PrivateKey::load(&path).unwrap_err();
        assert!(
            matches!(refused, CredentialError::Store(StoreError::Open { .. })),
            "{refused}"
        );
    }
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    fs::set_permissions(&folder.path, fs::Permissions::from_mode(0o750)).unwrap();
    assert!(matches!(
        PrivateKey::load(&path),
        Err(CredentialError::Store(StoreError::Open { .. }))
    ));
}

#[test]
fn a_key_behind_a_symlink_is_refused() {
    let folder = Folder::new();
    let link = folder.path.join("link.key");
    symlink(bundle::key_path(&folder.path), &link).unwrap();
    assert!(matches!(
        PrivateKey::load(&link),
        Err(CredentialError::Store(StoreError::Symlink(_)))
    ));
    assert!(matches!(
        folder.key.store(&link),
        Err(CredentialError::Store(StoreError::Symlink(_)))
    ));
}

#[test]
fn what_is_no_p256_key_is_refused() {
    let folder = Folder::new();
    let path = folder.path.join("other.key");
    let p384 = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384)
        .unwrap()
        .serialize_pem();
    for text in [
        "",
        "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
        &p384,
    ] {
        picket_identity::store::write_secret(&path, text.as_bytes()).unwrap();
        assert!(matches!(
            PrivateKey::load(&path),
            Err(CredentialError::NotAKey(_))
        ));
    }
}

#[test]
fn debug_output_holds_no_secret() {
    let world = World::new();
    let agent = world.agent();
    assert_eq!(format!("{:?}", agent.key()), "PrivateKey(..)");
    assert!(format!("{agent:?}").contains("PrivateKey(..)"));
}

#[test]
fn a_signature_is_for_one_context_one_text_and_one_key() {
    let world = World::new();
    let agent = world.agent();
    let leaf = &agent.chain()[0];
    let signature = agent.key().sign(b"picket-batch-1", b"text").unwrap();
    assert!(verify_signature(leaf, b"picket-batch-1", b"text", &signature).is_ok());
    assert!(verify_signature(leaf, b"picket-batch-2", b"text", &signature).is_err());
    assert!(verify_signature(leaf, b"picket-batch-1", b"texT", &signature).is_err());
    assert!(verify_signature(leaf, b"picket-batch-1", b"text", &signature[1..]).is_err());
    assert!(verify_signature(&world.agent().chain()[0], b"picket-batch-1", b"text", &signature).is_err());
}
