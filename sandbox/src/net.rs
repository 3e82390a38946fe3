//! Names, addresses and TLS, as host interfaces use them.

pub(crate) mod certificate;
pub(crate) mod connect;
pub(crate) mod counted;
pub(crate) mod guard;
mod learn;
pub mod resolve;
pub(crate) mod stream;
pub(crate) mod tls;
