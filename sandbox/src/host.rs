//! What checkers may import besides WASI, one module each.

pub(crate) mod facts;
pub(crate) mod http;
pub(crate) mod icmp;
pub mod secret;
pub mod state;
pub(crate) mod tls;
