//! What host interfaces of all runs share.

use std::sync::Arc;

use crate::net::resolve::Resolver;
use crate::net::tls::Roots;

/// Shared by all runs of an engine.
pub(crate) struct Services {
    pub(crate) resolver: Arc<dyn Resolver>,
    pub(crate) roots: Roots,
}

impl Services {
    pub(super) fn new(resolver: Arc<dyn Resolver>, extra_roots: Vec<Vec<u8>>) -> Self {
        Self {
            resolver,
            roots: Roots::new(extra_roots),
        }
    }
}
