//! What a SPIRE server issues: no common names, an hour of validity, the trust domain as the authority's ID.

use std::time::Duration;

use picket_identity::verify::now;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, SanType, SignatureAlgorithm,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use time::OffsetDateTime;

use super::message::X509Svid;

/// SPIRE's default.
const LIFETIME: Duration = Duration::from_secs(3600);

/// An authority and the one below it that issues, as SPIRE has them below an upstream authority.
#[derive(Debug)]
pub struct Spire {
    root: Vec<u8>,
    intermediate: Vec<u8>,
    issuer: Issuer<'static, KeyPair>,
}

/// A key and its chain.
#[derive(Debug, Clone)]
pub struct Svid {
    id: String,
    chain: Vec<Vec<u8>>,
    key: Vec<u8>,
}

impl Spire {
    /// A new authority of a trust domain.
    pub fn new(trust_domain: &str) -> anyhow::Result<Self> {
        let key = KeyPair::generate()?;
        let parameters = authority("SPIFFE", trust_domain)?;
        let root = parameters.self_signed(&key)?.der().to_vec();
        let above = Issuer::new(parameters, key);
        let key = KeyPair::generate()?;
        let parameters = authority("SPIRE server", trust_domain)?;
        let intermediate = parameters.signed_by(&key, &above)?.der().to_vec();
        Ok(Self {
            root,
            intermediate,
            issuer: Issuer::new(parameters, key),
        })
    }

    /// The authority's certificate, DER.
    #[must_use]
    pub fn authority(&self) -> &[u8] {
        &self.root
    }

    /// An SVID that lives for an hour.
    pub fn svid(&self, id: &str) -> anyhow::Result<Svid> {
        self.svid_lasting(id, LIFETIME)
    }

    /// An SVID that lives from now for so long.
    pub fn svid_lasting(&self, id: &str, lifetime: Duration) -> anyhow::Result<Svid> {
        self.issue(id, lifetime, &rcgen::PKCS_ECDSA_P256_SHA256)
    }

    /// An SVID with a key of another kind.
    pub fn svid_with_p384_key(&self, id: &str) -> anyhow::Result<Svid> {
        self.issue(id, LIFETIME, &rcgen::PKCS_ECDSA_P384_SHA384)
    }

    /// An SVID that has ended.
    pub fn expired_svid(&self, id: &str) -> anyhow::Result<Svid> {
        self.issue_from(id, at(-3600)?, at(-60)?, &rcgen::PKCS_ECDSA_P256_SHA256)
    }

    fn issue(&self, id: &str, lifetime: Duration, kind: &'static SignatureAlgorithm) -> anyhow::Result<Svid> {
        // SPIRE backdates by ten seconds.
        self.issue_from(id, at(-10)?, at(i64::try_from(lifetime.as_secs())?)?, kind)
    }

    fn issue_from(
        &self,
        id: &str,
        not_before: OffsetDateTime,
        not_after: OffsetDateTime,
        kind: &'static SignatureAlgorithm,
    ) -> anyhow::Result<Svid> {
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name = named("SPIRE");
        parameters.subject_alt_names = vec![SanType::URI(id.try_into()?)];
        parameters.is_ca = IsCa::ExplicitNoCa;
        parameters.key_usages = vec![
            KeyUsagePurpose::DigitalSignature,
            KeyUsagePurpose::KeyEncipherment,
            KeyUsagePurpose::KeyAgreement,
        ];
        parameters.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        parameters.not_before = not_before;
        parameters.not_after = not_after;
        let key = KeyPair::generate_for(kind)?;
        let leaf = parameters.signed_by(&key, &self.issuer)?.der().to_vec();
        Ok(Svid {
            id: id.to_owned(),
            chain: vec![leaf, self.intermediate.clone()],
            key: key.serialize_der(),
        })
    }
}

impl Svid {
    pub(super) fn message(&self, bundle: &[u8]) -> X509Svid {
        X509Svid {
            spiffe_id: self.id.clone(),
            x509_svid: self.chain.concat(),
            x509_svid_key: self.key.clone(),
            bundle: bundle.to_vec(),
        }
    }

    /// The private key, PKCS #8, DER.
    #[must_use]
    pub fn key(&self) -> &[u8] {
        &self.key
    }

    /// For a TLS client: the chain, and the key.
    #[must_use]
    pub fn credential(&self) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        let chain = self.chain.iter().map(|der| der.clone().into()).collect();
        (
            chain,
            PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.key.clone())),
        )
    }
}

fn authority(name: &str, trust_domain: &str) -> anyhow::Result<CertificateParams> {
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name = named(name);
    parameters.subject_alt_names = vec![SanType::URI(format!("spiffe://{trust_domain}").try_into()?)];
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    parameters.not_before = at(-7200)?;
    parameters.not_after = at(86_400)?;
    Ok(parameters)
}

fn named(organization: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CountryName, "US");
    name.push(DnType::OrganizationName, organization);
    name
}

/// So many seconds from now.
fn at(seconds: i64) -> anyhow::Result<OffsetDateTime> {
    let now = i64::try_from(now().as_secs())?;
    Ok(OffsetDateTime::from_unix_timestamp(now + seconds)?)
}
