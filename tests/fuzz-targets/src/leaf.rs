//! Certificates: the profile that a leaf and a CA must have, and the verifier over it.

use std::sync::LazyLock;

use picket_identity::CertificateDer;
use picket_identity::credential::PrivateKey;
use picket_identity::profile::{Leaf, MAX_CERTIFICATE, MAX_LEAF_VALIDITY, SigningCertificate};
use picket_identity::verify::{AgentExpectation, verify_agent};
use picket_issuing::{PublicKey, days};

use crate::certificate::{
    ALTERNATIVE_NAMES, BASIC_CONSTRAINTS, Certificate, EXTENDED_KEY_USAGE, KEY_USAGE, NAME_CONSTRAINTS,
    SUBJECT_KEY_IDENTIFIER,
};
use crate::der::{self, BIT_STRING, CONTEXT_0, CONTEXT_3, ECDSA_SHA256, INTEGER, SEQUENCE, UTC_TIME};
use crate::platform::{AGENT, NOW, PLATFORM};

/// Any bytes as a certificate, as the extensions of one that is good otherwise, and as changes to one that is good as a
/// whole: what the profile accepts has, by another reader, exactly one URI, isn't a CA, signs nothing but handshakes; and
/// the verifier accepts nothing that was changed.
pub fn leaf(input: &[u8]) {
    accepted_has_the_profile(input);
    accepted_has_the_profile(&with_extensions(input));
    changed_is_refused(input);
}

/// berlin-1, and who expects it.
static GOOD: LazyLock<(Vec<u8>, AgentExpectation)> = LazyLock::new(|| {
    let key = PrivateKey::generate().unwrap().csr("any").unwrap();
    let key = PublicKey::from_request(&key).unwrap();
    let issued = PLATFORM
        .acme
        .issue_agent(&key, &"berlin-1".parse().unwrap(), days(90), NOW);
    (issued.unwrap().certificate.to_vec(), PLATFORM.expects_agent())
});

fn accepted_has_the_profile(bytes: &[u8]) {
    // The profile's parser takes other tags for those that it expects here and there; path building doesn't, and comes right
    // after it: nobody is accepted who doesn't pass both.
    let der = CertificateDer::from(bytes);
    let leaf = Leaf::parse(bytes)
        .map_err(|error| error.to_string())
        .and_then(|leaf| {
            let parsed = webpki::EndEntityCert::try_from(&der);
            parsed.map(|_| leaf).map_err(|error| error.to_string())
        });
    let authority = SigningCertificate::parse(bytes)
        .map_err(|error| error.to_string())
        .and_then(|ca| {
            let parsed = webpki::anchor_from_trusted_cert(&der);
            parsed.map(|_| ca).map_err(|error| error.to_string())
        });
    match (&leaf, &authority) {
        (Ok(leaf), Err(_)) => has_the_profile_of_a_leaf(bytes, leaf),
        (Err(_), Ok(authority)) => has_the_profile_of_a_ca(bytes, authority),
        (Ok(_), Ok(_)) => panic!("a leaf and a CA at once"),
        (Err(leaf), Err(authority)) => {
            for said in [leaf, authority] {
                assert!(!said.contains(char::is_control) && said.len() < 4096, "{said:?}");
            }
        }
    }
    let (_, expected) = &*GOOD;
    let verified = verify_agent(std::slice::from_ref(&der), expected, NOW);
    assert!(verified.is_err(), "accepted, and signed by nobody");
}

fn has_the_profile_of_a_leaf(bytes: &[u8], leaf: &Leaf) {
    let certificate = read(bytes);
    assert_eq!(certificate.only_uri(), Some(leaf.uri.as_bytes()));
    assert_eq!(certificate.is_ca(), Some(false));
    let signs = certificate.critical_key_usage().expect("a critical key usage");
    assert!(signs(0) && !signs(5) && !signs(6), "digitalSignature alone");
    assert_eq!(certificate.extended_key_usage(), Some([true, true, false]));
    assert!(certificate.extension(NAME_CONSTRAINTS).is_none());
    let name = leaf.common_name.as_bytes();
    assert!(
        certificate
            .subject
            .windows(name.len().max(1))
            .any(|part| part == name)
            || name.is_empty()
    );
    assert_eq!((certificate.spki, leaf.spki.len()), (leaf.spki.as_slice(), 91));
    let serial = certificate
        .serial
        .strip_prefix(&[0])
        .unwrap_or(certificate.serial);
    assert_eq!(serial, leaf.serial.as_bytes());
    assert!(leaf.validity() <= MAX_LEAF_VALIDITY);
}

fn has_the_profile_of_a_ca(bytes: &[u8], authority: &SigningCertificate) {
    let certificate = read(bytes);
    assert_eq!(
        certificate.only_uri(),
        Some(authority.trust_domain.id().as_bytes())
    );
    assert_eq!(certificate.is_ca(), Some(true));
    let signs = certificate.critical_key_usage().expect("a critical key usage");
    assert!(signs(5), "keyCertSign");
    assert!(certificate.spki.starts_with(&authority.spki));
    assert_eq!(certificate.subject, authority.subject);
}

/// What both have to be.
fn read(bytes: &[u8]) -> Certificate<'_> {
    assert!(bytes.len() <= MAX_CERTIFICATE);
    let certificate = Certificate::read(bytes).expect("accepted, and isn't DER of version 3");
    for extension in &certificate.extensions {
        assert!(certificate.extension(extension.oid).is_some(), "each once");
        let is_known = [
            SUBJECT_KEY_IDENTIFIER,
            KEY_USAGE,
            ALTERNATIVE_NAMES,
            BASIC_CONSTRAINTS,
            NAME_CONSTRAINTS,
            EXTENDED_KEY_USAGE,
        ]
        .contains(&extension.oid);
        assert!(
            is_known || !extension.is_critical,
            "unknown, critical, and accepted"
        );
    }
    certificate
}

/// A leaf with these extensions. Its signature is nothing: the profile doesn't look at it.
fn with_extensions(extensions: &[u8]) -> Vec<u8> {
    let (good, _) = &*GOOD;
    let spki = Certificate::read(good).unwrap().spki;
    let validity = [
        der::element(UTC_TIME, &[b"270101000000Z"]),
        der::element(UTC_TIME, &[b"270201000000Z"]),
    ];
    let body = der::element(
        SEQUENCE,
        &[
            &der::element(CONTEXT_0, &[&[INTEGER, 1, 2]]),
            &[INTEGER, 1, 7],
            ECDSA_SHA256,
            &der::name(b"tenant CA acme"),
            &der::element(SEQUENCE, &[&validity.concat()]),
            &der::name(b"berlin-1.acme"),
            spki,
            &der::element(CONTEXT_3, &[&der::element(SEQUENCE, &[extensions])]),
        ],
    );
    der::element(
        SEQUENCE,
        &[&body, ECDSA_SHA256, &der::element(BIT_STRING, &[&[0]])],
    )
}

/// The input says which bytes of berlin-1's leaf are changed, three bytes for each: where, and how.
fn changed_is_refused(input: &[u8]) {
    let (good, expected) = &*GOOD;
    let mut bytes = good.clone();
    for change in input.chunks_exact(3).take(4) {
        let at = usize::from(u16::from_be_bytes([change[0], change[1]])) % bytes.len();
        bytes[at] ^= change[2];
    }
    let verified = verify_agent(&[CertificateDer::from(bytes.as_slice())], expected, NOW);
    match verified {
        Ok(verified) => {
            assert_eq!(&bytes, good, "accepted with a change");
            assert_eq!(verified.id().to_string(), AGENT);
        }
        Err(refusal) => {
            assert_ne!(&bytes, good, "{refusal:?}");
            assert!(!refusal.got.contains(char::is_control), "{refusal:?}");
        }
    }
}
