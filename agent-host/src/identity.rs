//! Who this agent is: the identity folder, watched. A new set of files is published only once it is verified as a whole;
//! until then, and where it is broken, the last good one goes on.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use picket_identity::bundle::{self, BundleError, Identity};
use picket_identity::spiffe::SpiffeId;
use picket_identity::tls::{self, ServerTls, TlsError};
use picket_identity::verify;
use tokio::sync::watch;

use crate::internal_events as events;

/// Why there is no identity.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// No certificate yet.
    #[error("this agent has no certificate in {}: hand identity/request.csr to the platform's operator and install the bundle that comes back with `agent-host enroll BUNDLE.json`", .0.display())]
    Missing(PathBuf),
    /// Something is wrong with the files.
    #[error("identity in {}: {source}; install a new bundle with `agent-host enroll BUNDLE.json`", folder.display())]
    Bundle {
        /// The folder.
        folder: PathBuf,
        /// What is wrong.
        source: Box<BundleError>,
    },
    /// It isn't an agent's.
    #[error("the certificate in {} is for {id}, which is no agent; install the bundle that `platform agent add` wrote", folder.display())]
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

/// An agent's identity, verified, and TLS made of it.
#[derive(Clone, Debug)]
pub struct AgentIdentity {
    identity: Arc<Identity>,
    tls: Arc<ServerTls>,
}

impl AgentIdentity {
    /// Loads and verifies the folder.
    ///
    /// # Errors
    /// Nothing there, or anything wrong with it.
    pub fn load(folder: &Path) -> Result<Self, IdentityError> {
        if !bundle::has_identity(folder) {
            return Err(IdentityError::Missing(folder.to_path_buf()));
        }
        let identity = bundle::load(folder, verify::now()).map_err(|source| IdentityError::Bundle {
            folder: folder.to_path_buf(),
            source: Box::new(source),
        })?;
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

/// The identity as it is now, for whoever signs and serves.
#[derive(Debug)]
pub struct IdentityStore {
    folder: PathBuf,
    current: watch::Sender<Arc<AgentIdentity>>,
    tls: watch::Sender<Arc<ServerTls>>,
}

impl IdentityStore {
    /// Loads the folder for the first time.
    ///
    /// # Errors
    /// As [`AgentIdentity::load`].
    pub fn open(folder: &Path) -> Result<Self, IdentityError> {
        let first = AgentIdentity::load(folder)?;
        events::identity_loaded(first.identity());
        let tls = watch::Sender::new(first.tls());
        Ok(Self {
            folder: folder.to_path_buf(),
            current: watch::Sender::new(Arc::new(first)),
            tls,
        })
    }

    /// The identity now.
    #[must_use]
    pub fn current(&self) -> Arc<AgentIdentity> {
        Arc::clone(&self.current.borrow())
    }

    /// Follows the TLS snapshots.
    #[must_use]
    pub fn tls(&self) -> watch::Receiver<Arc<ServerTls>> {
        self.tls.subscribe()
    }

    /// Looks at the folder again. Where its files are good and others than before, they are published.
    pub fn reload(&self) {
        let loaded = match AgentIdentity::load(&self.folder) {
            Ok(loaded) => loaded,
            Err(error) => {
                events::identity_refused(&error);
                return;
            }
        };
        let before = self.current();
        if is_same(before.identity(), loaded.identity()) {
            return;
        }
        if before.identity().id() != loaded.identity().id() {
            // The spool's results are sealed under this agent's name; another agent's identity needs a fresh start.
            events::identity_changed_name(before.identity().id(), loaded.identity().id());
            return;
        }
        events::identity_loaded(loaded.identity());
        let tls = loaded.tls();
        self.current.send_replace(Arc::new(loaded));
        self.tls.send_replace(tls);
    }
}

fn is_same(a: &Identity, b: &Identity) -> bool {
    let ders = |identity: &Identity| -> Vec<Vec<u8>> {
        let trusted = identity.peers().cas().iter().map(|ca| ca.der().to_vec());
        let own = identity
            .credential()
            .chain()
            .iter()
            .map(|certificate| certificate.to_vec());
        trusted
            .chain(own)
            .chain(identity.peers().roots().iter().map(|root| root.to_vec()))
            .collect()
    };
    ders(a) == ders(b)
}
