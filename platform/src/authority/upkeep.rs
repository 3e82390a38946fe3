//! What comes of time alone: superseded certificates whose time of grace is over are taken from the active ones, and an
//! agent that has a certificate stops waiting for an enrolment whose file has expired. On every node, without a leader: the
//! second one finds nothing left to do.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::first_use::SUPERSEDED_GRACE_MS;
use crate::app::Services;
use crate::clock::UnixMs;
use crate::events::Event;
use crate::metrics::authority as report;
use crate::store::certificates::Certificate;
use crate::store::{self, Connection, StoreError, Write};

/// How often. What it ends was good for minutes.
const EVERY: Duration = Duration::from_secs(5);

/// Looks again and again until it is told to stop.
pub async fn run(services: Services, stop: CancellationToken) {
    loop {
        if let Err(error) = once(&services).await {
            report::upkeep_failed(&error);
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}

/// What is to be done now.
struct Due {
    retired: Vec<Certificate>,
    lapsed: Vec<(String, String)>,
}

impl Due {
    async fn read(connection: &mut Connection, now: UnixMs) -> Result<Self, StoreError> {
        Ok(Self {
            retired: store::certificates::in_grace_since(connection, now - SUPERSEDED_GRACE_MS).await?,
            lapsed: store::activations::lapsed(connection, now).await?,
        })
    }

    fn is_empty(&self) -> bool {
        self.retired.is_empty() && self.lapsed.is_empty()
    }
}

/// Looks once.
///
/// # Errors
/// [`StoreError`].
pub async fn once(services: &Services) -> Result<(), StoreError> {
    let now = services.store.now().await?;
    // Found on a reader; the writer looks again before it does anything.
    let due = Due::read(&mut *services.store.read().await?, now).await?;
    if due.is_empty() {
        return Ok(());
    }
    let mut write = services.store.write().await?;
    let now = write.now();
    let due = Due::read(&mut write, now).await?;
    let mut events = Vec::new();
    for certificate in &due.retired {
        store::certificates::retire(&mut write, certificate, now).await?;
        if let ("agent", Some(tenant)) = (certificate.subject_kind.as_str(), &certificate.tenant) {
            events.extend(tell(&mut write, tenant, &certificate.subject, now).await?);
        }
    }
    for (tenant, agent) in &due.lapsed {
        store::activations::close(&mut write, tenant, agent).await?;
        events.extend(tell(&mut write, tenant, agent, now).await?);
    }
    write.commit().await?;
    events
        .into_iter()
        .for_each(|event| services.events.publish(event));
    Ok(())
}

/// Has the agent's gateway look again.
async fn tell(
    write: &mut Write,
    tenant: &str,
    agent: &str,
    now: UnixMs,
) -> Result<Option<Event>, StoreError> {
    let Some(registered) = store::agents::find(write, tenant, agent).await? else {
        return Ok(None);
    };
    store::registry::record_change(write, &registered.pool, tenant, agent, "upsert", now).await?;
    Ok(Some(Event::agent(tenant, agent, now)))
}
