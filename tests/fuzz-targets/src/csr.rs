//! Requests for certificates.

use std::sync::LazyLock;

use picket_identity::profile::Leaf;
use picket_issuing::{PublicKey, days};
use rcgen::{KeyPair, PublicKeyData as _, SigningKey as _};

use crate::certificate::{Certificate, SUBJECT_KEY_IDENTIFIER};
use crate::der::{self, BIT_STRING, CONTEXT_0, ECDSA_SHA256, INTEGER, SEQUENCE};
use crate::platform::{AGENT, NOW, PLATFORM};

/// Any bytes as a request, and as the subject and the attributes of one that is well signed: what is taken of a request is
/// its key, and the certificate that is issued for it is the same whatever else it asks for.
pub fn csr(input: &[u8]) {
    if let Ok(key) = PublicKey::from_request(input) {
        assert_eq!(Some(key.spki()), spki_of(input), "another key than the request's");
        gives_nothing_but_the_key(&key);
    }
    for request in [
        signed(&der::name(b"berlin-1.acme"), &der::element(CONTEXT_0, &[input])),
        signed(input, &der::element(CONTEXT_0, &[])),
        signed(&der::element(SEQUENCE, &[input]), input),
    ] {
        if let Ok(key) = PublicKey::from_request(&request) {
            assert_eq!(key.spki(), OWN.spki());
            gives_nothing_but_the_key(&key);
        }
        // The same words by another key: whoever asks must hold the key that is asked for.
        let stolen = with_key(&request, OTHER.spki());
        assert!(
            PublicKey::from_request(&stolen).is_err(),
            "a key that nobody showed"
        );
    }
}

struct Key {
    pair: KeyPair,
    spki: Vec<u8>,
}

impl Key {
    fn new() -> Self {
        let pair = KeyPair::generate().unwrap();
        let spki = pair.subject_public_key_info();
        Self { pair, spki }
    }

    fn spki(&self) -> &[u8] {
        &self.spki
    }
}

static OWN: LazyLock<Key> = LazyLock::new(Key::new);
static OTHER: LazyLock<Key> = LazyLock::new(Key::new);

/// PKCS #10 (RFC 2986 §4) with this subject and these attributes, signed by the key that it asks a certificate for.
fn signed(subject: &[u8], attributes: &[u8]) -> Vec<u8> {
    let information = der::element(SEQUENCE, &[&[INTEGER, 1, 0], subject, OWN.spki(), attributes]);
    let signature = OWN.pair.sign(&information).unwrap();
    der::element(
        SEQUENCE,
        &[
            &information,
            ECDSA_SHA256,
            &der::element(BIT_STRING, &[&[0], &signature]),
        ],
    )
}

/// The request with another key in the place of our own, of the same length.
fn with_key(request: &[u8], spki: &[u8]) -> Vec<u8> {
    let mut changed = request.to_vec();
    let at = request.windows(spki.len()).position(|part| part == OWN.spki());
    let at = at.expect("our key is in it");
    changed[at..at + spki.len()].copy_from_slice(spki);
    changed
}

fn spki_of(request: &[u8]) -> Option<&[u8]> {
    // What isn't signed, behind it, may have any form.
    let information = der::leading(der::leading(request)?.content)?;
    let fields = der::elements(information.content)?;
    fields.get(2).map(|field| field.whole)
}

/// All that an issued certificate says beside its key and the number and signature that no two have in common.
fn issued_for(key: &PublicKey) -> (Vec<u8>, Vec<Vec<u8>>) {
    let name = "berlin-1".parse().unwrap();
    let issued = PLATFORM.acme.issue_agent(key, &name, days(90), NOW).unwrap();
    let leaf = Leaf::parse(&issued.certificate).unwrap();
    assert_eq!(
        (leaf.uri.as_str(), leaf.common_name.as_str()),
        (AGENT, "berlin-1.acme")
    );
    assert_eq!(leaf.spki, key.spki());
    let certificate = Certificate::read(&issued.certificate).expect("DER");
    // Its key identifier is made of the key.
    let extensions = certificate
        .extensions
        .iter()
        .filter(|extension| extension.oid != SUBJECT_KEY_IDENTIFIER);
    let said = extensions
        .map(|extension| [extension.oid, &[u8::from(extension.is_critical)], extension.value].concat());
    (certificate.subject.to_vec(), said.collect())
}

fn gives_nothing_but_the_key(key: &PublicKey) {
    static PLAIN: LazyLock<(Vec<u8>, Vec<Vec<u8>>)> = LazyLock::new(|| {
        let request = signed(&der::name(b"any"), &der::element(CONTEXT_0, &[]));
        issued_for(&PublicKey::from_request(&request).unwrap())
    });
    assert_eq!(issued_for(key), *PLAIN);
}
