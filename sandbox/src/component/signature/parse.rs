//! From a signature's bytes to its parts, strictly: what has two spellings could be signed as one thing and read as another.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use semver::Version;

use super::{FORMAT, LATEST, MAX_BYTES, Manifest, PUBLISHER, PublicKey, SignatureError, is_publisher};

pub(super) const CHECKER: &str = "a checker's name, [a-z0-9-] and no hyphen at its ends";
pub(super) const VERSION: &str = "a semantic version such as 1.2.3";
pub(super) const TIME: &str = "seconds since 1970, up to the end of the year 9999";
const KEY: &str = "a key as picket-ed25519:BASE64";

type Parts = (Manifest, PublicKey, [u8; 64]);

pub(super) fn parse(bytes: &[u8]) -> Result<Parts, SignatureError> {
    if bytes.len() > MAX_BYTES {
        return Err(SignatureError::TooLong);
    }
    let Ok(text) = std::str::from_utf8(bytes) else {
        return Err(malformed("a text", "bytes that are none"));
    };
    let Some(text) = text.strip_suffix('\n') else {
        return Err(malformed("a final line feed", "none"));
    };
    let mut lines = text.split('\n');
    let first = lines.next().unwrap_or_default();
    if first != FORMAT {
        return Err(SignatureError::OtherFormat { found: shown(first) });
    }
    let checker = field(&mut lines, "checker", CHECKER, |text| {
        is_checker(text).then(|| text.to_owned())
    })?;
    let version = field(&mut lines, "version", VERSION, version)?;
    let sha256 = field(&mut lines, "sha256", "64 digits of [0-9a-f]", digest)?;
    let publisher = field(&mut lines, "publisher", PUBLISHER, |text| {
        is_publisher(text).then(|| text.to_owned())
    })?;
    let key = field(&mut lines, "key", KEY, |text| text.parse().ok())?;
    let signed_at = field(&mut lines, "signed-at", TIME, time)?;
    let signature = field(&mut lines, "signature", "64 bytes in base64", |text| {
        STANDARD.decode(text).ok()?.try_into().ok()
    })?;
    if let Some(line) = lines.next() {
        return Err(malformed("nothing after the signature", &shown(line)));
    }
    let manifest = Manifest {
        checker,
        version,
        sha256,
        publisher,
        signed_at,
    };
    Ok((manifest, key, signature))
}

fn field<'a, T>(
    lines: &mut impl Iterator<Item = &'a str>,
    name: &str,
    expected: &str,
    read: impl FnOnce(&str) -> Option<T>,
) -> Result<T, SignatureError> {
    let wanted = || format!("`{name} …` with {expected}");
    let Some(line) = lines.next() else {
        return Err(malformed(&wanted(), "the end"));
    };
    line.strip_prefix(name)
        .and_then(|rest| rest.strip_prefix(' '))
        .and_then(read)
        .ok_or_else(|| malformed(&wanted(), &shown(line)))
}

fn malformed(expected: &str, found: &str) -> SignatureError {
    SignatureError::Malformed {
        expected: expected.to_owned(),
        found: found.to_owned(),
    }
}

/// Somebody else's text, short and without anything that a terminal would obey.
fn shown(text: &str) -> String {
    let start: String = text.chars().take(80).collect();
    format!("{start:?}")
}

/// The names that checkers may describe themselves with.
pub(super) fn is_checker(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=40).contains(&text.len())
        && text.bytes().all(plain)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

pub(super) fn version(text: &str) -> Option<Version> {
    let version = Version::parse(text).ok().filter(|_| text.len() <= 64)?;
    (version.to_string() == text).then_some(version)
}

fn digest(text: &str) -> Option<[u8; 32]> {
    let nibble = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let pairs = text.as_bytes().chunks(2).map(|pair| match pair {
        [high, low] => Some(nibble(*high)? << 4 | nibble(*low)?),
        _ => None,
    });
    pairs.collect::<Option<Vec<u8>>>()?.try_into().ok()
}

fn time(text: &str) -> Option<u64> {
    let seconds: u64 = text.parse().ok().filter(|seconds| *seconds <= LATEST)?;
    (seconds.to_string() == text).then_some(seconds)
}
