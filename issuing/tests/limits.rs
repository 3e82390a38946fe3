//! What the CAs refuse because of its size, its form, its time, or who asks.

#![expect(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

use std::time::Duration;

use picket_identity::UnixTime;
use picket_identity::credential::PrivateKey;
use picket_identity::verify::{self, path_alone};
use picket_issuing::{CertificateAuthority, Intermediate, IssueError, PublicKey, days};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls_pki_types::CertificateDer;

fn root(now: UnixTime) -> CertificateAuthority {
    CertificateAuthority::new_root(&"picket.example".parse().unwrap(), now).unwrap()
}

fn tenant(root: &CertificateAuthority, name: &str, now: UnixTime) -> CertificateAuthority {
    root.new_intermediate(Intermediate::Tenant(name.parse().unwrap()), now)
        .unwrap()
}

fn key() -> PublicKey {
    PublicKey::from_request(&PrivateKey::generate().unwrap().csr("x").unwrap()).unwrap()
}

fn later(at: UnixTime, by: Duration) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(at.as_secs()) + by)
}

#[track_caller]
fn is_refused(request: &[u8], with: &str) {
    match PublicKey::from_request(request) {
        Err(IssueError::Request(said)) => assert_eq!(said, with),
        other => unreachable!("{other:?}"),
    }
}

#[test]
fn a_request_is_one_short_request_and_nothing_else() {
    let request = PrivateKey::generate().unwrap().csr("x").unwrap();
    is_refused(&[request.as_slice(), &[0]].concat(), "bytes after its end");
    let mut huge = CertificateParams::default();
    huge.distinguished_name
        .push(DnType::OrganizationName, "x".repeat(9000));
    let huge = huge.serialize_request(&KeyPair::generate().unwrap()).unwrap();
    is_refused(huge.der(), "larger than 8 KiB");
}

#[test]
fn a_request_says_by_which_algorithm_it_is_signed() {
    let mut request = PrivateKey::generate().unwrap().csr("x").unwrap();
    // ecdsa-with-SHA256 stands once, behind what is signed.
    let oid = [0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];
    let at = request.windows(oid.len()).rposition(|part| part == oid).unwrap();
    request[at + oid.len() - 1] = 3;
    is_refused(&request, "expected a signature by ecdsa-with-SHA256");
}

#[test]
fn a_point_in_another_form_is_no_key() {
    let mut request = PrivateKey::generate().unwrap().csr("x").unwrap();
    let before = [3, 0x42, 0, 4];
    let at = request.windows(4).position(|part| part == before).unwrap();
    request[at + 3] = 2;
    is_refused(&request, "expected a P-256 key with an uncompressed point");
}

#[test]
fn a_ca_below_the_root_makes_no_ca() {
    let now = verify::now();
    let root = root(now);
    for ca in [
        tenant(&root, "acme", now),
        root.new_intermediate(Intermediate::Gateway, now).unwrap(),
        root.new_intermediate(Intermediate::Platform, now).unwrap(),
    ] {
        let refused = ca.new_intermediate(Intermediate::Tenant("globex".parse().unwrap()), now);
        assert!(
            matches!(refused, Err(IssueError::WrongAuthority { .. })),
            "{}",
            ca.role()
        );
    }
}

/// Even with a CA's key somebody else's library makes no CA of use below it.
#[test]
fn a_stolen_ca_vouches_for_no_ca_below_it() {
    let now = verify::now();
    let root = root(now);
    let stolen = tenant(&root, "acme", now);
    let issuer = |name: &str, key: KeyPair| {
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name = rcgen::DistinguishedName::new();
        parameters.distinguished_name.push(DnType::CommonName, name);
        Issuer::new(parameters, key)
    };
    let by = issuer("tenant CA acme", KeyPair::from_pem(&stolen.key_pem()).unwrap());
    let mut below = CertificateParams::default();
    below.distinguished_name = rcgen::DistinguishedName::new();
    below.distinguished_name.push(DnType::CommonName, "below");
    below.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let below = below.signed_by(&key, &by).unwrap().der().clone();
    let leaf = |by: &Issuer<'_, KeyPair>| -> CertificateDer<'static> {
        let key = KeyPair::generate().unwrap();
        CertificateParams::default()
            .signed_by(&key, by)
            .unwrap()
            .der()
            .clone()
    };
    let roots = [root.certificate_der().clone()];
    let offered = [below, stolen.certificate_der().clone()];
    let path = |leaf| path_alone(&leaf, &roots, &offered, now, false);
    assert_eq!(path(leaf(&by)), Ok(1));
    assert!(path(leaf(&issuer("below", key))).is_err());
}

#[test]
fn a_ca_that_is_not_valid_now_issues_nothing() {
    let now = verify::now();
    let root = root(now);
    let ca = tenant(&root, "acme", now);
    let early = UnixTime::since_unix_epoch(Duration::from_secs(now.as_secs()) - days(1));
    for at in [early, later(now, days(800))] {
        let refused = ca.issue_agent(&key(), &"berlin-1".parse().unwrap(), days(1), at);
        assert!(
            matches!(refused, Err(IssueError::AuthorityNotValid(_))),
            "{refused:?}"
        );
    }
}
