//! What host interfaces of all runs share.

use std::path::PathBuf;
use std::sync::Arc;

use crate::net::resolve::Resolver;
use crate::net::tls::Roots;

/// Shared by all runs of an engine.
pub(crate) struct Services {
    pub(crate) resolver: Arc<dyn Resolver>,
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
}
