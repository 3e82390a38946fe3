//! X.509 certificates, read for checkers so that not every one of them carries a parser.

use std::fmt::Write as _;
use std::net::IpAddr;

use aws_lc_rs::digest;
use x509_parser::extensions::GeneralName;
use x509_parser::objects::{oid_registry, oid2abbrev};
use x509_parser::prelude::{FromDer, X509Certificate, X509Name};

use crate::component::cache::hex;

/// A certificate (RFC 5280).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Certificate {
    pub(crate) der: Vec<u8>,
    pub(crate) subject: String,
    pub(crate) issuer: String,
    pub(crate) serial: String,
    pub(crate) not_before_unix_s: i64,
    pub(crate) not_after_unix_s: i64,
    pub(crate) names: Vec<String>,
    pub(crate) sha256: String,
}

impl Certificate {
    /// Reads one. Of a certificate that makes no sense, only the bytes and their digest are given.
    pub(crate) fn read(der: &[u8]) -> Self {
        let sha256 = hex(digest::digest(&digest::SHA256, der).as_ref());
        match X509Certificate::from_der(der) {
            Ok((_, parsed)) => Self {
                der: der.to_vec(),
                subject: rfc4514(parsed.subject()),
                issuer: rfc4514(parsed.issuer()),
                serial: hex(parsed.raw_serial()),
                not_before_unix_s: parsed.validity().not_before.timestamp(),
                not_after_unix_s: parsed.validity().not_after.timestamp(),
                names: names(&parsed),
                sha256,
            },
            Err(_) => Self {
                der: der.to_vec(),
                subject: String::new(),
                issuer: String::new(),
                serial: String::new(),
                not_before_unix_s: 0,
                not_after_unix_s: 0,
                names: Vec::new(),
                sha256,
            },
        }
    }
}

fn names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(extension)) = certificate.subject_alternative_name() else {
        return Vec::new();
    };
    let named = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => Some(format!("dns:{name}")),
        GeneralName::URI(uri) => Some(format!("uri:{uri}")),
        GeneralName::RFC822Name(email) => Some(format!("email:{email}")),
        GeneralName::IPAddress(bytes) => ip(bytes).map(|address| format!("ip:{address}")),
        _ => None,
    };
    extension.value.general_names.iter().filter_map(named).collect()
}

fn ip(bytes: &[u8]) -> Option<IpAddr> {
    <[u8; 4]>::try_from(bytes)
        .map(IpAddr::from)
        .or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from))
        .ok()
}

/// A name in the string form of RFC 4514: the last part first.
fn rfc4514(name: &X509Name<'_>) -> String {
    let parts: Vec<_> = name
        .iter_rdn()
        .map(|rdn| {
            let attributes = rdn.iter().map(|attribute| {
                let kind = oid2abbrev(attribute.attr_type(), oid_registry())
                    .map_or_else(|_| attribute.attr_type().to_id_string(), str::to_owned);
                // 2.4: a value that is no string is written as its encoding.
                let value = attribute
                    .as_str()
                    .map_or_else(|_| format!("#{}", hex(attribute.as_slice())), escaped);
                format!("{kind}={value}")
            });
            attributes.collect::<Vec<_>>().join("+")
        })
        .collect();
    parts.into_iter().rev().collect::<Vec<_>>().join(",")
}

/// RFC 4514, 2.4; control characters as hexadecimal pairs too, so that a name never breaks a line.
fn escaped(value: &str) -> String {
    let last = value.chars().count().saturating_sub(1);
    let mut text = String::with_capacity(value.len());
    for (index, char) in value.chars().enumerate() {
        let edge = (char == ' ' && (index == 0 || index == last)) || (char == '#' && index == 0);
        if edge || matches!(char, '"' | '+' | ',' | ';' | '<' | '>' | '\\') {
            text.push('\\');
            text.push(char);
        } else if char.is_control() {
            let mut buffer = [0; 4];
            for byte in char.encode_utf8(&mut buffer).bytes() {
                // Writing into a string never fails.
                let _ = write!(text, "\\{byte:02x}");
            }
        } else {
            text.push(char);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_read_whole() {
        let mut params =
            rcgen::CertificateParams::new(vec!["web.example".to_owned(), "10.0.0.1".to_owned()]).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params
            .distinguished_name
            .push(rcgen::DnType::OrganizationName, "Acme, Inc.");
        params.distinguished_name.push(rcgen::DnType::CommonName, "web");
        params.serial_number = Some(rcgen::SerialNumber::from_slice(&[0x12, 0xab]));
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = Certificate::read(params.self_signed(&key).unwrap().der());
        assert_eq!(certificate.subject, "CN=web,O=Acme\\, Inc.");
        assert_eq!(certificate.serial, "12ab");
        assert_eq!(certificate.names, ["dns:web.example", "ip:10.0.0.1"]);
        assert!(certificate.not_before_unix_s < certificate.not_after_unix_s);
        assert_eq!(certificate.sha256.len(), 64);
    }

    #[test]
    fn garbage_is_carried_on_without_meaning() {
        assert_eq!(Certificate::read(b"garbage").subject, "");
    }

    #[test]
    fn names_are_escaped() {
        assert_eq!(escaped(" #a,b\n "), "\\ #a\\,b\\0a\\ ");
    }
}
