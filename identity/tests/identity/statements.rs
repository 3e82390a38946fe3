//! Statements and enrolment files that the platform CA signed, and that are wrong all the same.

use std::fmt::Write as _;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use picket_identity::enrollment::{EnrollFile, EnrollFileError, FILE_CONTEXT};
use picket_identity::statement::{self, StatementError};
use picket_identity::trust_update::{CONTEXT, SignedTrust, TrustUpdateError};
use picket_issuing::days;
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair, KeyUsagePurpose, SigningKey as _};
use rustls_pki_types::{CertificateDer, UnixTime};
use serde_json::Value;

use crate::enrollment::file_for;
use crate::forge::{AGENT, World, date, earlier, issuer_of, later, named, platform, uri};

/// An enrolment file after an edit, signed again by the platform CA. What is signed is written out here once more: it is
/// part of the format.
fn signed_again(world: &World, edit: impl FnOnce(&mut Value)) -> Result<EnrollFile, EnrollFileError> {
    let text = file_for(world, AGENT).to_json().unwrap();
    let mut file: Value = serde_json::from_str(&text).unwrap();
    edit(&mut file);
    let mut bytes = Vec::new();
    for field in [
        "version",
        "trust_sequence",
        "not_before_unix_s",
        "not_after_unix_s",
    ] {
        bytes.extend(file[field].as_u64().unwrap().to_be_bytes());
    }
    let mut texts: Vec<&Value> = [
        "spiffe_id",
        "common_name",
        "endpoint",
        "roots",
        "gateway_cas",
        "activation_key",
        "signer",
    ]
    .iter()
    .map(|field| &file[*field])
    .collect();
    texts.extend(file["root_fingerprints"].as_array().unwrap());
    for text in texts {
        let text = text.as_str().unwrap();
        bytes.extend((text.len() as u64).to_be_bytes());
        bytes.extend(text.as_bytes());
    }
    let signature = world.platform_ca.sign_statement(FILE_CONTEXT, &bytes).unwrap();
    file["signature"] = STANDARD.encode(signature).into();
    EnrollFile::from_json(&file.to_string())
}

#[test]
fn a_file_that_is_signed_again_without_a_change_is_good() {
    let world = World::new();
    signed_again(&world, |_| {}).unwrap().verify(world.now).unwrap();
}

#[test]
fn a_file_whose_parts_contradict_each_other_is_refused_even_with_a_good_signature() {
    let world = World::new();
    let other = World::new();
    let fingerprints = serde_json::to_value(file_for(&other, AGENT)).unwrap()["root_fingerprints"].clone();
    let edits: [(&str, Value); 3] = [
        ("common_name", "berlin-2.acme".into()),
        ("root_fingerprints", fingerprints),
        ("root_fingerprints", Vec::<String>::new().into()),
    ];
    for (field, value) in edits {
        let file = signed_again(&world, |file| file[field] = value).unwrap();
        let refused = file.verify(world.now);
        assert!(
            matches!(&refused, Err(EnrollFileError::Contradiction { what, .. }) if *what == field),
            "{field}: {refused:?}"
        );
    }
}

#[test]
fn a_file_of_another_version_and_a_huge_one_are_refused_unread() {
    let world = World::new();
    let newer = signed_again(&world, |file| file["version"] = 2.into());
    assert!(matches!(newer, Err(EnrollFileError::Version(2))));
    let huge = format!(
        "{}{}",
        *file_for(&world, AGENT).to_json().unwrap(),
        " ".repeat(256 * 1024)
    );
    assert!(matches!(
        EnrollFile::from_json(&huge),
        Err(EnrollFileError::TooLarge(_))
    ));
}

#[test]
fn a_trust_update_of_another_version_and_a_huge_one_are_refused() {
    let world = World::new();
    let roots = [world.root.certificate_der().clone()];
    let said = |text: String| {
        let statement = text.into_bytes();
        let update = SignedTrust {
            signature: world.platform_ca.sign_statement(CONTEXT, &statement).unwrap(),
            signer: world.platform_ca.certificate_der().to_vec(),
            statement,
        };
        update.verify(&platform(), &"acme".parse().unwrap(), &roots, world.now)
    };
    let pem = STANDARD.encode(world.gateway_ca.certificate_der());
    let root = STANDARD.encode(world.root.certificate_der());
    let text = |version: u32| {
        let mut text = String::new();
        write!(
            text,
            r#"{{"version":{version},"platform":"picket.example","tenant":"acme","sequence":1,"roots":["{root}"],"gateway_cas":["{pem}"],"denied":[]}}"#
        )
        .unwrap();
        text
    };
    said(text(1)).unwrap();
    assert!(matches!(said(text(2)), Err(TrustUpdateError::Version(2))));
    let huge = text(1) + &" ".repeat(512 * 1024);
    assert!(matches!(said(huge), Err(TrustUpdateError::TooLarge(_))));
}

/// A platform CA with this ID that the root made, valid from then on, and its key.
fn forge_platform_ca(world: &World, id: &str, not_before: UnixTime) -> (CertificateDer<'static>, KeyPair) {
    let key = KeyPair::generate().unwrap();
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name = named(statement::PLATFORM_CA);
    parameters.subject_alt_names = vec![uri(id)];
    parameters.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    parameters.not_before = date(not_before);
    parameters.not_after = date(later(world.now, days(30)));
    let certificate = parameters.signed_by(&key, &issuer_of(&world.root)).unwrap();
    (certificate.der().clone(), key)
}

fn verify_at(
    world: &World,
    (signer, key): &(CertificateDer<'static>, KeyPair),
    at: UnixTime,
) -> Result<(), StatementError> {
    let signature = key.sign(b"contextbytes").unwrap();
    let roots = [world.root.certificate_der().clone()];
    let said = (b"context".as_slice(), b"bytes".as_slice());
    statement::verify(&platform(), &roots, signer, said, &signature, at)
}

#[test]
fn a_platform_ca_that_is_not_valid_yet_says_nothing() {
    let world = World::new();
    let from = later(world.now, Duration::from_secs(60));
    let ca = forge_platform_ca(&world, "spiffe://picket.example", from);
    assert_eq!(
        verify_at(&world, &ca, later(from, Duration::from_secs(1))),
        Ok(())
    );
    let early = verify_at(&world, &ca, world.now);
    assert!(matches!(early, Err(StatementError::NotValid { .. })));
    // Nor does one below a root that isn't.
    let before = earlier(world.now, days(1));
    assert_eq!(verify_at(&world, &ca, before), Err(StatementError::Root));
}

#[test]
fn a_platform_ca_of_another_platform_says_nothing_here() {
    let world = World::new();
    for id in ["spiffe://other.example", "spiffe://acme.picket.example"] {
        let ca = forge_platform_ca(&world, id, world.now);
        let refused = verify_at(&world, &ca, world.now);
        assert!(matches!(refused, Err(StatementError::Role { .. })), "{refused:?}");
    }
}
