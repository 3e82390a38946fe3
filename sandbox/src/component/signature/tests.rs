use proptest::prelude::*;

use super::*;

/// A component with nothing in it but a nested module.
const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0\x01\x08\0asm\x01\0\0\0";

fn signed(key: &SigningKey) -> Signature {
    let manifest = Manifest::new("http", "1.4.0", COMPONENT, "Acme Monitoring", 1_790_000_000).unwrap();
    Signature::sign(manifest, key)
}

fn text() -> String {
    signed(&SigningKey::generate().unwrap()).encode()
}

fn refused(text: &str) -> String {
    Signature::parse(text.as_bytes()).unwrap_err().to_string()
}

#[test]
fn what_was_signed_is_read_again_and_checks() {
    let key = SigningKey::generate().unwrap();
    let signature = Signature::parse(signed(&key).encode().as_bytes()).unwrap();
    let manifest = signature.check(COMPONENT).unwrap();
    assert_eq!(
        (manifest.checker(), manifest.publisher(), manifest.signed_at()),
        ("http", "Acme Monitoring", 1_790_000_000)
    );
    assert_eq!(manifest.version(), &Version::new(1, 4, 0));
    assert_eq!(signature.key(), &key.public_key());
}

#[test]
fn a_component_that_differs_in_one_byte_is_another_one() {
    let signature = signed(&SigningKey::generate().unwrap());
    for position in 0..COMPONENT.len() {
        let mut changed = COMPONENT.to_vec();
        changed[position] ^= 1;
        let error = signature.check(&changed).unwrap_err();
        assert!(
            matches!(error, SignatureError::OtherComponent { .. }),
            "{position}: {error}"
        );
    }
}

#[test]
fn no_line_of_the_manifest_can_be_changed_after_signing() {
    let text = text();
    for (from, to) in [
        ("checker http", "checker dns"),
        ("version 1.4.0", "version 9.4.0"),
        ("Acme Monitoring", "Acne Monitoring"),
        ("1790000000", "1790000001"),
    ] {
        assert!(text.contains(from));
        let signature = Signature::parse(text.replace(from, to).as_bytes()).unwrap();
        assert!(
            matches!(signature.check(COMPONENT), Err(SignatureError::Forged { .. })),
            "{to}"
        );
    }
}

#[test]
fn a_signature_under_another_key_is_forged() {
    let (own, other) = (SigningKey::generate().unwrap(), SigningKey::generate().unwrap());
    let text = signed(&own)
        .encode()
        .replace(&own.public_key().to_string(), &other.public_key().to_string());
    let signature = Signature::parse(text.as_bytes()).unwrap();
    assert_eq!(
        signature.check(COMPONENT),
        Err(SignatureError::Forged {
            key: other.public_key()
        })
    );
}

#[test]
fn every_other_spelling_is_refused() {
    let text = text();
    let spellings = [
        text.replace('\n', "\r\n"),
        text.replace("version 1.4.0", "version  1.4.0"),
        text.replace("version 1.4.0", "version 01.4.0"),
        text.replace("signed-at 1", "signed-at 01"),
        text.replace("signed-at 1", "signed-at +1"),
        text.replace("signed-at 1790000000", "signed-at 253402300800"),
        text.replace("checker http", "checker HTTP"),
        text.replace("publisher Acme", "publisher  Acme"),
        text.replace("publisher Acme", "publisher Acm\u{435}"),
        text.replace("sha256 ", "sha256 0"),
        text.replace("=\n", "\n"),
        text.clone() + "\n",
        text.clone() + "more\n",
        text.trim_end().to_owned(),
        text.lines().rev().collect::<Vec<_>>().join("\n") + "\n",
        String::new(),
    ];
    for spelling in spellings {
        assert_ne!(spelling, text);
        assert!(Signature::parse(spelling.as_bytes()).is_err(), "{spelling}");
    }
    let upper = text.replacen(|letter: char| matches!(letter, 'a'..='f'), "A", 1);
    assert!(Signature::parse(upper.as_bytes()).is_err());
}

#[test]
fn a_later_format_is_named() {
    let error = refused(&text().replace("signature 1\n", "signature 2\n"));
    assert!(
        error.contains("picket-checker-signature 2") && error.contains("update agent-host"),
        "{error}"
    );
}

#[test]
fn a_damaged_line_is_named_with_what_should_be_there() {
    let error = refused(&text().replace("version 1.4.0", "version one"));
    assert!(
        error.contains("semantic version") && error.contains("version one"),
        "{error}"
    );
    let error = refused("picket-checker-signature 1\n\x1b[31m\n");
    assert!(!error.contains('\x1b'), "{error}");
}

#[test]
fn more_bytes_than_a_signature_has_are_not_looked_at() {
    assert_eq!(
        Signature::parse(&[b' '; MAX_BYTES + 1]),
        Err(SignatureError::TooLong)
    );
}

#[test]
fn what_a_manifest_cannot_hold_is_not_signed() {
    for (checker, version, publisher, words) in [
        ("Http", "1.0.0", "Acme", "checker"),
        ("http", "1.0", "Acme", "semantic version"),
        ("http", "1.0.0", "", "publisher"),
        ("http", "1.0.0", "Acme\nkey x", "publisher"),
        ("http", "1.0.0", " Acme", "publisher"),
    ] {
        let error = Manifest::new(checker, version, COMPONENT, publisher, 0)
            .unwrap_err()
            .to_string();
        assert!(error.contains(words), "{error}");
    }
    assert!(Manifest::new("http", "1.0.0", COMPONENT, "Acme", u64::MAX).is_err());
}

#[test]
fn a_section_is_appended_and_the_component_is_what_it_was() {
    let signature = text();
    let with = section::append(COMPONENT, signature.as_bytes()).unwrap();
    let split = section::split(&with).unwrap();
    assert_eq!(split.component, COMPONENT);
    assert_eq!(split.signature, Some(signature.as_bytes()));
    // Signing again replaces the section.
    let again = section::append(&with, signature.as_bytes()).unwrap();
    assert_eq!(again, with);
}

#[test]
fn two_sections_are_no_signature() {
    let with = section::append(COMPONENT, b"one").unwrap();
    let tail = with[COMPONENT.len()..].to_vec();
    let error = section::split(&[with, tail].concat()).unwrap_err();
    assert_eq!(error, SignatureError::SeveralSections { found: 2 });
}

#[test]
fn what_follows_the_section_makes_it_no_signature() {
    let mut with = section::append(COMPONENT, b"one").unwrap();
    // Another custom section, named `x`.
    with.extend([0, 2, 1, b'x']);
    assert_eq!(section::split(&with).unwrap_err(), SignatureError::SectionNotLast);
    // Bytes that are no section: nothing can be told apart, and the loader calls it corrupt.
    let mut cut = section::append(COMPONENT, b"one").unwrap();
    cut.push(0);
    assert_eq!(section::split(&cut).unwrap().signature, None);
}

#[test]
fn a_section_inside_a_nested_module_is_no_signature() {
    let nested = section::append(b"\0asm\x01\0\0\0", b"one").unwrap();
    let length = u8::try_from(nested.len()).unwrap();
    let outer = [b"\0asm\x0d\0\x01\0\x01", &[length][..], &nested].concat();
    let split = section::split(&outer).unwrap();
    assert_eq!((split.component, split.signature), (outer.as_slice(), None));
}

#[test]
fn a_public_key_has_one_spelling() {
    let key = SigningKey::generate().unwrap().public_key();
    assert_eq!(key.to_string().parse::<PublicKey>().unwrap(), key);
    let text = key.to_string();
    for other in [
        text.trim_end_matches('=').to_owned(),
        text.replace("ed25519", "rsa"),
        format!("{text} "),
        "picket-ed25519:AAAA".to_owned(),
        // Bits beyond the last byte.
        "picket-ed25519:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB=".to_owned(),
    ] {
        assert_eq!(other.parse::<PublicKey>(), Err(KeyError::NotPublic), "{other}");
    }
}

#[test]
fn a_private_key_is_read_again_and_never_shown() {
    let key = SigningKey::generate().unwrap();
    let der = key.to_pkcs8().unwrap();
    let again = SigningKey::from_pkcs8(der.as_ref()).unwrap();
    assert_eq!(again.public_key(), key.public_key());
    assert_eq!(format!("{key:?}"), "SigningKey(..)");
    assert!(SigningKey::from_pkcs8(b"no key").is_err());
}

proptest! {
    #[test]
    fn parsing_never_panics_and_knows_one_spelling(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        if let Ok(signature) = Signature::parse(&bytes) {
            prop_assert_eq!(signature.encode().into_bytes(), bytes);
        }
    }

    #[test]
    fn a_signature_changed_anywhere_is_refused_or_fails_its_check(position in 0_usize..400, bit in 0_u8..8) {
        let mut bytes = text().into_bytes();
        let position = position % bytes.len();
        bytes[position] ^= 1 << bit;
        if let Ok(signature) = Signature::parse(&bytes) {
            prop_assert_eq!(signature.encode().into_bytes(), bytes);
            prop_assert!(signature.check(COMPONENT).is_err());
        }
    }

    #[test]
    fn splitting_never_panics(tail in proptest::collection::vec(any::<u8>(), 0..200)) {
        let bytes = [b"\0asm\x0d\0\x01\0".to_vec(), tail].concat();
        let _ = section::split(&bytes);
    }
}
