//! X.509-SVIDs that a Workload API gives, and the authorities above them: what SPIFFE asks for, where our own CAs do more.

use std::time::Duration;

use rustls_pki_types::UnixTime;

use crate::spiffe::TrustDomain;

use super::{ExtendedUsage, Extensions, Leaf, ProfileError, common_name, parse, serial, shown, validity};

impl Leaf {
    /// Parses and checks an X.509-SVID of a Workload API (X509-SVID §2, §4.1, §4.3, §4.4, §5.2). Stricter than SPIFFE in
    /// two things: it has no subject alternative name but its ID, and a P-256 key. The subject means nothing.
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub fn parse_svid(der: &[u8]) -> Result<Self, ProfileError> {
        let certificate = parse(der)?;
        let leaf = Self::checked(&certificate, ExtendedUsage::MayBeAbsent)?;
        // For people who look at it; SPIRE's have none.
        let common_name = common_name(&certificate).unwrap_or_default();
        Ok(Self { common_name, ..leaf })
    }
}

/// A certificate that may sign in the chain of an X.509-SVID: an authority of a trust bundle, or one below it.
#[derive(Clone, Debug)]
pub struct BundleAuthority {
    /// The trust domain that is its own ID, where it has one: an authority above SPIRE's own needs none.
    pub trust_domain: Option<TrustDomain>,
    /// Its `SubjectPublicKeyInfo`, DER.
    pub spki: Vec<u8>,
    /// How many authorities may stand between it and a leaf; `None` where it doesn't say.
    pub path_len: Option<u32>,
    /// The first second in which it is valid.
    pub not_before: UnixTime,
    /// The last second in which it is valid.
    pub not_after: UnixTime,
}

impl BundleAuthority {
    /// Parses and checks it (X509-SVID §4.1, §4.3). Its ID, where it has one, is a bare trust domain.
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub fn parse(der: &[u8]) -> Result<Self, ProfileError> {
        let certificate = parse(der)?;
        let extensions = Extensions::of(&certificate)?;
        let Some(constraints) = extensions.basic_constraints.filter(|constraints| constraints.ca) else {
            return Err(ProfileError::BasicConstraints(
                "CA isn't true on a signing certificate",
            ));
        };
        match &extensions.key_usage {
            Some((usage, true)) if usage.key_cert_sign() => {}
            _ => {
                return Err(ProfileError::KeyUsage(
                    "a signing certificate needs keyCertSign, critical",
                ));
            }
        }
        let trust_domain = extensions
            .uri
            .map(|uri| TrustDomain::from_id(&uri).map_err(|_| ProfileError::SigningId(shown(&uri))))
            .transpose()?;
        // However long: what is in a bundle is an operator's choice, and its dates are looked at whenever it is used.
        let (not_before, not_after) = validity(&certificate, Duration::MAX)?;
        serial(&certificate)?;
        Ok(Self {
            trust_domain,
            spki: certificate.public_key().raw.to_vec(),
            path_len: constraints.path_len_constraint,
            not_before,
            not_after,
        })
    }

    /// Whether it is valid at a time.
    #[must_use]
    pub fn is_valid(&self, now: UnixTime) -> bool {
        self.not_before <= now && now <= self.not_after
    }
}
