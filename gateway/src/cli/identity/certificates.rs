//! Certificates out of files, as PEM or as DER.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use picket_identity::{CertificateDer, pem};

/// Far more than a handshake carries.
const MAX_FILE: u64 = 1 << 20;
/// What a PEM block of a certificate begins with.
const PEM_BEGIN: &str = "-----BEGIN";

/// What a peer would send, its leaf first. An empty file is a peer without a certificate, and bytes that are no
/// certificate are taken as they are: the verifier is to judge them.
pub(super) fn sent(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let bytes = read(path)?;
    if bytes.is_empty() {
        return Ok(Vec::new());
    }
    match as_pem(&bytes) {
        Some(text) => pem::parse_certificates(text).map_err(|error| named(path, error)),
        None => Ok(split(&bytes).into_iter().map(owned).collect()),
    }
}

/// Certificates that are to be trusted: at least one.
pub(super) fn trusted(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let found = sent(path)?;
    if found.is_empty() {
        return Err(named(
            path,
            "expected a certificate in PEM or DER, found an empty file",
        ));
    }
    Ok(found)
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAX_FILE + 1).read_to_end(&mut bytes))
        .map_err(|error| named(path, format!("can't be read: {error}")))?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(named(
            path,
            "larger than 1 MiB: expected certificates in PEM or DER",
        ));
    }
    Ok(bytes)
}

fn named(path: &Path, problem: impl std::fmt::Display) -> String {
    format!("{}: {problem}", path.display())
}

/// DER begins with a SEQUENCE; text with such a block in it is PEM, whatever else it says (`openssl x509 -text`).
fn as_pem(bytes: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(bytes).ok()?;
    text.contains(PEM_BEGIN).then_some(text)
}

fn owned(der: &[u8]) -> CertificateDer<'static> {
    CertificateDer::from(der.to_vec())
}

/// Cuts certificates that stand one after the other. Where the bytes behind one don't look like another, they stay with
/// it, so that the verifier sees them.
fn split(bytes: &[u8]) -> Vec<&[u8]> {
    let mut parts = Vec::new();
    let mut rest = bytes;
    while let Some(length) = certificate_length(rest) {
        let (part, after) = rest.split_at(length);
        if !after.is_empty() && certificate_length(after).is_none() {
            break;
        }
        parts.push(part);
        rest = after;
    }
    if !rest.is_empty() {
        parts.push(rest);
    }
    parts
}

/// The length of the SEQUENCE at the beginning, if it begins with a SEQUENCE itself as a certificate does, and is whole.
fn certificate_length(bytes: &[u8]) -> Option<usize> {
    let (header, content) = match *bytes {
        [0x30, length @ 0..=0x7f, ..] => (2, usize::from(length)),
        [0x30, 0x81, length, ..] => (3, usize::from(length)),
        [0x30, 0x82, high, low, ..] => (4, usize::from(u16::from_be_bytes([high, low]))),
        _ => return None,
    };
    let length = header + content;
    (bytes.get(header) == Some(&0x30) && length <= bytes.len()).then_some(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &[u8] = &[0x30, 3, 0x30, 1, 7];

    #[test]
    fn certificates_one_after_the_other_are_cut() {
        assert_eq!(split(ONE), [ONE]);
        assert_eq!(split(&[ONE, ONE, ONE].concat()), [ONE, ONE, ONE]);
        let long = [&[0x30, 0x81, 0x80, 0x30, 0x7e][..], &[0; 126]].concat();
        assert_eq!(split(&[&long, ONE].concat()), [&long, ONE]);
    }

    #[test]
    fn what_is_no_certificate_stays_with_the_one_before() {
        for tail in [&[0][..], &[0x30], &[0x30, 0], &[0x30, 5, 0x30, 1], &[0x05, 0x00]] {
            let bytes = [ONE, tail].concat();
            assert_eq!(split(&bytes), [bytes.as_slice()], "{tail:?}");
            let after_two = [ONE, ONE, tail].concat();
            assert_eq!(split(&after_two), [ONE, &after_two[ONE.len()..]], "{tail:?}");
        }
    }

    #[test]
    fn bytes_that_are_no_certificate_are_one_part() {
        for bytes in [
            &b"hello"[..],
            &[0x30],
            &[0x30, 0x84, 0, 0, 0, 1],
            &[0x30, 9, 0x30],
        ] {
            assert_eq!(split(bytes), [bytes]);
        }
    }
}
