use picket_sandbox::component::signature::SigningKey;

use super::*;
use crate::config::Publisher;

const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";

fn signature(key: &SigningKey, publisher: &str) -> String {
    let manifest = Manifest::new("http", "1.4.0", COMPONENT, publisher, 1_790_000_000).unwrap();
    Signature::sign(manifest, key).encode()
}

fn trusting(policy: Policy, key: &SigningKey) -> SignatureSettings {
    SignatureSettings {
        policy,
        publishers: vec![Publisher {
            name: "Acme".to_owned(),
            key: key.public_key(),
        }],
    }
}

/// A file of these bytes with that signature beside it.
fn file(bytes: &[u8], signature: Option<&str>) -> (tempfile::TempDir, Candidate) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("http.wasm");
    folder::put(&path, bytes, signature.map(str::as_bytes)).unwrap();
    let candidate = Candidate::read(&path).unwrap();
    (folder, candidate)
}

fn judged(settings: &SignatureSettings, bytes: &[u8], signature: Option<&str>) -> Result<Signer, Distrust> {
    judge(settings, &file(bytes, signature).1)
}

fn key() -> SigningKey {
    SigningKey::generate().unwrap()
}

#[test]
fn a_trusted_publishers_signature_is_recognised_beside_the_file_and_inside_it() {
    let key = key();
    let text = signature(&key, "Acme");
    let settings = trusting(Policy::Require, &key);
    let inside = section::append(COMPONENT, text.as_bytes()).unwrap();
    for signer in [
        judged(&settings, COMPONENT, Some(&text)).unwrap(),
        judged(&settings, &inside, None).unwrap(),
    ] {
        assert_eq!(signer.to_string(), "signed by Acme");
        assert_eq!(signer.trusted().unwrap().checker(), "http");
    }
    assert_eq!(file(&inside, None).1.component(), COMPONENT);
}

#[test]
fn require_refuses_what_is_unsigned_and_says_how_to_sign_it() {
    let sentence = judged(&trusting(Policy::Require, &key()), COMPONENT, None)
        .unwrap_err()
        .to_string();
    assert!(
        sentence.contains("http.wasm.sig") && sentence.contains("checker sign"),
        "{sentence}"
    );
}

#[test]
fn require_refuses_an_unknown_publisher_and_shows_the_lines_to_add() {
    let eve = key();
    let text = signature(&eve, "Eve");
    let sentence = judged(&trusting(Policy::Require, &key()), COMPONENT, Some(&text))
        .unwrap_err()
        .to_string();
    let lines = format!(
        "[[signatures.publisher]] name = \"Eve\" key = \"{}\"",
        eve.public_key()
    );
    assert!(sentence.contains(&lines), "{sentence}");
}

#[test]
fn warn_lets_both_run_and_says_so() {
    let settings = trusting(Policy::Warn, &key());
    assert_eq!(judged(&settings, COMPONENT, None).unwrap(), Signer::Unsigned);
    let text = signature(&key(), "Eve");
    let signer = judged(&settings, COMPONENT, Some(&text)).unwrap();
    assert_eq!(signer.to_string(), "signed by an unknown publisher (Eve)");
    assert!(signer.trusted().is_none());
}

#[test]
fn a_wrong_signature_is_refused_under_require_and_warn_alike() {
    let key = key();
    let text = signature(&key, "Acme");
    let mut tampered = COMPONENT.to_vec();
    tampered.extend([0, 2, 1, b'x']);
    let forged = text.replace("1.4.0", "1.5.0");
    for policy in [Policy::Require, Policy::Warn] {
        let settings = trusting(policy, &key);
        for (bytes, signature) in [
            (tampered.as_slice(), text.as_str()),
            (COMPONENT, forged.as_str()),
            (COMPONENT, "no signature"),
        ] {
            let error = judged(&settings, bytes, Some(signature)).unwrap_err();
            assert!(
                matches!(error, Distrust::Wrong(_)),
                "{policy} {signature}: {error}"
            );
        }
    }
}

#[test]
fn a_signature_that_cannot_be_read_is_not_the_same_as_none() {
    let (folder, _) = file(COMPONENT, None);
    std::fs::create_dir(folder.path().join("http.wasm.sig")).unwrap();
    let candidate = Candidate::read(&folder.path().join("http.wasm")).unwrap();
    let error = judge(&trusting(Policy::Warn, &key()), &candidate).unwrap_err();
    assert!(matches!(error, Distrust::Unreadable { .. }), "{error}");
}

#[test]
fn a_wrong_signature_is_not_made_right_by_another_one() {
    let key = key();
    let text = signature(&key, "Acme");
    let inside = section::append(COMPONENT, text.as_bytes()).unwrap();
    let settings = trusting(Policy::Warn, &key);
    let forged = text.replace("1.4.0", "1.5.0");
    assert!(judged(&settings, &inside, Some(&forged)).is_err());
    // One of somebody unknown takes nothing from a trusted one.
    let signer = judged(&settings, &inside, Some(&signature(&self::key(), "Eve"))).unwrap();
    assert_eq!(signer.to_string(), "signed by Acme");
}

#[test]
fn a_trusted_name_with_another_key_is_refused() {
    let (own, eve) = (key(), key());
    let text = signature(&eve, "Acme");
    let error = judged(&trusting(Policy::Warn, &own), COMPONENT, Some(&text)).unwrap_err();
    let sentence = error.to_string();
    assert!(matches!(error, Distrust::OtherKey { .. }), "{sentence}");
    for key in [own.public_key(), eve.public_key()] {
        assert!(sentence.contains(&key.to_string()), "{sentence}");
    }
}

#[test]
fn a_trusted_key_under_another_name_is_refused() {
    let key = key();
    let text = signature(&key, "Eve");
    let error = judged(&trusting(Policy::Warn, &key), COMPONENT, Some(&text)).unwrap_err();
    assert!(matches!(error, Distrust::OtherPublisher { .. }), "{error}");
}

#[test]
fn every_key_of_a_publisher_is_trusted() {
    let (old, new) = (key(), key());
    let mut settings = trusting(Policy::Require, &old);
    settings.publishers.push(Publisher {
        name: "Acme".to_owned(),
        key: new.public_key(),
    });
    for key in [old, new] {
        assert!(judged(&settings, COMPONENT, Some(&signature(&key, "Acme"))).is_ok());
    }
}

#[test]
fn off_looks_at_nothing() {
    let settings = SignatureSettings {
        policy: Policy::Off,
        publishers: Vec::new(),
    };
    let signer = judged(&settings, COMPONENT, Some("no signature")).unwrap();
    assert_eq!(signer, Signer::NotChecked);
}

#[test]
fn a_signature_for_another_name_or_version_doesnt_fit() {
    let key = key();
    let text = signature(&key, "Acme");
    let signer = judged(&trusting(Policy::Warn, &key), COMPONENT, Some(&text)).unwrap();
    let descriptor = |name: &str, version: &str| Descriptor {
        name: name.to_owned(),
        version: version.to_owned(),
        summary: String::new(),
        config_schema: "{}".to_owned(),
        default_interval_ms: 1,
        default_timeout_ms: 1,
        extra: Vec::new(),
    };
    fits(&signer, &descriptor("http", "1.4.0")).unwrap();
    for (name, version) in [("dns", "1.4.0"), ("http", "1.3.0")] {
        let sentence = fits(&signer, &descriptor(name, version)).unwrap_err().to_string();
        assert!(
            sentence.contains("http 1.4.0") && sentence.contains(&format!("{name} {version}")),
            "{sentence}"
        );
    }
    fits(&Signer::Unsigned, &descriptor("dns", "1.4.0")).unwrap();
}
