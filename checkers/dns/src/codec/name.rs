//! Domain names (RFC 1035 §3.1, §4.1.4).

use std::fmt;
use std::net::IpAddr;

use super::reader::Reader;
use super::record::RecordType;
use super::{Malformed, malformed};

/// Limits of RFC 1035 §2.3.4, in bytes.
const LONGEST_LABEL: usize = 63;
const LONGEST_NAME: usize = 255;

/// A domain name in lower case: names compare without regard to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Name(Vec<Vec<u8>>);

impl Name {
    /// What to ask for: a name, or with `PTR` an address, whose reverse name is meant.
    pub(crate) fn for_question(text: &str, record: RecordType) -> Result<Self, Malformed> {
        match text.parse::<IpAddr>() {
            Ok(address) if record == RecordType::Ptr => Self::parse(&reverse(address)),
            _ => Self::parse(text),
        }
    }

    pub(crate) fn parse(text: &str) -> Result<Self, Malformed> {
        let trimmed = text.strip_suffix('.').unwrap_or(text);
        if trimmed.is_empty() {
            return if text == "." {
                Ok(Self(Vec::new()))
            } else {
                Err(malformed("a name must not be empty"))
            };
        }
        let labels: Vec<Vec<u8>> = trimmed
            .split('.')
            .map(|label| label.to_ascii_lowercase().into_bytes())
            .collect();
        if !trimmed.is_ascii() {
            return Err(malformed(format!(
                "expected letters of ASCII (xn--… for others); found `{text}`"
            )));
        }
        if labels
            .iter()
            .any(|label| label.is_empty() || label.len() > LONGEST_LABEL)
        {
            return Err(malformed(format!(
                "expected labels of 1 to {LONGEST_LABEL} bytes; found `{text}`"
            )));
        }
        let name = Self(labels);
        if name.encoded_length() > LONGEST_NAME {
            return Err(malformed(format!(
                "expected a name of at most {LONGEST_NAME} bytes; found `{text}`"
            )));
        }
        Ok(name)
    }

    pub(crate) fn encode(&self, into: &mut Vec<u8>) {
        for label in &self.0 {
            // No label is longer than 63 bytes.
            into.push(u8::try_from(label.len()).unwrap_or(0));
            into.extend(label);
        }
        into.push(0);
    }

    /// Reads a name and follows its pointers. Each pointer must lead further back than the one before, so that no chain
    /// of them can loop.
    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let mut labels = Vec::new();
        let mut length = 1;
        let mut barrier = reader.position();
        let mut pointed: Option<Reader<'_>> = None;
        loop {
            let source = pointed.as_mut().unwrap_or(reader);
            let first = source.u8()?;
            match first & 0xc0 {
                0x00 if first == 0 => return Ok(Self(labels)),
                0x00 => {
                    let label = source.bytes(usize::from(first))?;
                    length += label.len() + 1;
                    if length > LONGEST_NAME {
                        return Err(malformed("a name is longer than 255 bytes"));
                    }
                    labels.push(label.to_ascii_lowercase());
                }
                0xc0 => {
                    let target = usize::from(first & 0x3f) << 8 | usize::from(source.u8()?);
                    if target >= barrier {
                        return Err(malformed("a compression pointer doesn't lead back"));
                    }
                    barrier = target;
                    pointed = Some(Reader::at(reader.message(), target));
                }
                _ => return Err(malformed("a label of an unknown kind")),
            }
        }
    }

    fn encoded_length(&self) -> usize {
        self.0.iter().map(|label| label.len() + 1).sum::<usize>() + 1
    }
}

impl fmt::Display for Name {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return formatter.write_str(".");
        }
        for (index, label) in self.0.iter().enumerate() {
            if index > 0 {
                formatter.write_str(".")?;
            }
            write!(formatter, "{}", label.escape_ascii())?;
        }
        Ok(())
    }
}

/// The name of an address (RFC 1035 §3.5, RFC 3596 §2.5).
fn reverse(address: IpAddr) -> String {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, c, d] = v4.octets();
            format!("{d}.{c}.{b}.{a}.in-addr.arpa")
        }
        IpAddr::V6(v6) => {
            let nibbles: Vec<String> = v6
                .octets()
                .iter()
                .rev()
                .map(|byte| format!("{:x}.{:x}", byte & 0xf, byte >> 4))
                .collect();
            format!("{}.ip6.arpa", nibbles.join("."))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8], position: usize) -> Result<String, Malformed> {
        Name::read(&mut Reader::at(bytes, position)).map(|name| name.to_string())
    }

    #[test]
    fn what_is_written_reads_back() {
        let mut bytes = Vec::new();
        Name::parse("WWW.Example.org.").unwrap().encode(&mut bytes);
        assert_eq!(read(&bytes, 0).unwrap(), "www.example.org");
    }

    #[test]
    fn refuses_names_outside_the_limits() {
        for wrong in [
            "",
            "..",
            "a..b",
            ".a",
            "ä.example",
            &"a".repeat(64),
            &"a.".repeat(130),
        ] {
            assert!(Name::parse(wrong).is_err(), "{wrong}");
        }
        assert_eq!(Name::parse(".").unwrap().to_string(), ".");
    }

    #[test]
    fn follows_a_pointer_back() {
        assert_eq!(read(b"\x03org\x00\x03www\xc0\x00", 5).unwrap(), "www.org");
    }

    #[test]
    fn a_pointer_to_itself_or_forward_is_refused() {
        for bytes in [&b"\xc0\x00"[..], b"\xc0\x02\xc0\x00", b"\x01a\xc0\x00"] {
            assert!(read(bytes, 0).is_err());
        }
        // Two pointers at each other.
        assert!(read(b"\xc0\x02\xc0\x00", 2).is_err());
    }

    #[test]
    fn a_name_that_grows_by_pointers_is_refused() {
        let mut bytes = vec![0];
        let mut last = 0;
        for _ in 0..20 {
            let here = bytes.len();
            bytes.push(60);
            bytes.extend([b'a'; 60]);
            bytes.extend([
                0xc0 | u8::try_from(last >> 8).unwrap(),
                u8::try_from(last & 0xff).unwrap(),
            ]);
            last = here;
        }
        assert!(read(&bytes, last).is_err());
    }

    #[test]
    fn an_address_has_a_reverse_name() {
        let name = |text| Name::for_question(text, RecordType::Ptr).unwrap().to_string();
        assert_eq!(name("192.0.2.1"), "1.2.0.192.in-addr.arpa");
        assert!(name("2001:db8::1").starts_with("1.0.0.0."));
        assert!(name("2001:db8::1").ends_with("8.b.d.0.1.0.0.2.ip6.arpa"));
    }
}
