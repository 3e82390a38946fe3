//! Joining, renewing, draining, leaving.

use super::{BROKEN_SESSION_MS, HEARTBEAT_MS, LEASE_MS};
use crate::app::Services;
use crate::events::Event;
use crate::store::gateways::Joining;
use crate::store::{self, StoreError, to_db};

/// A gateway whose lease ends later than this from now was heard of within the last heartbeat and a bit: it lives.
const HEARD_MS: i64 = LEASE_MS - HEARTBEAT_MS - 1_000;

/// What became of a wish to join.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Joined {
    /// It has the lease, in this pool.
    Lease {
        /// The pool.
        pool: String,
    },
    /// It may not have it; why.
    Refused(String),
}

/// Gives a process the gateway's lease. A process that lives keeps it: two with one certificate would take it from each
/// other for ever.
///
/// # Errors
/// [`StoreError`].
pub async fn join(services: &Services, name: &str, joining: &Joining<'_>) -> Result<Joined, StoreError> {
    let mut write = services.store.write().await?;
    let now = write.now();
    let Some(gateway) = store::gateways::find(&mut write, name).await? else {
        return Ok(Joined::Refused(format!("there is no gateway {name}")));
    };
    if gateway.revoked_at.is_some() {
        return Ok(Joined::Refused(format!("gateway {name} was revoked")));
    }
    let another = gateway
        .instance
        .as_deref()
        .is_some_and(|instance| instance != joining.instance);
    if another && gateway.state == "live" && gateway.expires_at - now > HEARD_MS {
        return Ok(Joined::Refused(format!(
            "another process of {name} is alive; stop it, or give this one a name of its own"
        )));
    }
    store::gateways::join(&mut write, name, joining, now, now + LEASE_MS).await?;
    write.commit().await?;
    services.events.publish(Event::gateway(name, now));
    Ok(Joined::Lease { pool: gateway.pool })
}

/// Renews a lease. False where the process has it no more.
///
/// # Errors
/// [`StoreError`].
pub async fn renew(
    services: &Services,
    name: &str,
    instance: &str,
    agents: u32,
    trust_sequence: u64,
) -> Result<bool, StoreError> {
    let mut write = services.store.write().await?;
    let now = write.now();
    let said = (i64::from(agents), to_db(trust_sequence));
    let renewed = store::gateways::renew(&mut write, name, instance, said, now, now + LEASE_MS).await?;
    write.commit().await?;
    Ok(renewed)
}

/// The gateway is about to stop: its shards may move at once.
///
/// # Errors
/// [`StoreError`].
pub async fn drain(services: &Services, name: &str, instance: &str) -> Result<(), StoreError> {
    let mut write = services.store.write().await?;
    let now = write.now();
    store::gateways::set_state(&mut write, name, instance, "draining", now).await?;
    write.commit().await?;
    services.events.publish(Event::gateway(name, now));
    Ok(())
}

/// The session has ended. One that drained has left; another one gets a little while to come back.
///
/// # Errors
/// [`StoreError`].
pub async fn session_ended(
    services: &Services,
    name: &str,
    instance: &str,
    drained: bool,
) -> Result<(), StoreError> {
    let mut write = services.store.write().await?;
    let now = write.now();
    if drained {
        store::gateways::leave(&mut write, name, instance, "absent", now).await?;
    } else {
        store::gateways::shorten(&mut write, name, instance, now + BROKEN_SESSION_MS).await?;
    }
    write.commit().await?;
    services.events.publish(Event::gateway(name, now));
    Ok(())
}
