//! A certificate that was issued is `pending` until it is first seen in use. Then it is the current one, and those before
//! it are superseded: they stay good for a while, for what is under way, and are retired by [`super::upkeep`].

use crate::store::agents::Refused;
use crate::store::certificates::Certificate;
use crate::store::{self, StoreError, Write};

/// How long a superseded certificate is still taken: longer than any poll or call that began under it.
pub const SUPERSEDED_GRACE_MS: i64 = 15 * 60_000;

/// An agent was seen with a certificate of its own. Returns whether that changed anything.
///
/// # Errors
/// [`StoreError`].
pub async fn of_agent(
    write: &mut Write,
    pool: &str,
    tenant: &str,
    agent: &str,
    seen: &Certificate,
) -> Result<bool, StoreError> {
    let now = write.now();
    if seen.state != "pending" || !store::certificates::promote(write, seen, now).await? {
        return Ok(false);
    }
    store::activations::finish(write, tenant, agent, &seen.serial).await?;
    store::agents::set_recovery_approval(write, tenant, agent, None).await?;
    store::agents::note_refusal(write, tenant, agent, Refused::default()).await?;
    store::registry::record_change(write, pool, tenant, agent, "upsert", now).await?;
    Ok(true)
}

/// A gateway called with a certificate of its own.
///
/// # Errors
/// [`StoreError`].
pub async fn of_gateway(write: &mut Write, seen: &Certificate) -> Result<bool, StoreError> {
    let now = write.now();
    store::certificates::promote(write, seen, now).await
}
