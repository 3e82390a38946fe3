//! Someone who stole every key of every certificate authority, and makes certificates that should not be.

use std::time::Duration;

use anyhow::Context as _;
use picket_identity::pem;
use picket_identity::verify::{UnixTime, now};
use picket_issuing::CertificateAuthority;
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::Value;
use time::OffsetDateTime;

use crate::installation::Installation;

/// A certificate, whatever is beside it, and the key that the peer signs its handshake with.
#[derive(Debug)]
pub struct Forged {
    /// The leaf first.
    pub chain: Vec<CertificateDer<'static>>,
    /// PKCS #8.
    pub key: PrivateKeyDer<'static>,
}

impl Clone for Forged {
    fn clone(&self) -> Self {
        Self {
            chain: self.chain.clone(),
            key: self.key.clone_key(),
        }
    }
}

/// An authority whose key was stolen.
#[derive(Debug)]
pub struct Stolen(pub CertificateAuthority);

impl Installation {
    /// Steals the key of the active authority of a kind: from the platform's folder, with the key that it is encrypted by.
    pub fn steal(&self, kind: &str, tenant: Option<&str>) -> anyhow::Result<Stolen> {
        let shown: Value = serde_json::from_str(&self.platform_command(&["ca", "show", "-o", "json"])?)?;
        let authorities = shown["items"].as_array().context("no list of authorities")?;
        let active = authorities
            .iter()
            .filter(|ca| ca["kind"] == kind && ca["tenant"].as_str() == tenant && ca["state"] == "active");
        let certificates: Vec<&str> = active.filter_map(|ca| ca["certificate"].as_str()).collect();
        for entry in std::fs::read_dir(self.folder().join("platform/keys"))? {
            let file = entry?.path();
            let name = file
                .file_stem()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            if !name.starts_with(kind) {
                continue;
            }
            let key = self
                .encryption_key()?
                .open(&name, &std::fs::read(&file)?, &file)?;
            for certificate in &certificates {
                let certificate = pem::parse_certificate(certificate)?;
                // A key of another authority of the kind doesn't fit.
                if let Ok(ca) = CertificateAuthority::from_der(&key, certificate) {
                    return Ok(Stolen(ca));
                }
            }
        }
        anyhow::bail!("the platform has no {kind} authority of {tenant:?}")
    }
}

impl Stolen {
    /// An authority whose key the test has anyway.
    pub fn copy_of(ca: &CertificateAuthority) -> anyhow::Result<Self> {
        let certificate = pem::certificates([ca.certificate_der()]);
        Ok(Self(CertificateAuthority::from_pem(&ca.key_pem(), &certificate)?))
    }

    /// The CA's own certificate.
    #[must_use]
    pub fn certificate(&self) -> CertificateDer<'static> {
        self.0.certificate_der().clone()
    }

    /// A leaf with this ID and common name, after an `edit` of the good template; the CA stands beside it.
    pub fn forge(
        &self,
        id: &str,
        common_name: &str,
        edit: impl FnOnce(&mut CertificateParams),
    ) -> anyhow::Result<Forged> {
        let issuer = issuer(&self.0.role().to_string(), KeyPair::from_pem(&self.0.key_pem())?);
        let mut forged = sign(&issuer, id, common_name, edit)?;
        forged.chain.push(self.certificate());
        Ok(forged)
    }
}

/// An issuer by this name and key.
#[must_use]
pub fn issuer(common_name: &str, key: KeyPair) -> Issuer<'static, KeyPair> {
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name = named(common_name);
    Issuer::new(parameters, key)
}

/// A leaf by any issuer.
pub fn sign(
    issuer: &Issuer<'_, KeyPair>,
    id: &str,
    common_name: &str,
    edit: impl FnOnce(&mut CertificateParams),
) -> anyhow::Result<Forged> {
    let key = KeyPair::generate()?;
    let mut parameters = template(id, common_name)?;
    edit(&mut parameters);
    let certificate = parameters.signed_by(&key, issuer)?;
    Ok(forged(vec![certificate.der().clone()], &key))
}

/// A leaf that signed itself.
pub fn self_signed(id: &str, common_name: &str) -> anyhow::Result<Forged> {
    let key = KeyPair::generate()?;
    let certificate = template(id, common_name)?.self_signed(&key)?;
    Ok(forged(vec![certificate.der().clone()], &key))
}

fn forged(chain: Vec<CertificateDer<'static>>, key: &KeyPair) -> Forged {
    Forged {
        chain,
        key: PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())),
    }
}

/// What a good leaf looks like.
pub fn template(id: &str, common_name: &str) -> anyhow::Result<CertificateParams> {
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name = named(common_name);
    parameters.subject_alt_names = vec![uri(id)?];
    parameters.is_ca = IsCa::ExplicitNoCa;
    parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    parameters.extended_key_usages = vec![
        ExtendedKeyUsagePurpose::ServerAuth,
        ExtendedKeyUsagePurpose::ClientAuth,
    ];
    parameters.not_before = from_now(-3_600);
    parameters.not_after = from_now(20 * 3_600);
    Ok(parameters)
}

/// A name of one common name.
#[must_use]
pub fn named(common_name: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common_name);
    name
}

/// A URI as an alternative name.
pub fn uri(text: &str) -> anyhow::Result<SanType> {
    Ok(SanType::URI(text.try_into()?))
}

/// So many seconds from now, as a certificate has it.
#[must_use]
pub fn from_now(seconds: i64) -> OffsetDateTime {
    let now: UnixTime = now();
    let epoch = OffsetDateTime::UNIX_EPOCH + Duration::from_secs(now.as_secs());
    epoch + time::Duration::seconds(seconds)
}

/// A key file's PEM with a certificate's, as the tools of others want it.
#[must_use]
pub fn to_pem(forged: &Forged) -> (String, String) {
    let key = pem::private_key(forged.key.secret_der()).to_string();
    (pem::certificates(&forged.chain), key)
}
