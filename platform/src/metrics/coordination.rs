//! What coordination says.

use metrics::{counter, describe_counter, describe_gauge, gauge};

use crate::store::StoreError;

const SESSIONS: &str = "picket_platform_gateway_sessions";
const MOVES: &str = "picket_platform_shard_moves_total";
const DEATHS: &str = "picket_platform_gateway_deaths_total";
const CLAIMS: &str = "picket_platform_claims_total";

pub(super) fn describe() {
    describe_gauge!(SESSIONS, "Gateways with a session on this node");
    describe_counter!(MOVES, "Shards that were given to a gateway");
    describe_counter!(DEATHS, "Gateways whose lease ended unrenewed");
    describe_counter!(CLAIMS, "Claims about reachability, by whether they were written");
}

/// A gateway joined.
pub fn joined(gateway: &str, instance: &str) {
    gauge!(SESSIONS).increment(1.0);
    tracing::info!(gateway, instance, "gateway joined");
}

/// A gateway's session ended.
pub fn left(gateway: &str, instance: &str, why: &str) {
    gauge!(SESSIONS).decrement(1.0);
    tracing::info!(gateway, instance, why, "gateway session ended");
}

/// A gateway was turned away.
pub fn refused(gateway: &str, why: &str) {
    tracing::warn!(gateway, why, "gateway refused");
}

/// Shards moved.
pub fn moved(pool: &str, shards: usize) {
    counter!(MOVES).increment(shards as u64);
    tracing::info!(pool, shards, "shards moved");
}

/// A gateway's lease ended.
pub fn died(pool: &str, gateway: &str) {
    counter!(DEATHS).increment(1);
    tracing::warn!(pool, gateway, "a gateway's lease ended; its shards go to others");
}

/// Deaths were put off.
pub fn held(pool: &str, until: i64) {
    tracing::warn!(
        pool,
        until,
        "no gateway is declared dead for now: the clock or the database was away"
    );
}

/// A claim was taken, or not.
pub fn claimed(written: bool) {
    counter!(CLAIMS, "written" => if written { "yes" } else { "no" }).increment(1);
}

/// Reconciling failed.
pub fn reconcile_failed(error: &StoreError) {
    tracing::warn!(%error, "reconciling failed; it is tried again");
}

/// A session failed on the database, or on the authorities.
pub fn session_failed(gateway: &str, error: &dyn std::fmt::Display) {
    tracing::warn!(gateway, %error, "a gateway's session ended on an error of ours; it will come back");
}
