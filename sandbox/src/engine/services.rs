//! What host interfaces of all runs share.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;

use crate::net::resolve::{ResolveError, Resolver};
use crate::net::tls::Roots;

/// Shared by all runs of an engine.
pub(crate) struct Services {
    resolver: Arc<dyn Resolver>,
    pub(crate) roots: Roots,
    /// The socket of the system's D-Bus.
    pub(crate) system_bus: PathBuf,
}

impl Services {
    pub(super) fn new(resolver: Arc<dyn Resolver>, extra_roots: Vec<Vec<u8>>, system_bus: PathBuf) -> Self {
        Self {
            resolver,
            roots: Roots::new(extra_roots),
            system_bus,
        }
    }

    /// Who answers look-ups of a check's runs.
    pub(crate) fn resolver_for(&self, check: &str) -> Arc<dyn Resolver> {
        Arc::new(ForCheck {
            check: check.to_owned(),
            resolver: Arc::clone(&self.resolver),
        })
    }
}

/// The engine's resolver, asked in the name of a check.
struct ForCheck {
    check: String,
    resolver: Arc<dyn Resolver>,
}

#[async_trait]
impl Resolver for ForCheck {
    async fn resolve(&self, name: &str) -> Result<Vec<IpAddr>, ResolveError> {
        self.resolver.resolve_for(&self.check, name).await
    }
}
