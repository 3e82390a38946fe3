//! Notices what other processes wrote to the same database: a cheap marker says that something was committed, and then
//! what changed lately is read and published, unless this process published it itself.

use std::time::Duration;

use sqlx::Row as _;
use tokio_util::sync::CancellationToken;

use super::{Event, EventBus};
use crate::clock::UnixMs;
use crate::metrics::serving as report;
use crate::store::{Connection, Result, Store, dialect};

/// How often to look at the marker.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// How far behind the last look is read again: a transaction takes its time when it begins, and may be committed later.
const OVERLAP_MS: i64 = 5_000;

/// Watches until it is told to stop.
pub async fn run(store: Store, events: EventBus, stop: CancellationToken) {
    let mut watcher = Watcher::default();
    loop {
        if let Err(error) = watcher.watch(&store, &events, &stop).await {
            report::watch_failed(&error);
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}

#[derive(Debug, Default)]
struct Watcher {
    /// Up to when changes were read.
    seen: Option<UnixMs>,
}

impl Watcher {
    /// Holds one connection: the marker is only comparable with itself on the same one.
    async fn watch(&mut self, store: &Store, events: &EventBus, stop: &CancellationToken) -> Result<()> {
        let mut connection = store.read().await?;
        let mut marker = None;
        while !stop.is_cancelled() {
            let found: i64 = sqlx::query(dialect::SELECT_CHANGE_MARKER)
                .fetch_one(&mut *connection)
                .await?
                .try_get(0)?;
            if marker != Some(found) {
                marker = Some(found);
                let now = store.now().await?;
                // What was there before this process began to look is nobody's news.
                let after = self.seen.unwrap_or(now) - OVERLAP_MS;
                for event in changes(&mut connection, after).await? {
                    events.publish_if_new(event);
                }
                self.seen = Some(now);
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
        Ok(())
    }
}

/// What changed after `after`, of every tenant.
async fn changes(connection: &mut Connection, after: UnixMs) -> Result<Vec<Event>> {
    let mut events = Vec::new();
    let rows: Vec<(String, String, String, i64)> =
        sqlx::query_as("SELECT tenant, agent, name, received_at FROM check_state WHERE received_at > $1")
            .bind(after)
            .fetch_all(&mut *connection)
            .await?;
    events.extend(
        rows.iter()
            .map(|(tenant, agent, name, at)| Event::check(tenant, agent, name, *at)),
    );
    let rows: Vec<(String, String, String, i64)> =
        sqlx::query_as("SELECT tenant, agent, id, changed_at FROM alert WHERE changed_at > $1")
            .bind(after)
            .fetch_all(&mut *connection)
            .await?;
    events.extend(
        rows.iter()
            .map(|(tenant, agent, id, at)| Event::alert(tenant, agent, id, *at)),
    );
    let rows: Vec<(String, String, i64)> = sqlx::query_as(
        "SELECT tenant, agent, reported_at FROM agent_reach WHERE reported_at > $1 \
         UNION ALL SELECT tenant, agent, changed_at FROM registry_change WHERE changed_at > $1 AND agent <> ''",
    )
    .bind(after)
    .fetch_all(&mut *connection)
    .await?;
    events.extend(
        rows.iter()
            .map(|(tenant, agent, at)| Event::agent(tenant, agent, *at)),
    );
    let rows: Vec<(String, i64)> =
        sqlx::query_as("SELECT slug, created_at FROM tenant WHERE created_at > $1")
            .bind(after)
            .fetch_all(&mut *connection)
            .await?;
    events.extend(rows.iter().map(|(tenant, at)| Event::tenant(tenant, *at)));
    let rows: Vec<(String, i64)> =
        sqlx::query_as("SELECT name, changed_at FROM gateway WHERE changed_at > $1")
            .bind(after)
            .fetch_all(&mut *connection)
            .await?;
    events.extend(rows.iter().map(|(gateway, at)| Event::gateway(gateway, *at)));
    Ok(events)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_another_process_commits_is_noticed_within_a_second() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("picket.db");
        let store = Store::create(&path).await.unwrap();
        let events = EventBus::default();
        let mut received = events.subscribe();
        let stop = CancellationToken::new();
        let watching = tokio::spawn(run(store.clone(), events.clone(), stop.clone()));

        let other = Store::open(&path).await.unwrap();
        let mut write = other.write().await.unwrap();
        let now = write.now();
        crate::store::tenants::insert(&mut write, "acme", "Acme", now)
            .await
            .unwrap();
        write.commit().await.unwrap();

        let event = tokio::time::timeout(Duration::from_secs(5), received.recv())
            .await
            .unwrap()
            .unwrap();
        assert_eq!(event, Event::tenant("acme", now));
        stop.cancel();
        watching.await.unwrap();
    }
}
