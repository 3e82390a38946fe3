//! The enrolment file, and the proof by its key.

use std::time::Duration;

use picket_identity::channel_binding::ChannelBinding;
use picket_identity::credential::PrivateKey;
use picket_identity::enrollment::{
    ActivationError, ActivationKey, EnrollFile, EnrollFileError, NewEnrollFile, fingerprint,
    verify_activation,
};
use picket_identity::spiffe::SpiffeId;
use picket_identity::statement::StatementError;
use picket_identity::verify::{Reason, verify_gateway};
use picket_issuing::{CertificateAuthority, hours};

use crate::forge::{AGENT, World, earlier, later};

pub(crate) fn file_for(world: &World, id: &str) -> EnrollFile {
    file_by(world, id, &world.platform_ca, |context, bytes| {
        world.platform_ca.sign_statement(context, bytes).unwrap()
    })
}

fn file_by(
    world: &World,
    id: &str,
    signer: &CertificateAuthority,
    sign: impl FnOnce(&[u8], &[u8]) -> Vec<u8>,
) -> EnrollFile {
    let key = ActivationKey::generate().unwrap();
    let new = NewEnrollFile {
        id: &id.parse().unwrap(),
        endpoint: "10.0.0.4:7443",
        roots: &[world.root.certificate_der().clone()],
        gateway_cas: &[world.gateway_ca.certificate_der().clone()],
        trust_sequence: 7,
        key: &key,
        not_before: earlier(world.now, Duration::from_secs(60)),
        not_after: later(world.now, hours(24)),
        signer: signer.certificate_der(),
    };
    EnrollFile::sign(&new, |context, bytes| {
        Ok::<_, std::convert::Infallible>(sign(context, bytes))
    })
    .unwrap()
}

fn edited(file: &EnrollFile, field: &str, value: serde_json::Value) -> EnrollFile {
    let text = file.to_json().unwrap();
    let mut json: serde_json::Value = serde_json::from_str(&text).unwrap();
    json[field] = value;
    EnrollFile::from_json(&json.to_string()).unwrap()
}

#[test]
fn a_file_says_whom_it_is_for_and_what_to_trust() {
    let world = World::new();
    let text = file_for(&world, AGENT).to_json().unwrap();
    let file = EnrollFile::from_json(&text).unwrap();
    assert_eq!(
        file.root_fingerprints,
        [fingerprint(world.root.certificate_der())]
    );
    let enrollment = file.verify(world.now).unwrap();
    assert_eq!(enrollment.id().to_string(), AGENT);
    assert_eq!(enrollment.trust_sequence(), 7);
    let expected = enrollment.gateway_expectation().unwrap();
    let verify = |tenant| verify_gateway(world.gateway_for(tenant).chain(), &expected, world.now);
    assert!(verify("acme").is_ok());
    assert_eq!(verify("globex").unwrap_err().reason, Reason::WrongTenant);
}

#[test]
fn every_changed_field_is_noticed() {
    let world = World::new();
    let file = file_for(&world, AGENT);
    let other = World::new();
    let theirs = serde_json::to_value(file_for(&other, AGENT)).unwrap();
    for (field, value) in [
        (
            "spiffe_id",
            "spiffe://globex.picket.example/agent/berlin-1".into(),
        ),
        ("common_name", "berlin-1.globex".into()),
        ("endpoint", "10.6.6.6:7443".into()),
        ("root_fingerprints", theirs["root_fingerprints"].clone()),
        ("roots", theirs["roots"].clone()),
        ("gateway_cas", theirs["gateway_cas"].clone()),
        ("trust_sequence", 8.into()),
        ("activation_key", theirs["activation_key"].clone()),
        ("not_before_unix_s", 0.into()),
        ("not_after_unix_s", 99_999_999_999_u64.into()),
        ("signer", theirs["signer"].clone()),
        ("signature", theirs["signature"].clone()),
    ] {
        let refused = edited(&file, field, value).verify(world.now);
        assert!(
            matches!(refused, Err(EnrollFileError::Statement(_))),
            "{field}: {refused:?}"
        );
    }
}

#[test]
fn only_the_platform_ca_signs_a_file() {
    let world = World::new();
    for ca in [&world.gateway_ca, &world.acme, &world.root] {
        let pem = ca.key_pem();
        let sign = |context: &[u8], bytes: &[u8]| {
            use rcgen::SigningKey as _;
            let key = rcgen::KeyPair::from_pem(&pem).unwrap();
            key.sign(&[context, bytes].concat()).unwrap()
        };
        let refused = file_by(&world, AGENT, ca, sign).verify(world.now);
        assert!(
            matches!(
                refused,
                Err(EnrollFileError::Statement(StatementError::Role { .. }))
            ),
            "{}: {refused:?}",
            ca.role()
        );
    }
    // A platform CA of nobody: the right name, below another root.
    let rogue = World::new();
    let sign = |context: &[u8], bytes: &[u8]| rogue.platform_ca.sign_statement(context, bytes).unwrap();
    let refused = file_by(&world, AGENT, &rogue.platform_ca, sign).verify(world.now);
    assert!(matches!(
        refused,
        Err(EnrollFileError::Statement(StatementError::Root))
    ));
}

#[test]
fn a_file_is_good_for_its_day_only() {
    let world = World::new();
    let file = file_for(&world, AGENT);
    for at in [
        later(world.now, hours(25)),
        earlier(world.now, Duration::from_secs(120)),
    ] {
        assert!(matches!(file.verify(at), Err(EnrollFileError::NotValid { .. })));
    }
}

#[test]
fn a_file_is_for_an_agent() {
    let world = World::new();
    let refused = file_for(&world, "spiffe://picket.example/gateway/gw-1").verify(world.now);
    assert!(matches!(refused, Err(EnrollFileError::NotAnAgent(_))));
}

#[test]
fn no_error_and_no_debug_repeats_the_key() {
    let world = World::new();
    let file = file_for(&world, AGENT);
    let text = file.to_json().unwrap().to_string();
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    let key = json["activation_key"].as_str().unwrap();
    assert!(text.contains(key));
    let enrollment = file.verify(world.now).unwrap();
    let broken = text.replace("\"version\": 1", "\"version\": \"one\"");
    let mistaken = text.replace("\"activation_key\"", "\"activation-key\"");
    for shown in [
        format!("{file:?}"),
        format!("{enrollment:?}"),
        EnrollFile::from_json(&broken).unwrap_err().to_string(),
        format!("{:?}", EnrollFile::from_json(&mistaken).unwrap_err()),
    ] {
        assert!(!shown.contains(key), "{shown}");
    }
}

fn binding(byte: u8) -> ChannelBinding {
    ChannelBinding::from_bytes(&[byte; 32]).unwrap()
}

#[test]
fn a_proof_is_for_one_connection_one_request_one_identity_and_one_key() {
    let key = ActivationKey::generate().unwrap();
    let csr = PrivateKey::generate().unwrap().csr("berlin-1.acme").unwrap();
    let id: SpiffeId = AGENT.parse().unwrap();
    let proof = key.sign(&binding(1), &csr, &id);
    assert_eq!(
        verify_activation(&key.public_key(), &binding(1), &csr, &id, &proof),
        Ok(())
    );
    let other_key = ActivationKey::generate().unwrap().public_key();
    let other_csr = PrivateKey::generate().unwrap().csr("berlin-1.acme").unwrap();
    let other_id: SpiffeId = "spiffe://acme.picket.example/agent/berlin-2".parse().unwrap();
    for (name, refused) in [
        (
            "key",
            verify_activation(&other_key, &binding(1), &csr, &id, &proof),
        ),
        (
            "connection",
            verify_activation(&key.public_key(), &binding(2), &csr, &id, &proof),
        ),
        (
            "request",
            verify_activation(&key.public_key(), &binding(1), &other_csr, &id, &proof),
        ),
        (
            "identity",
            verify_activation(&key.public_key(), &binding(1), &csr, &other_id, &proof),
        ),
        (
            "nothing",
            verify_activation(&key.public_key(), &binding(1), &csr, &id, &[]),
        ),
    ] {
        assert_eq!(refused, Err(ActivationError::BadSignature), "{name}");
    }
}

#[test]
fn an_activation_key_is_32_bytes_in_base64() {
    let key = ActivationKey::generate().unwrap();
    let again = ActivationKey::from_text(&key.to_text()).unwrap();
    assert_eq!(again.public_key(), key.public_key());
    for text in ["", "AAAA", "not base64!", &"A".repeat(88)] {
        assert_eq!(
            ActivationKey::from_text(text).unwrap_err(),
            ActivationError::NotAKey
        );
    }
    assert_eq!(ChannelBinding::from_bytes(&[0; 31]), None);
}
