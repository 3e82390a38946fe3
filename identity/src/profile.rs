//! The X.509-SVID profile: what a certificate of ours looks like, checked before any signature is.
//!
//! Extensions are parsed here one by one, to the last byte. x509-parser's `is_ca()` and `basic_constraints()` answer
//! "absent" for what they can't parse, and rustls-webpki doesn't look at key usage at all; neither is used for that.

use std::collections::BTreeSet;
use std::time::Duration;

use rustls_pki_types::UnixTime;
use thiserror::Error;
use x509_parser::der_parser::asn1_rs::{Any, Oid, Sequence, Tag};
use x509_parser::extensions::{
    BasicConstraints, ExtendedKeyUsage, GeneralName, KeyUsage, SubjectAlternativeName, X509Extension,
};
use x509_parser::oid_registry::{
    OID_X509_EXT_BASIC_CONSTRAINTS, OID_X509_EXT_EXTENDED_KEY_USAGE, OID_X509_EXT_KEY_USAGE,
    OID_X509_EXT_NAME_CONSTRAINTS, OID_X509_EXT_SUBJECT_ALT_NAME,
};
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::x509::X509Version;

use crate::serial::Serial;
use crate::spiffe::TrustDomain;

mod svid;

pub use svid::BundleAuthority;

/// Ours have about 700 bytes. The bound keeps a hostile peer from making us parse and log much.
pub const MAX_CERTIFICATE: usize = 8 * 1024;
/// The longest that a leaf may be valid: a year and a month, as for web servers.
pub const MAX_LEAF_VALIDITY: Duration = Duration::from_secs(398 * 24 * 3600);
/// A gateway's leaf for one tenant: a day, and room for the backdating against clock skew.
pub const MAX_TENANT_LEAF_VALIDITY: Duration = Duration::from_secs(25 * 3600);

/// The `SubjectPublicKeyInfo` of a P-256 key up to its point (RFC 5480 §2): leaves have no other kind of key.
const P256_SPKI_PREFIX: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
    0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// What in a certificate isn't as the profile wants it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ProfileError {
    /// It isn't a certificate, or has bytes after its end.
    #[error("not one DER certificate: {0}")]
    Der(String),
    /// Larger than any of ours.
    #[error("a certificate of {0} bytes: expected at most {MAX_CERTIFICATE}")]
    TooLarge(usize),
    /// Not an X.509 version 3 certificate.
    #[error("X.509 version {0}: expected 3")]
    Version(u32),
    /// The same extension twice.
    #[error("extension {0} stands twice")]
    DuplicateExtension(String),
    /// An extension that can't be parsed to its last byte.
    #[error("extension {0} can't be parsed")]
    BrokenExtension(String),
    /// A critical extension that the profile doesn't have.
    #[error("extension {0} is critical and unknown")]
    UnknownCritical(String),
    /// Not exactly one URI as the only subject alternative name.
    #[error("subject alternative names: expected exactly one URI and nothing else, found {0}")]
    AlternativeNames(String),
    /// The subject isn't exactly one common name.
    #[error("subject: expected exactly one common name, found {0}")]
    CommonName(String),
    /// CA true on a leaf, or not on a CA.
    #[error("basic constraints: {0}")]
    BasicConstraints(&'static str),
    /// The key usage isn't that of the profile.
    #[error("key usage: {0}")]
    KeyUsage(&'static str),
    /// The extended key usage isn't that of the profile.
    #[error("extended key usage: {0}")]
    ExtendedKeyUsage(&'static str),
    /// The validity is longer than the profile allows, or ends before it begins.
    #[error("valid for {found} s: expected at most {max} s")]
    Validity {
        /// How long it is valid.
        found: i64,
        /// The most that is allowed.
        max: u64,
    },
    /// Not a P-256 key.
    #[error("public key: expected an uncompressed P-256 point")]
    PublicKey,
    /// The serial number is zero, negative or too long.
    #[error("serial number: expected 1 to 20 bytes, positive (RFC 5280 §4.1.2.2)")]
    Serial,
    /// A name constraint on a leaf.
    #[error("name constraints on a leaf")]
    NameConstraints,
    /// A signing certificate whose ID isn't a bare trust domain.
    #[error("signing certificate with ID {0:?}: expected spiffe://<trust domain> without a path")]
    SigningId(String),
}

/// What the verifier needs of a leaf that passed the profile. The ID is still only text: nobody has vouched for it.
#[derive(Clone, Debug)]
pub struct Leaf {
    /// The one URI of its subject alternative names, as it stands there.
    pub uri: String,
    /// The subject's common name; empty in an SVID of a Workload API, which needs none.
    pub common_name: String,
    /// Its serial number.
    pub serial: Serial,
    /// The first second in which it is valid.
    pub not_before: UnixTime,
    /// The last second in which it is valid.
    pub not_after: UnixTime,
    /// Its `SubjectPublicKeyInfo`, DER.
    pub spki: Vec<u8>,
}

impl Leaf {
    /// Parses and checks a leaf.
    ///
    /// # Errors
    /// The first rule of the profile that it breaks.
    pub fn parse(der: &[u8]) -> Result<Self, ProfileError> {
        let certificate = parse(der)?;
        let leaf = Self::checked(&certificate, ExtendedUsage::Required)?;
        let common_name = common_name(&certificate)?;
        Ok(Self { common_name, ..leaf })
    }

    /// All but the subject.
    fn checked(certificate: &X509Certificate<'_>, usage: ExtendedUsage) -> Result<Self, ProfileError> {
        let extensions = Extensions::of(certificate)?;
        if let Some(constraints) = &extensions.basic_constraints {
            if constraints.ca {
                return Err(ProfileError::BasicConstraints("CA is true on a leaf"));
            }
            if constraints.path_len_constraint.is_some() {
                return Err(ProfileError::BasicConstraints("a path length on a leaf"));
            }
        }
        match &extensions.key_usage {
            None => return Err(ProfileError::KeyUsage("absent")),
            Some((_, false)) => return Err(ProfileError::KeyUsage("not critical")),
            Some((usage, _)) if !usage.digital_signature() => {
                return Err(ProfileError::KeyUsage("digitalSignature is missing"));
            }
            Some((usage, _)) if usage.key_cert_sign() || usage.crl_sign() => {
                return Err(ProfileError::KeyUsage(
                    "a leaf must not sign certificates or CRLs",
                ));
            }
            Some(_) => {}
        }
        match &extensions.extended_key_usage {
            None if usage == ExtendedUsage::MayBeAbsent => {}
            None => return Err(ProfileError::ExtendedKeyUsage("absent")),
            Some(usage) if usage.any => return Err(ProfileError::ExtendedKeyUsage("anyExtendedKeyUsage")),
            Some(usage) if !usage.server_auth => {
                return Err(ProfileError::ExtendedKeyUsage("serverAuth is missing"));
            }
            Some(usage) if !usage.client_auth => {
                return Err(ProfileError::ExtendedKeyUsage("clientAuth is missing"));
            }
            Some(_) => {}
        }
        if extensions.has_name_constraints {
            return Err(ProfileError::NameConstraints);
        }
        let uri = extensions
            .uri
            .ok_or_else(|| ProfileError::AlternativeNames("none".to_owned()))?;
        let spki = certificate.public_key().raw;
        if spki.len() != P256_SPKI_PREFIX.len() + 65
            || !spki.starts_with(&P256_SPKI_PREFIX)
            || spki.get(P256_SPKI_PREFIX.len()) != Some(&0x04)
        {
            return Err(ProfileError::PublicKey);
        }
        let (not_before, not_after) = validity(certificate, MAX_LEAF_VALIDITY)?;
        Ok(Self {
            uri,
            common_name: String::new(),
            serial: serial(certificate)?,
            not_before,
            not_after,
            spki: spki.to_vec(),
        })
    }

    /// How long it is valid in all.
    #[must_use]
    pub fn validity(&self) -> Duration {
        Duration::from_secs(self.not_after.as_secs().saturating_sub(self.not_before.as_secs()))
    }
}

/// Whether a leaf may go without an extended key usage. One that is there has both usages in any case.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ExtendedUsage {
    /// Ours have one.
    Required,
    /// X509-SVID §4.4 only recommends it.
    MayBeAbsent,
}

/// What the verifier needs of a signing certificate (X509-SVID §4.3).
#[derive(Clone, Debug)]
pub struct SigningCertificate {
    /// The trust domain that is its own ID.
    pub trust_domain: TrustDomain,
    /// The subject's common name.
    pub common_name: String,
    /// Its subject, as DER.
    pub subject: Vec<u8>,
    /// Its `SubjectPublicKeyInfo`, DER.
    pub spki: Vec<u8>,
    /// Its subject key identifier, where it has one.
    pub key_identifier: Option<Vec<u8>>,
    /// The first second in which it is valid.
    pub not_before: UnixTime,
    /// The last second in which it is valid.
    pub not_after: UnixTime,
}

impl SigningCertificate {
    /// Parses and checks a CA certificate: a root, or one below it.
    ///
    /// # Errors
    /// The first rule of the profile that it breaks.
    pub fn parse(der: &[u8]) -> Result<Self, ProfileError> {
        let certificate = parse(der)?;
        let extensions = Extensions::of(&certificate)?;
        match &extensions.basic_constraints {
            Some(constraints) if constraints.ca => {}
            _ => {
                return Err(ProfileError::BasicConstraints(
                    "CA isn't true on a signing certificate",
                ));
            }
        }
        match &extensions.key_usage {
            Some((usage, true)) if usage.key_cert_sign() => {}
            _ => {
                return Err(ProfileError::KeyUsage(
                    "a signing certificate needs keyCertSign, critical",
                ));
            }
        }
        let uri = extensions
            .uri
            .ok_or_else(|| ProfileError::AlternativeNames("none".to_owned()))?;
        let trust_domain = TrustDomain::from_id(&uri).map_err(|_| ProfileError::SigningId(shown(&uri)))?;
        // Twelve years: ten for a root, and room.
        let (not_before, not_after) = validity(&certificate, Duration::from_secs(12 * 366 * 24 * 3600))?;
        serial(&certificate)?;
        Ok(Self {
            trust_domain,
            common_name: common_name(&certificate)?,
            subject: certificate.subject().as_raw().to_vec(),
            spki: certificate.public_key().raw.to_vec(),
            key_identifier: extensions.key_identifier,
            not_before,
            not_after,
        })
    }
}

fn shown(text: &str) -> String {
    text.chars().take(200).flat_map(char::escape_default).collect()
}

fn parse(der: &[u8]) -> Result<X509Certificate<'_>, ProfileError> {
    if der.len() > MAX_CERTIFICATE {
        return Err(ProfileError::TooLarge(der.len()));
    }
    let (rest, certificate) =
        X509Certificate::from_der(der).map_err(|error| ProfileError::Der(shown(&error.to_string())))?;
    if !rest.is_empty() {
        return Err(ProfileError::Der(format!("{} bytes after its end", rest.len())));
    }
    if certificate.version() != X509Version::V3 {
        return Err(ProfileError::Version(certificate.version().0.saturating_add(1)));
    }
    Ok(certificate)
}

/// From when to when any certificate is valid, whatever else it is.
pub(crate) fn dates(der: &[u8]) -> Result<(UnixTime, UnixTime), ProfileError> {
    validity(&parse(der)?, Duration::MAX)
}

fn serial(certificate: &X509Certificate<'_>) -> Result<Serial, ProfileError> {
    Serial::from_der_integer(certificate.raw_serial()).ok_or(ProfileError::Serial)
}

fn common_name(certificate: &X509Certificate<'_>) -> Result<String, ProfileError> {
    let subject = certificate.subject();
    let attributes: Vec<_> = subject.iter_attributes().collect();
    let names: Vec<_> = subject.iter_common_name().collect();
    match (attributes.as_slice(), names.as_slice()) {
        ([_], [name]) => {
            let name = name
                .as_str()
                .map_err(|_| ProfileError::CommonName("one that isn't text".to_owned()))?;
            Ok(name.to_owned())
        }
        _ => Err(ProfileError::CommonName(shown(&subject.to_string()))),
    }
}

fn validity(certificate: &X509Certificate<'_>, max: Duration) -> Result<(UnixTime, UnixTime), ProfileError> {
    let not_before = certificate.validity().not_before.timestamp();
    let not_after = certificate.validity().not_after.timestamp();
    let found = not_after.saturating_sub(not_before);
    let out_of_bounds = || ProfileError::Validity {
        found,
        max: max.as_secs(),
    };
    let length = u64::try_from(found).map_err(|_| out_of_bounds())?;
    if length > max.as_secs() {
        return Err(out_of_bounds());
    }
    let seconds = |at: i64| {
        u64::try_from(at)
            .map(Duration::from_secs)
            .map_err(|_| out_of_bounds())
    };
    Ok((
        UnixTime::since_unix_epoch(seconds(not_before)?),
        UnixTime::since_unix_epoch(seconds(not_after)?),
    ))
}

#[derive(Default)]
struct Extensions {
    basic_constraints: Option<BasicConstraints>,
    /// With whether it is critical.
    key_usage: Option<(KeyUsage, bool)>,
    extended_key_usage: Option<EkuFlags>,
    uri: Option<String>,
    key_identifier: Option<Vec<u8>>,
    has_name_constraints: bool,
}

struct EkuFlags {
    any: bool,
    server_auth: bool,
    client_auth: bool,
}

impl Extensions {
    fn of(certificate: &X509Certificate<'_>) -> Result<Self, ProfileError> {
        let mut seen = BTreeSet::new();
        let mut found = Self::default();
        for extension in certificate.extensions() {
            let oid = extension.oid.to_id_string();
            if !seen.insert(oid.clone()) {
                return Err(ProfileError::DuplicateExtension(oid));
            }
            found.take(extension, oid)?;
        }
        Ok(found)
    }

    fn take(&mut self, extension: &X509Extension<'_>, oid: String) -> Result<(), ProfileError> {
        let broken = || ProfileError::BrokenExtension(oid.clone());
        if extension.parsed_extension().error().is_some() {
            return Err(broken());
        }
        let is = |known: &Oid<'_>| extension.oid == *known;
        if is(&OID_X509_EXT_BASIC_CONSTRAINTS) {
            self.basic_constraints = Some(whole(extension.value, &broken)?);
        } else if is(&OID_X509_EXT_KEY_USAGE) {
            // A BIT STRING of nine bits has two bytes; x509-parser folds longer ones over each other.
            if extension.value.len() > 5 {
                return Err(broken());
            }
            self.key_usage = Some((whole(extension.value, &broken)?, extension.critical));
        } else if is(&OID_X509_EXT_EXTENDED_KEY_USAGE) {
            let usage: ExtendedKeyUsage<'_> = whole(extension.value, &broken)?;
            if !holds_only_oids(extension.value) {
                return Err(broken());
            }
            self.extended_key_usage = Some(EkuFlags {
                any: usage.any,
                server_auth: usage.server_auth,
                client_auth: usage.client_auth,
            });
        } else if is(&OID_X509_EXT_SUBJECT_ALT_NAME) {
            self.uri = Some(only_uri(&whole(extension.value, &broken)?)?);
        } else if is(&OID_X509_EXT_NAME_CONSTRAINTS) {
            self.has_name_constraints = true;
        } else if let x509_parser::extensions::ParsedExtension::SubjectKeyIdentifier(id) =
            extension.parsed_extension()
        {
            self.key_identifier = Some(id.0.to_vec());
        } else if extension.critical {
            return Err(ProfileError::UnknownCritical(oid));
        }
        Ok(())
    }
}

/// The library takes any tag for an OID's.
fn holds_only_oids(sequence: &[u8]) -> bool {
    let Ok((_, sequence)) = Sequence::from_der(sequence) else {
        return false;
    };
    let mut rest: &[u8] = &sequence.content;
    while !rest.is_empty() {
        match Any::from_der(rest) {
            Ok((after, element)) if element.tag() == Tag::Oid => rest = after,
            _ => return false,
        }
    }
    true
}

fn whole<'a, T: FromDer<'a, x509_parser::error::X509Error>>(
    value: &'a [u8],
    broken: &dyn Fn() -> ProfileError,
) -> Result<T, ProfileError> {
    match T::from_der(value) {
        Ok(([], parsed)) => Ok(parsed),
        _ => Err(broken()),
    }
}

fn only_uri(names: &SubjectAlternativeName<'_>) -> Result<String, ProfileError> {
    match names.general_names.as_slice() {
        [GeneralName::URI(uri)] => Ok((*uri).to_owned()),
        other => {
            let listed: Vec<String> = other
                .iter()
                .take(4)
                .map(|name| shown(&name.to_string()))
                .collect();
            Err(ProfileError::AlternativeNames(format!(
                "{} ({})",
                other.len(),
                listed.join(", ")
            )))
        }
    }
}
