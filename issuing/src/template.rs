//! What the certificates look like.

use std::net::IpAddr;
use std::time::Duration;

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use picket_identity::Serial;
use picket_identity::spiffe::{SpiffeId, TrustDomain};
use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    GeneralSubtree, IsCa, KeyUsagePurpose, NameConstraints, SanType, SerialNumber,
};
use rustls_pki_types::UnixTime;
use time::OffsetDateTime;

use crate::IssueError;
use crate::authority::Role;

/// Certificates begin a little in the past, so that a peer whose clock is behind accepts them.
pub(crate) const BACKDATED: Duration = Duration::from_secs(5 * 60);
/// The most characters of a common name (RFC 5280 appendix A, ub-common-name).
const MAX_COMMON_NAME: usize = 64;

#[derive(Clone, Copy)]
pub(crate) struct Dates {
    pub(crate) not_before: UnixTime,
    pub(crate) not_after: UnixTime,
}

/// A random positive number of 128 bits: nobody can guess the next one, and two are never the same.
pub(crate) fn serial() -> Result<(SerialNumber, Serial), IssueError> {
    let mut bytes = [0; 16];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| IssueError::Randomness)?;
    // The first byte is neither zero nor negative, so the DER has the same sixteen bytes.
    bytes[0] = bytes[0] & 0x7f | 0x40;
    let serial = Serial::from_der_integer(&bytes).ok_or(IssueError::Randomness)?;
    Ok((SerialNumber::from_slice(&bytes), serial))
}

fn base(common_name: &str, serial: SerialNumber, dates: &Dates) -> Result<CertificateParams, IssueError> {
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name = name(common_name);
    parameters.serial_number = Some(serial);
    parameters.not_before = date(dates.not_before)?;
    parameters.not_after = date(dates.not_after)?;
    parameters.use_authority_key_identifier_extension = true;
    Ok(parameters)
}

pub(crate) fn name(common_name: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common_name);
    name
}

fn date(at: UnixTime) -> Result<OffsetDateTime, IssueError> {
    let problem = || IssueError::File {
        what: "date",
        problem: "outside of what X.509 can say".to_owned(),
    };
    let seconds = i64::try_from(at.as_secs()).map_err(|_| problem())?;
    OffsetDateTime::from_unix_timestamp(seconds).map_err(|_| problem())
}

/// A CA's certificate (X509-SVID §4.3: its ID is a trust domain, without a path).
pub(crate) fn authority(
    role: &Role,
    domain: &TrustDomain,
    serial: SerialNumber,
    dates: &Dates,
) -> Result<CertificateParams, IssueError> {
    let mut parameters = base(&role.to_string(), serial, dates)?;
    parameters.subject_alt_names = vec![SanType::URI(domain.id().try_into()?)];
    parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    parameters.is_ca = IsCa::Ca(match role {
        Role::Root => BasicConstraints::Constrained(1),
        _ => BasicConstraints::Constrained(0),
    });
    parameters.name_constraints = match role {
        // An agent's common name is `<agent>.<tenant>`, and OpenSSL holds a common name that looks like a host's against
        // the constraints on DNS names. So the tenant's own label is allowed, and nothing else.
        Role::Tenant(tenant) => Some(no_web_names(vec![GeneralSubtree::DnsName(tenant.to_string())])),
        Role::Gateway => Some(no_web_names(Vec::new())),
        Role::Root | Role::Platform => None,
    };
    Ok(parameters)
}

/// A tenant's or a gateway's CA can't make names of web servers or mailboxes, but for `permitted_subtrees`. Never a constraint on URIs: rustls-webpki
/// refuses every URI below one.
fn no_web_names(permitted_subtrees: Vec<GeneralSubtree>) -> NameConstraints {
    let mut excluded_subtrees = vec![
        GeneralSubtree::Rfc822Name(String::new()),
        GeneralSubtree::IpAddress(CidrSubnet::V4([0; 4], [0; 4])),
        GeneralSubtree::IpAddress(CidrSubnet::V6([0; 16], [0; 16])),
    ];
    if permitted_subtrees.is_empty() {
        excluded_subtrees.push(GeneralSubtree::DnsName(String::new()));
    }
    NameConstraints {
        permitted_subtrees,
        excluded_subtrees,
    }
}

/// A leaf of the profile: client and server at once, one URI.
pub(crate) fn leaf(
    id: &SpiffeId,
    serial: SerialNumber,
    dates: &Dates,
) -> Result<CertificateParams, IssueError> {
    let common_name = id.common_name();
    let found = common_name.chars().count();
    if found > MAX_COMMON_NAME {
        return Err(IssueError::CommonNameTooLong {
            id: id.clone(),
            found,
        });
    }
    let mut parameters = base(&common_name, serial, dates)?;
    parameters.subject_alt_names = vec![SanType::URI(id.to_string().try_into()?)];
    parameters.is_ca = IsCa::ExplicitNoCa;
    parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    parameters.extended_key_usages = vec![
        ExtendedKeyUsagePurpose::ServerAuth,
        ExtendedKeyUsagePurpose::ClientAuth,
    ];
    Ok(parameters)
}

/// An ordinary web server's certificate, for browsers.
pub(crate) fn web_server(
    names: &[String],
    serial: SerialNumber,
    dates: &Dates,
) -> Result<CertificateParams, IssueError> {
    let alternatives: Result<Vec<_>, _> = names.iter().map(|name| web_name(name)).collect();
    let alternatives = alternatives?;
    let first = names.first().ok_or_else(|| IssueError::WebName(String::new()))?;
    let common_name: String = first.chars().take(MAX_COMMON_NAME).collect();
    let mut parameters = base(&common_name, serial, dates)?;
    parameters.subject_alt_names = alternatives;
    parameters.is_ca = IsCa::ExplicitNoCa;
    parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    Ok(parameters)
}

fn web_name(text: &str) -> Result<SanType, IssueError> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(SanType::IpAddress(address));
    }
    let refused = || IssueError::WebName(text.chars().take(80).flat_map(char::escape_default).collect());
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let labels = text.strip_prefix("*.").unwrap_or(text);
    if text.len() > 253 || !labels.split('.').all(is_label) {
        return Err(refused());
    }
    Ok(SanType::DnsName(text.try_into().map_err(|_| refused())?))
}
