//! What the platform hands to an agent or a gateway, and the folder in which it is kept.
//!
//! A bundle holds no secret: the private key never leaves the machine that made it.

use std::path::{Path, PathBuf};

use rustls_pki_types::{CertificateDer, UnixTime};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::credential::{Credential, CredentialError, PrivateKey};
use crate::pem::{self, PemError};
use crate::spiffe::SpiffeId;
use crate::store::StoreError;
use crate::verify::{
    AgentExpectation, Denied, GatewayClientExpectation, GatewayExpectation, PlatformExpectation, Refusal,
    Serials, Trust, TrustError, Verified, verify_agent, verify_gateway_client,
};

mod folder;

pub use folder::{
    KEY_FILE, REQUEST_FILE, apply_trust, has_identity, install, install_with_key, installed_id, key_path,
    load, load_even_expired, request_path,
};

/// The version of the file's format.
const VERSION: u32 = 1;

/// Why a bundle or an identity folder can't be used.
#[derive(Debug, Error)]
pub enum BundleError {
    /// Not a bundle.
    #[error("not an identity bundle: {0}")]
    Format(#[from] serde_json::Error),
    /// Made by a newer platform.
    #[error("identity bundle of version {0}: this program reads version {VERSION}")]
    Version(u32),
    /// Certificates that can't be read.
    #[error("{field}: {source}")]
    Pem {
        /// Which part.
        field: &'static str,
        /// What is wrong with it.
        source: PemError,
    },
    /// Neither for an agent nor for a gateway.
    #[error("{id} isn't an agent's or a gateway's identity: a bundle is for one of these")]
    Role {
        /// The identity.
        id: SpiffeId,
    },
    /// The CA certificates of those it is to meet are missing.
    #[error("the bundle of {id} has no {field}")]
    MissingPeers {
        /// The identity.
        id: SpiffeId,
        /// What is missing.
        field: &'static str,
    },
    /// The bundle says one identity, its certificate another.
    #[error("the bundle is for {expected}, its certificate for {got}")]
    OtherId {
        /// What the bundle says.
        expected: SpiffeId,
        /// What the certificate says.
        got: SpiffeId,
    },
    /// Key and certificate don't belong together, or can't be read.
    #[error(transparent)]
    Credential(#[from] CredentialError),
    /// The root, or a CA certificate, isn't one of ours.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// Our own certificate doesn't pass our own verifier.
    #[error("own certificate: {0}")]
    Refused(#[from] Refusal),
    /// What it is to trust from now on can't be trusted.
    #[error(transparent)]
    TrustUpdate(#[from] crate::trust_update::TrustUpdateError),
    /// It is no newer than what is trusted already.
    #[error("trust update {got} isn't newer than {known}, which is in force: nothing was changed")]
    NotNewer {
        /// The sequence in force.
        known: u64,
        /// The one in the update.
        got: u64,
    },
    /// A file can't be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No identity yet.
    #[error("{} holds no identity yet; enrol first", .0.display())]
    NotEnrolled(PathBuf),
}

/// The file that the platform writes for an agent or a gateway. Certificates are PEM.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IdentityBundle {
    /// The version of this format.
    pub version: u32,
    /// Who it is for.
    pub spiffe_id: SpiffeId,
    /// The certificate.
    pub leaf: String,
    /// The CA that issued it.
    pub issuer: String,
    /// The platform's roots.
    pub root: String,
    /// For an agent: the CAs of the gateways that it will meet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway_cas: Option<String>,
    /// For a gateway: the CAs of the platform nodes that it will meet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform_cas: Option<String>,
    /// The sequence of roots and CAs: only what rises above it counts later.
    #[serde(default)]
    pub trust_sequence: u64,
    /// For an agent: certificates of gateways that aren't accepted any more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub denied: Vec<Denied>,
}

impl IdentityBundle {
    /// A bundle for an agent.
    #[must_use]
    pub fn for_agent(
        spiffe_id: SpiffeId,
        leaf: &CertificateDer<'_>,
        issuer: &CertificateDer<'_>,
        roots: &[CertificateDer<'_>],
        gateway_cas: &[CertificateDer<'_>],
    ) -> Self {
        let gateway_cas = Some(pem::certificates(gateway_cas));
        Self {
            gateway_cas,
            ..Self::bare(spiffe_id, leaf, issuer, roots)
        }
    }

    /// A bundle for a gateway.
    #[must_use]
    pub fn for_gateway(
        spiffe_id: SpiffeId,
        leaf: &CertificateDer<'_>,
        issuer: &CertificateDer<'_>,
        roots: &[CertificateDer<'_>],
        platform_cas: &[CertificateDer<'_>],
    ) -> Self {
        let platform_cas = Some(pem::certificates(platform_cas));
        Self {
            platform_cas,
            ..Self::bare(spiffe_id, leaf, issuer, roots)
        }
    }

    fn bare(
        spiffe_id: SpiffeId,
        leaf: &CertificateDer<'_>,
        issuer: &CertificateDer<'_>,
        roots: &[CertificateDer<'_>],
    ) -> Self {
        Self {
            version: VERSION,
            spiffe_id,
            leaf: pem::certificates([leaf]),
            issuer: pem::certificates([issuer]),
            root: pem::certificates(roots),
            gateway_cas: None,
            platform_cas: None,
            trust_sequence: 0,
            denied: Vec::new(),
        }
    }

    /// Reads a bundle.
    ///
    /// # Errors
    /// Not a bundle, or one of another version.
    pub fn from_json(text: &str) -> Result<Self, BundleError> {
        // The version first: what a newer one adds isn't an unknown field, but a reason to say so.
        #[derive(Deserialize)]
        struct Versioned {
            version: u32,
        }
        let Versioned { version } = serde_json::from_str(text)?;
        if version != VERSION {
            return Err(BundleError::Version(version));
        }
        Ok(serde_json::from_str(text)?)
    }

    /// Writes the bundle as JSON.
    ///
    /// # Errors
    /// The library refused.
    pub fn to_json(&self) -> Result<String, BundleError> {
        Ok(serde_json::to_string_pretty(self)?)
    }

    /// Verifies everything, as the peers will: the key, the identity, the chain to the root, the dates, and that the CA
    /// certificates of the peers can be trusted.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn verify(&self, key: PrivateKey, now: UnixTime) -> Result<Identity, BundleError> {
        self.verify_dated(key, now, Dates::Now)
    }

    fn verify_dated(&self, key: PrivateKey, now: UnixTime, dates: Dates) -> Result<Identity, BundleError> {
        let one = |field, text: &str| {
            pem::parse_certificate(text).map_err(|source| BundleError::Pem { field, source })
        };
        let leaf = one("leaf", &self.leaf)?;
        let issuer = one("issuer", &self.issuer)?;
        let roots = pem::parse_certificates(&self.root).map_err(|source| BundleError::Pem {
            field: "root",
            source,
        })?;
        let (field, peers) = match self.spiffe_id {
            SpiffeId::Agent { .. } => ("gateway_cas", &self.gateway_cas),
            SpiffeId::Gateway { .. } => ("platform_cas", &self.platform_cas),
            _ => {
                return Err(BundleError::Role {
                    id: self.spiffe_id.clone(),
                });
            }
        };
        let peers = peers.as_ref().ok_or_else(|| BundleError::MissingPeers {
            id: self.spiffe_id.clone(),
            field,
        })?;
        let peers = pem::parse_certificates(peers).map_err(|source| BundleError::Pem { field, source })?;

        let credential = Credential::new(key, vec![leaf, issuer.clone()])?;
        if *credential.id() != self.spiffe_id {
            let (expected, got) = (self.spiffe_id.clone(), credential.id().clone());
            return Err(BundleError::OtherId { expected, got });
        }
        let own = Trust::with_roots(roots.clone(), [issuer])?;
        let at = match dates {
            Dates::Now => now,
            Dates::OwnMayHaveEnded => now.min(credential.not_after()),
        };
        let verified = verify_own(&credential, own, at)?;
        Ok(Identity {
            credential,
            peers: Trust::with_roots(roots, peers)?,
            verified,
            trust_sequence: self.trust_sequence,
            denied: self.denied.clone(),
        })
    }
}

/// At which time the own certificate has to be good.
#[derive(Clone, Copy)]
enum Dates {
    /// Now.
    Now,
    /// Now, or when it ended: an agent that waits for its recovery is still itself.
    OwnMayHaveEnded,
}

fn verify_own(credential: &Credential, trust: Trust, now: UnixTime) -> Result<Verified, BundleError> {
    let serials = Serials::default();
    match credential.id().clone() {
        SpiffeId::Agent {
            platform,
            tenant,
            agent,
        } => {
            let expected = AgentExpectation {
                platform,
                tenant,
                agent,
                trust,
                serials,
            };
            Ok(verify_agent(credential.chain(), &expected, now)?)
        }
        SpiffeId::Gateway { platform, .. } => {
            let expected = GatewayClientExpectation {
                platform,
                trust,
                serials,
            };
            Ok(verify_gateway_client(credential.chain(), &expected, now)?)
        }
        id => Err(BundleError::Role { id }),
    }
}

/// A verified identity of our own, and the trust to meet others with.
#[derive(Clone, Debug)]
pub struct Identity {
    credential: Credential,
    peers: Trust,
    verified: Verified,
    trust_sequence: u64,
    denied: Vec<Denied>,
}

impl Identity {
    /// Key and chain.
    #[must_use]
    pub fn credential(&self) -> &Credential {
        &self.credential
    }

    /// Who we are.
    #[must_use]
    pub fn id(&self) -> &SpiffeId {
        self.credential.id()
    }

    /// Our own certificate, as our own verifier sees it: serial number, dates, issuer.
    #[must_use]
    pub fn verified(&self) -> &Verified {
        &self.verified
    }

    /// The roots, and the CAs of those that we meet.
    #[must_use]
    pub fn peers(&self) -> &Trust {
        &self.peers
    }

    /// The sequence of what is trusted: only what rises above it counts.
    #[must_use]
    pub fn trust_sequence(&self) -> u64 {
        self.trust_sequence
    }

    /// Certificates of peers that aren't accepted any more.
    #[must_use]
    pub fn denied(&self) -> &[Denied] {
        &self.denied
    }

    /// Whether the own certificate has ended: only [`load_even_expired`] gives such an identity.
    #[must_use]
    pub fn is_expired(&self, now: UnixTime) -> bool {
        now > self.credential.not_after()
    }

    /// This identity as a bundle, to be changed and installed anew.
    fn to_bundle(&self) -> IdentityBundle {
        let peers = Some(pem::certificates(self.peers.cas().iter().map(|ca| ca.der())));
        let (gateway_cas, platform_cas) = match self.id() {
            SpiffeId::Agent { .. } => (peers, None),
            _ => (None, peers),
        };
        let mut chain = self.credential.chain().iter();
        IdentityBundle {
            version: VERSION,
            spiffe_id: self.id().clone(),
            leaf: pem::certificates(chain.next()),
            issuer: pem::certificates(chain.next()),
            root: pem::certificates(&self.peers.roots()),
            gateway_cas,
            platform_cas,
            trust_sequence: self.trust_sequence,
            denied: self.denied.clone(),
        }
    }

    /// For an agent: what it expects of whoever connects. `None` for a gateway.
    #[must_use]
    pub fn gateway_expectation(&self) -> Option<GatewayExpectation> {
        match self.id().clone() {
            SpiffeId::Agent { platform, tenant, .. } => Some(GatewayExpectation {
                platform,
                tenant,
                trust: self.peers.clone(),
                serials: Serials::AllBut(self.denied.iter().cloned().collect()),
                not_before: self.verified.not_before(),
            }),
            _ => None,
        }
    }

    /// For a gateway: what it expects of the platform. `None` for an agent.
    #[must_use]
    pub fn platform_expectation(&self, serials: Serials) -> Option<PlatformExpectation> {
        match self.id().clone() {
            SpiffeId::Gateway { platform, .. } => Some(PlatformExpectation {
                platform,
                trust: self.peers.clone(),
                serials,
            }),
            _ => None,
        }
    }
}

/// Reads and verifies a bundle's file.
///
/// # Errors
/// It can't be read, or isn't a bundle.
pub fn read(path: &Path) -> Result<IdentityBundle, BundleError> {
    IdentityBundle::from_json(&crate::store::read_public(path)?)
}
