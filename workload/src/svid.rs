//! One answer of the Workload API: which SVID of it is ours, and whether it is good. A pure function of the answer, of
//! whom we expect to be, and of the time.

use picket_identity::credential::{Credential, CredentialError, PrivateKey};
use picket_identity::spiffe::SpiffeId;
use picket_identity::verify::bundle_face::{BundleTrustError, TrustBundle, verify_own_by_bundle};
use picket_identity::verify::{Refusal, Verified};
use rustls_pki_types::{CertificateDer, UnixTime};
use spiffe::{TrustDomain, X509Context, X509Svid};
use thiserror::Error;

/// So many IDs of an answer are named in a sentence.
const SHOWN: usize = 4;

/// Why an answer isn't taken.
#[derive(Debug, Error)]
pub enum SvidError {
    /// Only somebody else's SVIDs.
    #[error(
        "it gives this process {got}, expected {expected}: register {expected} for it with SPIRE, or correct the name in \
         the configuration"
    )]
    OtherId {
        /// Whom the configuration says that we are.
        expected: SpiffeId,
        /// Whom the Workload API says that we are.
        got: String,
    },
    /// A key of another kind.
    #[error(
        "the key of {0} isn't a P-256 one: leave workload_x509_svid_key_type out of the SPIRE agent's configuration, or set \
         it to \"ec-p256\""
    )]
    KeyType(SpiffeId),
    /// Key and certificate don't belong together.
    #[error("the certificate of {0} isn't for the key that came with it")]
    KeyMismatch(SpiffeId),
    /// The certificate can't be ours.
    #[error("the SVID of {id} can't be used: {source}")]
    Credential {
        /// Whose.
        id: SpiffeId,
        /// What is wrong with it.
        source: CredentialError,
    },
    /// No authorities of the trust domain.
    #[error("it gives no trust bundle of {0}")]
    NoBundle(String),
    /// The authorities can't be used.
    #[error(transparent)]
    Bundle(#[from] BundleTrustError),
    /// Our own verifier doesn't accept it, and so nobody will.
    #[error("the SVID of {id} isn't good ({}): expected {}, got {}", .refusal.reason, .refusal.expected, .refusal.got)]
    Refused {
        /// Whose.
        id: SpiffeId,
        /// What the verifier said.
        refusal: Refusal,
    },
}

/// A key, a certificate chain and the authorities to meet others by, found good. Only ever in memory.
#[derive(Clone, Debug)]
pub struct Svid {
    credential: Credential,
    bundle: TrustBundle,
    verified: Verified,
}

impl Svid {
    /// Key and chain.
    #[must_use]
    pub fn credential(&self) -> &Credential {
        &self.credential
    }

    /// The authorities of our own trust domain.
    #[must_use]
    pub fn bundle(&self) -> &TrustBundle {
        &self.bundle
    }

    /// Our own certificate, as our own verifier sees it.
    #[must_use]
    pub fn verified(&self) -> &Verified {
        &self.verified
    }

    /// Takes the SVID for `expected` and its trust domain's authorities out of an answer, and verifies them.
    ///
    /// # Errors
    /// Why the answer isn't taken.
    pub(crate) fn choose(
        answer: &X509Context,
        expected: &SpiffeId,
        now: UnixTime,
    ) -> Result<Self, SvidError> {
        let id = expected.to_string();
        let ours = answer
            .svids()
            .iter()
            .find(|svid| svid.spiffe_id().to_string() == id);
        let ours = ours.ok_or_else(|| SvidError::OtherId {
            expected: expected.clone(),
            got: listed(answer),
        })?;
        let credential = credential(ours, expected)?;
        let domain = expected.trust_domain();
        let authorities = TrustDomain::new(domain.as_str())
            .ok()
            .and_then(|domain| answer.bundle_set().get(&domain))
            .ok_or_else(|| SvidError::NoBundle(domain.to_string()))?;
        let authorities = authorities
            .authorities()
            .iter()
            .map(|authority| CertificateDer::from(authority.as_bytes().to_vec()));
        let bundle = TrustBundle::new(domain, authorities)?;
        let verified =
            verify_own_by_bundle(&credential, &bundle, now).map_err(|refusal| SvidError::Refused {
                id: expected.clone(),
                refusal,
            })?;
        Ok(Self {
            credential,
            bundle,
            verified,
        })
    }
}

fn credential(svid: &X509Svid, id: &SpiffeId) -> Result<Credential, SvidError> {
    let key = PrivateKey::from_workload_api(svid.private_key().as_bytes(), "the key")
        .map_err(|_| SvidError::KeyType(id.clone()))?;
    let chain = svid
        .cert_chain()
        .iter()
        .map(|certificate| CertificateDer::from(certificate.as_bytes().to_vec()))
        .collect();
    Credential::of_svid(key, chain).map_err(|source| match source {
        CredentialError::KeyMismatch { .. } => SvidError::KeyMismatch(id.clone()),
        source => SvidError::Credential {
            id: id.clone(),
            source,
        },
    })
}

fn listed(answer: &X509Context) -> String {
    let mut ids: Vec<String> = answer
        .svids()
        .iter()
        .take(SHOWN)
        .map(|svid| svid.spiffe_id().to_string().escape_debug().to_string())
        .collect();
    let more = answer.svids().len().saturating_sub(SHOWN);
    if more > 0 {
        ids.push(format!("{more} more"));
    }
    ids.join(", ")
}
