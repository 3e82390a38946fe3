//! Certificate authorities.

use std::fmt;
use std::time::Duration;

use picket_identity::name::TenantSlug;
use picket_identity::pem;
use picket_identity::profile::SigningCertificate;
use picket_identity::spiffe::TrustDomain;
use rcgen::{
    CertificateParams, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
    PKCS_ECDSA_P384_SHA384, PublicKeyData, SigningKey as _,
};
use rustls_pki_types::{CertificateDer, UnixTime};
use zeroize::{Zeroize as _, Zeroizing};

use crate::template::{self, BACKDATED, Dates};
use crate::{IssueError, days};

/// Ten years: replacing a root means visiting every agent.
const ROOT_LIFETIME: Duration = days(3650);
/// Two years: below the root, CAs are replaced by what the platform distributes.
const INTERMEDIATE_LIFETIME: Duration = days(730);

/// What a CA is for. It stands in the common name of its certificate.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// The anchor of everything. Issues only CAs.
    Root,
    /// Issues gateways.
    Gateway,
    /// Issues platform nodes, and the web server's certificate.
    Platform,
    /// Issues one tenant's agents.
    Tenant(TenantSlug),
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => f.write_str("root"),
            Self::Gateway => f.write_str("gateway CA"),
            Self::Platform => f.write_str("platform CA"),
            Self::Tenant(tenant) => write!(f, "tenant CA {tenant}"),
        }
    }
}

impl Role {
    fn from_common_name(name: &str) -> Result<Self, IssueError> {
        match name {
            "root" => Ok(Self::Root),
            "gateway CA" => Ok(Self::Gateway),
            "platform CA" => Ok(Self::Platform),
            _ => match name.strip_prefix("tenant CA ") {
                Some(tenant) => Ok(Self::Tenant(tenant.parse()?)),
                None => Err(IssueError::UnknownRole(name.to_owned())),
            },
        }
    }
}

/// A CA below the root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Intermediate {
    /// Issues gateways.
    Gateway,
    /// Issues platform nodes, and the web server's certificate.
    Platform,
    /// Issues one tenant's agents.
    Tenant(TenantSlug),
}

impl From<Intermediate> for Role {
    fn from(intermediate: Intermediate) -> Self {
        match intermediate {
            Intermediate::Gateway => Self::Gateway,
            Intermediate::Platform => Self::Platform,
            Intermediate::Tenant(tenant) => Self::Tenant(tenant),
        }
    }
}

/// A CA: its private key and its certificate.
pub struct CertificateAuthority {
    key: KeyPair,
    certificate: CertificateDer<'static>,
    role: Role,
    /// The platform's trust domain.
    platform: TrustDomain,
    /// The first and the last second in which its own certificate is valid.
    not_before: UnixTime,
    not_after: UnixTime,
    /// What rcgen needs to know of the issuer.
    parameters: CertificateParams,
}

impl CertificateAuthority {
    /// Makes a root for a platform: P-384, ten years.
    ///
    /// # Errors
    /// The system gave no randomness.
    pub fn new_root(platform: &TrustDomain, now: UnixTime) -> Result<Self, IssueError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384)?;
        let dates = dates(now, ROOT_LIFETIME);
        let (serial, _) = template::serial()?;
        let parameters = template::authority(&Role::Root, platform, serial, &dates)?;
        let certificate = parameters.self_signed(&key)?.der().clone();
        Self::new(key, certificate)
    }

    /// Makes a CA below this root: P-256, two years, and none below it.
    ///
    /// # Errors
    /// This isn't a root, its own certificate isn't valid now, or the system gave no randomness.
    pub fn new_intermediate(&self, kind: Intermediate, now: UnixTime) -> Result<Self, IssueError> {
        let role = Role::from(kind);
        if self.role != Role::Root {
            return Err(self.wrong(role.to_string(), "root"));
        }
        self.certify(KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?, &role, now)
    }

    /// Makes a new certificate for a CA's same key, under this root: what it has issued stays good under both, and what it
    /// issues from now on too. Two years from now on, whatever the other certificate says.
    ///
    /// # Errors
    /// This isn't a root, or `ca` is one; they are of different platforms; this root's certificate isn't valid now; or the
    /// system gave no randomness.
    pub fn reissue(&self, ca: &Self, now: UnixTime) -> Result<Self, IssueError> {
        if self.role != Role::Root || ca.role == Role::Root {
            return Err(self.wrong(format!("a new certificate of the {}", ca.role), "root"));
        }
        if self.platform != ca.platform {
            return Err(IssueError::OtherPlatform {
                found: ca.platform.clone(),
                expected: self.platform.clone(),
            });
        }
        self.certify(KeyPair::try_from(ca.key.serialized_der())?, &ca.role, now)
    }

    /// A certificate of this root for another CA's key.
    fn certify(&self, key: KeyPair, role: &Role, now: UnixTime) -> Result<Self, IssueError> {
        let domain = match role {
            Role::Tenant(tenant) => self.platform.of_tenant(tenant),
            _ => self.platform.clone(),
        };
        let dates = self.within(dates(now, INTERMEDIATE_LIFETIME), now)?;
        let (serial, _) = template::serial()?;
        let parameters = template::authority(role, &domain, serial, &dates)?;
        let certificate = parameters.signed_by(&key, &self.issuer())?.der().clone();
        Self::new(key, certificate)
    }

    fn new(key: KeyPair, certificate: CertificateDer<'static>) -> Result<Self, IssueError> {
        let parsed = SigningCertificate::parse(&certificate)?;
        if parsed.spki != key.subject_public_key_info() {
            return Err(IssueError::KeyMismatch(parsed.trust_domain.id()));
        }
        let role = Role::from_common_name(&parsed.common_name)?;
        let platform = match &role {
            Role::Tenant(tenant) => {
                let domain = parsed.trust_domain.as_str();
                let platform = domain
                    .strip_prefix(tenant.as_str())
                    .and_then(|rest| rest.strip_prefix('.'));
                platform
                    .and_then(|platform| platform.parse().ok())
                    .ok_or_else(|| IssueError::File {
                        what: "CA certificate",
                        problem: format!(
                            "named for tenant {tenant}, but its ID is {}",
                            parsed.trust_domain.id()
                        ),
                    })?
            }
            _ => parsed.trust_domain.clone(),
        };
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name = template::name(&parsed.common_name);
        parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        if let Some(identifier) = parsed.key_identifier {
            parameters.key_identifier_method = KeyIdMethod::PreSpecified(identifier);
        }
        let (not_before, not_after) = (parsed.not_before, parsed.not_after);
        Ok(Self {
            key,
            certificate,
            role,
            platform,
            not_before,
            not_after,
            parameters,
        })
    }

    /// Takes a CA from its key (PKCS #8, DER) and its certificate.
    ///
    /// # Errors
    /// Neither key nor certificate of ours, or two that don't belong together.
    pub fn from_der(key: &[u8], certificate: CertificateDer<'static>) -> Result<Self, IssueError> {
        Self::new(KeyPair::try_from(key)?, certificate)
    }

    /// Takes a CA from its key and certificate in PEM.
    ///
    /// # Errors
    /// Neither key nor certificate of ours, or two that don't belong together.
    pub fn from_pem(key: &str, certificate: &str) -> Result<Self, IssueError> {
        let certificate = pem::parse_certificate(certificate).map_err(|error| IssueError::File {
            what: "CA certificate",
            problem: error.to_string(),
        })?;
        Self::new(KeyPair::from_pem(key)?, certificate)
    }

    /// The private key as PKCS #8 PEM: a secret.
    #[must_use]
    pub fn key_pem(&self) -> Zeroizing<String> {
        Zeroizing::new(self.key.serialize_pem())
    }

    /// The private key as PKCS #8, DER: a secret. It is written to no file but encrypted.
    #[must_use]
    pub fn key_der(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(self.key.serialize_der())
    }

    /// The CA's own certificate.
    #[must_use]
    pub fn certificate_der(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// What this CA is for.
    #[must_use]
    pub fn role(&self) -> &Role {
        &self.role
    }

    /// The platform's trust domain.
    #[must_use]
    pub fn platform(&self) -> &TrustDomain {
        &self.platform
    }

    /// The last second in which the CA's own certificate is valid.
    #[must_use]
    pub fn not_after(&self) -> UnixTime {
        self.not_after
    }

    /// Signs `context` followed by `bytes`, as the platform: ECDSA P-256 with SHA-256, ASN.1 form. The context names what
    /// is signed, so that a statement of one kind is never one of another.
    ///
    /// # Errors
    /// Another CA than the platform CA, or the system gave no randomness.
    pub fn sign_statement(&self, context: &[u8], bytes: &[u8]) -> Result<Vec<u8>, IssueError> {
        if self.role != Role::Platform {
            return Err(IssueError::Statement(self.role.clone()));
        }
        Ok(self.key.sign(&[context, bytes].concat())?)
    }

    pub(crate) fn issuer(&self) -> Issuer<'_, &KeyPair> {
        Issuer::from_params(&self.parameters, &self.key)
    }

    pub(crate) fn wrong(&self, wanted: String, expected: &'static str) -> IssueError {
        IssueError::WrongAuthority {
            role: self.role.clone(),
            wanted,
            expected,
        }
    }

    /// What a CA issues never outlives it.
    pub(crate) fn within(&self, dates: Dates, now: UnixTime) -> Result<Dates, IssueError> {
        if now < self.not_before || now >= self.not_after {
            return Err(IssueError::AuthorityNotValid(self.role.clone()));
        }
        Ok(Dates {
            not_before: dates.not_before.max(self.not_before),
            not_after: dates.not_after.min(self.not_after),
        })
    }
}

pub(crate) fn dates(now: UnixTime, lifetime: Duration) -> Dates {
    let at = Duration::from_secs(now.as_secs());
    Dates {
        not_before: UnixTime::since_unix_epoch(at.saturating_sub(BACKDATED)),
        not_after: UnixTime::since_unix_epoch(at.saturating_add(lifetime)),
    }
}

impl Drop for CertificateAuthority {
    fn drop(&mut self) {
        self.key.zeroize();
    }
}

impl fmt::Debug for CertificateAuthority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CertificateAuthority")
            .field("role", &self.role)
            .field("platform", &self.platform)
            .finish_non_exhaustive()
    }
}
