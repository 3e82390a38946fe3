//! Who polls whom. Gateways hold leases; the shards of a pool are spread over its live gateways under epochs that only
//! rise; each gateway is told its agents.
//!
//! Exactly-once storage doesn't depend on any of this (ingest's cursor sees to that): leases save work, and stop false
//! claims about reachability.
//!
//! - [`planner`]: which shard goes where. A pure function.
//! - [`reconcile`]: each second, on any node, without a leader: who died, and the planner's moves.
//! - [`lease`]: joining, renewing, draining, leaving.
//! - [`assignment`]: what a gateway is told.
//! - [`claims`]: what a gateway says about its agents.
//! - [`session`]: the gRPC face.

pub mod assignment;
pub mod claims;
pub mod lease;
pub mod planner;
pub mod reconcile;
pub mod session;

/// How long a gateway may act after it was last heard of. A silent partition costs this long.
pub const LEASE_MS: i64 = 10_000;

/// How often a gateway renews: three tries fit into a lease.
pub const HEARTBEAT_MS: i64 = 3_000;

/// How long a gateway whose session broke off keeps its shards: it usually comes back at once.
pub const BROKEN_SESSION_MS: i64 = 4_000;
