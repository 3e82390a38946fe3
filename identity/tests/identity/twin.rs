//! An ECDSA signature `(r, s)` is as good as `(r, n - s)`: the same certificate has a second set of bytes.

use std::collections::BTreeSet;

use picket_identity::verify::{Denied, Reason, Serials, verify_agent};
use rustls_pki_types::CertificateDer;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::forge::World;

/// The order of P-256 (FIPS 186-5, via SP 800-186 §3.2.1.3).
const ORDER: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc,
    0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
];

fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let mut out = vec![tag];
    match length {
        0..=127 => out.push(u8::try_from(length).unwrap()),
        128..=255 => out.extend([0x81, u8::try_from(length).unwrap()]),
        _ => out.extend([
            0x82,
            u8::try_from(length >> 8).unwrap(),
            u8::try_from(length & 0xff).unwrap(),
        ]),
    }
    out.extend(content);
    out
}

fn integer(value: &[u8; 32]) -> Vec<u8> {
    let first = value.iter().position(|&byte| byte != 0).unwrap();
    let mut content = value[first..].to_vec();
    if content[0] & 0x80 != 0 {
        content.insert(0, 0);
    }
    der(0x02, &content)
}

fn read_integer(bytes: &[u8]) -> ([u8; 32], &[u8]) {
    assert_eq!(bytes[0], 0x02);
    let (content, rest) = bytes[2..].split_at(usize::from(bytes[1]));
    let content = content.strip_prefix(&[0]).unwrap_or(content);
    let mut value = [0; 32];
    value[32 - content.len()..].copy_from_slice(content);
    (value, rest)
}

fn negated(s: &[u8; 32]) -> [u8; 32] {
    let mut out = [0; 32];
    let mut borrow = 0;
    for at in (0..32).rev() {
        let difference = i16::from(ORDER[at]) - i16::from(s[at]) - borrow;
        borrow = i16::from(difference < 0);
        out[at] = u8::try_from(difference.rem_euclid(256)).unwrap();
    }
    out
}

fn twin_of(certificate: &CertificateDer<'_>) -> CertificateDer<'static> {
    let (_, parsed) = X509Certificate::from_der(certificate).unwrap();
    let signed = parsed.tbs_certificate.as_ref();
    let signature = &parsed.signature_value.data;
    let (r, rest) = read_integer(&signature[2..]);
    let (s, _) = read_integer(rest);
    // ecdsa-with-SHA256, as our P-256 CAs sign.
    let algorithm = [
        0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02,
    ];
    let pair = der(0x30, &[integer(&r), integer(&negated(&s))].concat());
    let bits = der(0x03, &[vec![0], pair].concat());
    der(0x30, &[signed.to_vec(), algorithm.to_vec(), bits].concat()).into()
}

#[test]
fn the_twin_of_a_denied_certificate_is_denied_too() {
    let world = World::new();
    let agent = world.agent();
    let twin = twin_of(&agent.chain()[0]);
    assert_ne!(twin, agent.chain()[0]);
    let mut expected = world.expects_agent();
    assert!(
        verify_agent(std::slice::from_ref(&twin), &expected, world.now).is_ok(),
        "a twin is a good certificate"
    );
    let issuer = expected.trust.cas()[0].id();
    expected.serials = Serials::AllBut(BTreeSet::from([Denied {
        issuer,
        serial: agent.leaf().serial.clone(),
    }]));
    assert_eq!(
        verify_agent(&[twin], &expected, world.now).unwrap_err().reason,
        Reason::Revoked
    );
}
