//! Identities, and the other texts that name one thing each.

use picket_identity::Serial;
use picket_identity::spiffe::{SpiffeId, TrustDomain};
use picket_identity::verify::IssuerId;

/// Any bytes as an identity, a trust domain's ID, a serial number and an issuer: what is read prints as itself, and an
/// identity keeps the rules of the specification.
pub fn spiffe(input: &[u8]) {
    if let Some(serial) = Serial::from_der_integer(input) {
        assert!((1..=20).contains(&input.len()), "{input:?}");
        assert_eq!(serial.as_bytes(), input.strip_prefix(&[0]).unwrap_or(input));
        assert_eq!(serial.to_string().parse(), Ok(serial));
    }
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    if let Ok(serial) = text.parse::<Serial>() {
        assert_eq!(serial.to_string(), text);
    }
    if let Ok(issuer) = text.parse::<IssuerId>() {
        assert_eq!(issuer.to_string(), text);
    }
    if let Ok(domain) = TrustDomain::from_id(text) {
        assert_eq!(domain.id(), text);
        is_a_trust_domain(domain.as_str());
        assert!(text.parse::<SpiffeId>().is_err(), "a CA's ID is no leaf's");
    }
    match text.parse::<SpiffeId>() {
        Ok(id) => {
            assert_eq!(id.to_string(), text, "an identity has one spelling");
            assert_eq!(id.trust_domain().id() + path_of(text), text);
            is_an_id(text);
            belongs_where_it_says(&id);
        }
        Err(error) => {
            let said = error.to_string();
            assert!(!said.contains(char::is_control) && said.len() < 2048, "{said:?}");
        }
    }
}

fn path_of(text: &str) -> &str {
    let rest = &text["spiffe://".len()..];
    &rest[rest.find('/').expect("a path")..]
}

/// SPIFFE-ID §2: scheme, trust domain, path, and nothing else of a URI. Told from the bytes alone.
fn is_an_id(text: &str) {
    assert!(text.len() <= 2048);
    let rest = text.strip_prefix("spiffe://").expect("the scheme");
    let (domain, path) = rest.split_once('/').expect("a path");
    is_a_trust_domain(domain);
    for segment in path.split('/') {
        assert!(!segment.is_empty() && segment != "." && segment != "..", "{text}");
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
        assert!(segment.bytes().all(is_allowed), "{text}");
        assert!(
            !segment.bytes().any(|byte| byte.is_ascii_uppercase()),
            "names have no capitals: {text}"
        );
    }
}

fn is_a_trust_domain(domain: &str) {
    assert!(!domain.is_empty() && domain.len() <= 255);
    let is_allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-_".contains(&byte);
    assert!(domain.bytes().all(is_allowed), "{domain}");
}

/// No agent stands in the platform's own trust domain, and nobody else in a tenant's.
fn belongs_where_it_says(id: &SpiffeId) {
    let own = id.trust_domain();
    match id {
        SpiffeId::Agent { tenant, .. } => assert_eq!(own, id.platform().of_tenant(tenant)),
        _ => assert_eq!(own, *id.platform()),
    }
    // An agent's common name has no colon and all others have one: none is ever taken for one of another kind.
    let is_agent = matches!(id, SpiffeId::Agent { .. });
    assert_eq!(id.common_name().contains(':'), !is_agent);
}
