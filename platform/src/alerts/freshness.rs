//! Checks whose results stopped coming. That an agent can't be reached is one alert about the agent, not one about each
//! of its checks; and while nothing at all comes from an agent, the fault may be ours.

use std::collections::HashSet;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::Kind;
use crate::app::Services;
use crate::metrics::alerts as report;
use crate::store::alerts::Content;
use crate::store::checks::Freshness;
use crate::store::views::freshness::is_stale;
use crate::store::{self, StoreError};

/// How often to look. Staleness is counted in tens of seconds.
const LOOK_EVERY: Duration = Duration::from_secs(5);

type Key = (String, String, String);

/// What is wanted about one check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// An alert.
    Alert,
    /// None.
    Quiet,
}

/// Whether a check's silence is worth an alert: it is stale, its agent is reachable, and the agent has delivered
/// something since the check's newest result should have been followed by another.
#[must_use]
pub fn wanted(check: &Freshness, now: i64) -> Wanted {
    let unreachable = check.reachability.as_deref() != Some("reachable");
    let stale = is_stale(
        false,
        check.received_at,
        check.interval_ms,
        check.poll_interval_ms,
        now,
    );
    let delivers = check.delivered_at.is_some_and(|delivered| {
        is_stale(
            false,
            check.received_at,
            check.interval_ms,
            check.poll_interval_ms,
            delivered,
        )
    });
    if stale && delivers && !unreachable {
        Wanted::Alert
    } else {
        Wanted::Quiet
    }
}

/// Looks again and again until it is told to stop.
pub async fn run(services: Services, stop: CancellationToken) {
    let mut suspects = HashSet::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
        if let Err(error) = look(&services, &mut suspects).await {
            report::scan_failed(&error);
        }
    }
}

/// Looks once. A check has to be found stale in two looks: while a backlog is being delivered, a check's next result may
/// be in the next batch.
///
/// # Errors
/// [`StoreError`].
pub async fn look(services: &Services, suspects: &mut HashSet<Key>) -> Result<(), StoreError> {
    let now = services.store.now().await?;
    let checks = store::checks::overdue(&mut *services.store.read().await?, now).await?;
    let key = |check: &Freshness| (check.tenant.clone(), check.agent.clone(), check.name.clone());
    let (stale, quiet): (Vec<_>, Vec<_>) = checks
        .iter()
        .partition(|check| wanted(check, now) == Wanted::Alert);
    let found: HashSet<Key> = stale.iter().map(|check| key(check)).collect();
    let raise: Vec<_> = stale
        .into_iter()
        .filter(|check| check.alerted == 0 && suspects.contains(&key(check)))
        .collect();
    let resolve: Vec<_> = quiet.into_iter().filter(|check| check.alerted != 0).collect();
    *suspects = found;
    if raise.is_empty() && resolve.is_empty() {
        return Ok(());
    }
    let mut events = Vec::new();
    let mut write = services.store.write().await?;
    let now = write.now();
    for check in raise {
        let subject = Kind::CheckStale.subject(&check.tenant, &check.agent, &check.name);
        let content = Content {
            severity: "warning",
            summary: format!(
                "no result of {} for {} s",
                check.name,
                (now - check.received_at) / 1000
            ),
            cause: "no_result".to_owned(),
        };
        events.extend(super::apply(&mut write, &subject, Some(content), now).await?);
    }
    for check in resolve {
        let subject = Kind::CheckStale.subject(&check.tenant, &check.agent, &check.name);
        events.extend(super::apply(&mut write, &subject, None, now).await?);
    }
    write.commit().await?;
    events
        .into_iter()
        .for_each(|event| services.events.publish(event));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check() -> Freshness {
        Freshness {
            tenant: "acme".into(),
            agent: "berlin-1".into(),
            name: "web".into(),
            interval_ms: 1_000,
            received_at: 0,
            delivered_at: Some(100_000),
            poll_interval_ms: 1_000,
            reachability: Some("reachable".into()),
            alerted: 0,
        }
    }

    #[test]
    fn a_check_that_fell_silent_while_its_agent_delivers_is_alerted() {
        assert_eq!(wanted(&check(), 100_000), Wanted::Alert);
    }

    #[test]
    fn the_checks_of_an_unreachable_agent_are_not_alerted() {
        let check = Freshness {
            reachability: Some("unreachable".into()),
            ..check()
        };
        assert_eq!(wanted(&check, 100_000), Wanted::Quiet);
    }

    #[test]
    fn while_nothing_comes_from_the_agent_no_single_check_is_blamed() {
        let check = Freshness {
            delivered_at: Some(0),
            ..check()
        };
        assert_eq!(wanted(&check, 100_000), Wanted::Quiet);
    }

    #[test]
    fn a_fresh_check_is_quiet() {
        assert_eq!(wanted(&check(), 10_000), Wanted::Quiet);
    }
}
