//! Who this agent is: the identity folder, watched, and renewed by gateways while the agent runs. A new set of files is
//! published only once it is verified as a whole; until then, and where it is broken, the last good one goes on.
//!
//! - [`store`]: the identity as it is now, for whoever signs and serves.
//! - [`validity`]: how long the certificate is good for, and what has to be done about it.

pub mod store;
pub mod validity;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use picket_identity::bundle::{self, BundleError, Identity};
use picket_identity::spiffe::SpiffeId;
use picket_identity::tls::{self, ServerTls, TlsError};
use picket_identity::verify;

pub use store::IdentityStore;
pub use validity::Validity;

/// Why there is no identity.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// No certificate yet.
    #[error("this agent has no certificate in {}: have the platform's operator run `platform agent add … --out NAME.enroll`, and run `agent-host enroll NAME.enroll` here", .0.display())]
    Missing(PathBuf),
    /// Something is wrong with the files.
    #[error("identity in {}: {source}; where it can't be put right, have the platform's operator run `platform agent add --replace … --out NAME.enroll`, and run `agent-host enroll --replace NAME.enroll` here", folder.display())]
    Bundle {
        /// The folder.
        folder: PathBuf,
        /// What is wrong.
        source: Box<BundleError>,
    },
    /// It isn't an agent's.
    #[error("the certificate in {} is for {id}, which is no agent; enrol with the file that `platform agent add` writes", folder.display())]
    NotAnAgent {
        /// The folder.
        folder: PathBuf,
        /// Whose it is.
        id: Box<SpiffeId>,
    },
    /// TLS refuses it.
    #[error("identity in {}: {source}", folder.display())]
    Tls {
        /// The folder.
        folder: PathBuf,
        /// Why.
        source: TlsError,
    },
}

/// An agent's identity, verified, and TLS made of it. Its own certificate may have ended: such an agent goes on with its
/// work and waits for its recovery.
#[derive(Clone, Debug)]
pub struct AgentIdentity {
    identity: Arc<Identity>,
    tls: Arc<ServerTls>,
}

impl AgentIdentity {
    /// Loads and verifies the folder.
    ///
    /// # Errors
    /// Nothing there, or anything wrong with it but the end of the own certificate.
    pub fn load(folder: &Path) -> Result<Self, IdentityError> {
        if !bundle::has_identity(folder) {
            return Err(IdentityError::Missing(folder.to_path_buf()));
        }
        let loaded = bundle::load_even_expired(folder, verify::now());
        let identity = loaded.map_err(|source| IdentityError::Bundle {
            folder: folder.to_path_buf(),
            source: Box::new(source),
        })?;
        Self::new(identity, folder)
    }

    fn new(identity: Identity, folder: &Path) -> Result<Self, IdentityError> {
        let Some(expected) = identity.gateway_expectation() else {
            return Err(IdentityError::NotAnAgent {
                folder: folder.to_path_buf(),
                id: Box::new(identity.id().clone()),
            });
        };
        let tls = tls::agent_serving_gateways(identity.credential(), expected).map_err(|source| {
            IdentityError::Tls {
                folder: folder.to_path_buf(),
                source,
            }
        })?;
        Ok(Self {
            identity: Arc::new(identity),
            tls: Arc::new(tls),
        })
    }

    /// The verified identity.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// What the listener serves with.
    #[must_use]
    pub fn tls(&self) -> Arc<ServerTls> {
        Arc::clone(&self.tls)
    }
}
