//! Keys and certificates of a gateway or a platform node from a SPIFFE Workload API socket (SPIRE), instead of from files.
//!
//! A crate of its own, so that no agent links a client of anything.
//!
//! - [`Socket`]: where the Workload API is, as a configuration says it. The environment is never asked.
//! - [`Svid`]: one answer of it, found good by our own verifier.
//! - [`Source`]: keeps the last good one, and asks again.
//!
//! Nothing of it is ever written to a disk.

mod problem;
mod report;
mod socket;
mod source;
mod svid;

pub use problem::Problem;
pub use socket::{Socket, SocketError};
pub use source::Source;
pub use svid::{Svid, SvidError};
