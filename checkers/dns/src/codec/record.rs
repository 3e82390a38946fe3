//! Records and their text.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use picket_checker_sdk::prelude::*;

use super::name::Name;
use super::reader::Reader;
use super::{Malformed, malformed};

pub(crate) const CLASS_IN: u16 = 1;
pub(crate) const TYPE_OPT: u16 = 41;

/// The record types that can be asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
#[schemars(inline)]
pub(crate) enum RecordType {
    /// IPv4 address.
    #[default]
    A,
    /// IPv6 address.
    Aaaa,
    /// Alias.
    Cname,
    /// Mail server.
    Mx,
    /// Name server.
    Ns,
    /// Text.
    Txt,
    /// Start of a zone.
    Soa,
    /// Service.
    Srv,
    /// Name of an address.
    Ptr,
    /// Certificate authorities that may issue.
    Caa,
}

impl RecordType {
    pub(crate) fn code(self) -> u16 {
        match self {
            Self::A => 1,
            Self::Ns => 2,
            Self::Cname => 5,
            Self::Soa => 6,
            Self::Ptr => 12,
            Self::Mx => 15,
            Self::Txt => 16,
            Self::Aaaa => 28,
            Self::Srv => 33,
            Self::Caa => 257,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::A => "A",
            Self::Ns => "NS",
            Self::Cname => "CNAME",
            Self::Soa => "SOA",
            Self::Ptr => "PTR",
            Self::Mx => "MX",
            Self::Txt => "TXT",
            Self::Aaaa => "AAAA",
            Self::Srv => "SRV",
            Self::Caa => "CAA",
        }
    }

    /// An expected answer in the form that [`read`] gives, so that both compare as text.
    pub(crate) fn normalized(self, text: &str) -> String {
        let trimmed = text.trim();
        match self {
            Self::Txt => text.to_owned(),
            Self::Caa => trimmed.replace('"', ""),
            Self::A | Self::Aaaa => trimmed
                .parse::<IpAddr>()
                .map_or_else(|_| trimmed.to_owned(), |address| address.to_string()),
            _ => {
                let words = trimmed.split_whitespace();
                let bare = |word: &str| match word {
                    "." => word.to_owned(),
                    word => word.strip_suffix('.').unwrap_or(word).to_ascii_lowercase(),
                };
                words.map(bare).collect::<Vec<_>>().join(" ")
            }
        }
    }
}

/// Reads the data of a record of a known type, which ends at `end`.
pub(crate) fn read(record: RecordType, reader: &mut Reader<'_>, end: usize) -> Result<String, Malformed> {
    let text = match record {
        RecordType::A => Ipv4Addr::from(reader.array::<4>()?).to_string(),
        RecordType::Aaaa => Ipv6Addr::from(reader.array::<16>()?).to_string(),
        RecordType::Cname | RecordType::Ns | RecordType::Ptr => Name::read(reader)?.to_string(),
        RecordType::Mx => format!("{} {}", reader.u16()?, Name::read(reader)?),
        RecordType::Srv => {
            format!(
                "{} {} {} {}",
                reader.u16()?,
                reader.u16()?,
                reader.u16()?,
                Name::read(reader)?
            )
        }
        RecordType::Soa => {
            let (server, mailbox) = (Name::read(reader)?, Name::read(reader)?);
            let [serial, refresh, retry] = [reader.u32()?, reader.u32()?, reader.u32()?];
            let [expire, minimum] = [reader.u32()?, reader.u32()?];
            format!("{server} {mailbox} {serial} {refresh} {retry} {expire} {minimum}")
        }
        RecordType::Txt => {
            let mut text = Vec::new();
            while reader.position() < end {
                text.extend(reader.string()?);
            }
            String::from_utf8_lossy(&text).into_owned()
        }
        RecordType::Caa => {
            let flags = reader.u8()?;
            let tag = String::from_utf8_lossy(reader.string()?).into_owned();
            let length = end
                .checked_sub(reader.position())
                .ok_or_else(|| malformed("a record's data is too short"))?;
            format!("{flags} {tag} {}", String::from_utf8_lossy(reader.bytes(length)?))
        }
    };
    if reader.position() != end {
        return Err(malformed("a record's data doesn't have the length that it says"));
    }
    Ok(text)
}

/// The serial in the text of an SOA record.
pub(crate) fn serial(soa: &str) -> Option<u32> {
    soa.split(' ').nth(2)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(record: RecordType, data: &[u8]) -> Result<String, Malformed> {
        read(record, &mut Reader::new(data), data.len())
    }

    #[test]
    fn reads_each_type_as_text() {
        assert_eq!(text(RecordType::A, &[192, 0, 2, 1]).unwrap(), "192.0.2.1");
        assert_eq!(text(RecordType::Aaaa, &[0; 16]).unwrap(), "::");
        assert_eq!(text(RecordType::Mx, b"\x00\x0a\x01m\x00").unwrap(), "10 m");
        assert_eq!(
            text(RecordType::Srv, b"\x00\x01\x00\x02\x00\x50\x01s\x00").unwrap(),
            "1 2 80 s"
        );
        assert_eq!(text(RecordType::Txt, b"\x02ab\x01c").unwrap(), "abc");
        assert_eq!(
            text(RecordType::Caa, b"\x00\x05issueca.example").unwrap(),
            "0 issue ca.example"
        );
        let soa = [&b"\x01n\x00\x01h\x00"[..], &[0, 0, 0, 9], &[0; 16]].concat();
        assert_eq!(text(RecordType::Soa, &soa).unwrap(), "n h 9 0 0 0 0");
        assert_eq!(serial("n h 9 0 0 0 0"), Some(9));
    }

    #[test]
    fn data_of_the_wrong_length_is_refused() {
        assert!(text(RecordType::A, &[1, 2, 3]).is_err());
        assert!(text(RecordType::A, &[1, 2, 3, 4, 5]).is_err());
        assert!(text(RecordType::Txt, b"\x05ab").is_err());
    }

    #[test]
    fn expected_answers_compare_without_case_and_last_dot() {
        assert_eq!(RecordType::Mx.normalized("10  Mail.Example."), "10 mail.example");
        assert_eq!(RecordType::Aaaa.normalized("2001:DB8:0::1"), "2001:db8::1");
        assert_eq!(RecordType::Txt.normalized("v=spf1 A"), "v=spf1 A");
    }
}
