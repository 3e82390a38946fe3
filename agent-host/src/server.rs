//! What gateways ask of this agent. Reached only over mutual TLS, by peers that are verified before a byte of theirs gets
//! here; each call checks again who is asking, and everything is refused by default.
//!
//! - [`authorise`]: who may call.
//! - [`agent`]: `Describe`, `RunCheck`, and the door to `Pull`.
//! - [`pull`]: one pull: batches within the gateway's credit, acknowledgements, following.
//! - [`seal`]: results as a signed batch.
//! - [`renewal`]: the next certificate.
//! - [`trust`]: what the platform says that this agent is to trust.
//! - [`health`]: the health service.
//! - [`observe`]: what the listener does, for log and metrics.

pub mod agent;
pub mod authorise;
pub mod health;
pub mod observe;
pub mod pull;
pub mod renewal;
pub mod seal;
pub mod trust;
