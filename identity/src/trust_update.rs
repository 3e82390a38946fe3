//! What an agent is to trust, as the platform says it. Gateways only carry it: they can't make one, change one, or bring an
//! old one back.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls_pki_types::{CertificateDer, UnixTime};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::name::TenantSlug;
use crate::spiffe::TrustDomain;
use crate::statement::{self, StatementError};
use crate::verify::{Denied, Trust, TrustError};

/// What is signed begins with this.
pub const CONTEXT: &[u8] = b"picket-trust-1";

/// The version of the statement's format.
const VERSION: u32 = 1;
/// Some thousand denials have 200 KiB.
const MAX_STATEMENT: usize = 512 * 1024;

/// Why an update changes nothing.
#[derive(Debug, Error)]
pub enum TrustUpdateError {
    /// Somebody else's words.
    #[error("trust update: {0}")]
    Statement(#[from] StatementError),
    /// Larger than any.
    #[error("trust update: {0} bytes; expected at most {MAX_STATEMENT}")]
    TooLarge(usize),
    /// It can't be read.
    #[error("trust update: {0}")]
    Format(#[from] serde_json::Error),
    /// A newer platform's.
    #[error("trust update of version {0}: this program reads version {VERSION}")]
    Version(u32),
    /// Certificates that aren't base64.
    #[error("trust update: `{0}` holds something that isn't base64")]
    Encoding(&'static str),
    /// It is about somebody else's agents.
    #[error("trust update for tenant {got}: expected {expected}")]
    OtherTenant {
        /// The own one.
        expected: String,
        /// The one in the statement.
        got: String,
    },
    /// Its certificates can't be trusted.
    #[error("trust update: {0}")]
    Trust(#[from] TrustError),
}

/// What the agents of one tenant are to trust.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrustStatement {
    /// The version of this format.
    pub version: u32,
    /// The platform's trust domain.
    pub platform: TrustDomain,
    /// Whose agents it is for.
    pub tenant: TenantSlug,
    /// Only ever rises.
    pub sequence: u64,
    roots: Vec<String>,
    gateway_cas: Vec<String>,
    /// Certificates of gateways that aren't accepted any more.
    pub denied: Vec<Denied>,
}

impl TrustStatement {
    /// Says what to trust.
    #[must_use]
    pub fn new<'a>(
        platform: TrustDomain,
        tenant: TenantSlug,
        sequence: u64,
        roots: impl IntoIterator<Item = &'a [u8]>,
        gateway_cas: impl IntoIterator<Item = &'a [u8]>,
        denied: Vec<Denied>,
    ) -> Self {
        Self {
            version: VERSION,
            platform,
            tenant,
            sequence,
            roots: roots.into_iter().map(|der| STANDARD.encode(der)).collect(),
            gateway_cas: gateway_cas.into_iter().map(|der| STANDARD.encode(der)).collect(),
            denied,
        }
    }

    /// The bytes to be signed.
    ///
    /// # Errors
    /// The library refused.
    pub fn to_bytes(&self) -> Result<Vec<u8>, TrustUpdateError> {
        Ok(serde_json::to_vec(self)?)
    }

    /// The roots and the gateway CAs.
    ///
    /// # Errors
    /// They aren't certificates of ours.
    pub fn trust(&self) -> Result<Trust, TrustUpdateError> {
        let roots = certificates("roots", &self.roots)?;
        let gateway_cas = certificates("gateway_cas", &self.gateway_cas)?;
        Ok(Trust::with_roots(roots, gateway_cas)?)
    }
}

fn certificates(
    field: &'static str,
    texts: &[String],
) -> Result<Vec<CertificateDer<'static>>, TrustUpdateError> {
    let decoded = texts
        .iter()
        .map(|text| STANDARD.decode(text).map(CertificateDer::from));
    decoded
        .collect::<Result<_, _>>()
        .map_err(|_| TrustUpdateError::Encoding(field))
}

/// A statement as it travels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedTrust {
    /// A [`TrustStatement`] as JSON: the bytes that are signed.
    pub statement: Vec<u8>,
    /// DER: the platform CA whose key signed.
    pub signer: Vec<u8>,
    /// By that key over [`CONTEXT`] and the statement.
    pub signature: Vec<u8>,
}

impl SignedTrust {
    /// Verifies the statement by roots that are trusted already, and only then reads it.
    ///
    /// # Errors
    /// It isn't the platform's word for this tenant, or can't be trusted as a whole.
    pub fn verify(
        &self,
        platform: &TrustDomain,
        tenant: &TenantSlug,
        roots: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<TrustStatement, TrustUpdateError> {
        #[derive(Deserialize)]
        struct Versioned {
            version: u32,
        }
        if self.statement.len() > MAX_STATEMENT {
            return Err(TrustUpdateError::TooLarge(self.statement.len()));
        }
        let signed = (CONTEXT, self.statement.as_slice());
        statement::verify(platform, roots, &self.signer, signed, &self.signature, now)?;
        // The version first: what a newer one adds isn't an unknown field, but a reason to say so.
        let Versioned { version } = serde_json::from_slice(&self.statement)?;
        if version != VERSION {
            return Err(TrustUpdateError::Version(version));
        }
        let statement: TrustStatement = serde_json::from_slice(&self.statement)?;
        if statement.platform != *platform || statement.tenant != *tenant {
            return Err(TrustUpdateError::OtherTenant {
                expected: platform.of_tenant(tenant).to_string(),
                got: statement.platform.of_tenant(&statement.tenant).to_string(),
            });
        }
        statement.trust()?;
        Ok(statement)
    }
}
