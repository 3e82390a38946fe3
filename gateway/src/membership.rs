//! One session after another. All work belongs to a session, and ends with it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use picket_identity::name::TenantSlug;
use picket_identity::verify::{self, UnixTime};
use picket_proto::platform::v1::{
    Assignment as AssignmentMessage, Heartbeat, Hello, PlatformTrust, ReachabilityClaims,
};
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::assignment::{Assignment, Change, Unusable};
use crate::backoff::Backoff;
use crate::claims::Outbox;
use crate::clock::BootTime;
use crate::config::Config;
use crate::credentials::{self, Credentials};
use crate::ingest::Ingest;
use crate::lease::Fence;
use crate::own_identity;
use crate::platform::Link;
use crate::poll::{Poller, Shared};
use crate::session::{Event, Session, SessionError};
use crate::telemetry;
use crate::upkeep::issuer::Issuer;

/// The first try to join again is soon: most sessions end because one platform node restarts. The cap is half a lease: a
/// process that takes the place of one that was killed waits for that lease, and not much longer.
const REJOIN: Backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(5));

/// Polls in flight may end within this time at shutdown; an agent that is slower keeps its results for the next gateway.
const DRAIN_DEADLINE: Duration = Duration::from_secs(5);

/// How often to look whether a session's connection is about to end.
const LOOK_AT_THE_CLOCK: Duration = Duration::from_secs(1);

/// In seconds. A session that has less left ends with its connection.
const SHORTEST_SESSION: u64 = 5;

/// How long the platform has to end its side of the session at shutdown.
const LEAVE_DEADLINE: Duration = Duration::from_secs(1);

/// Claims are gathered for so long: hundreds of agents that fail together are one message.
const GATHER_CLAIMS: Duration = Duration::from_millis(100);

/// Joins the platform again and again.
#[derive(Debug)]
pub struct Membership {
    config: Config,
    link: Link,
    credentials: Credentials,
    joined: watch::Sender<bool>,
    stop: CancellationToken,
}

impl Membership {
    /// Joins through `link`; `joined` is true while there is a session that has its snapshot; `stop` ends it in order.
    pub fn new(config: Config, link: Link, joined: watch::Sender<bool>, stop: CancellationToken) -> Self {
        Self {
            config,
            link,
            credentials: Credentials::default(),
            joined,
            stop,
        }
    }

    /// Runs until it is stopped.
    pub async fn run(self) {
        let mut rng = StdRng::from_os_rng();
        let mut failures = 0_u32;
        while !self.stop.is_cancelled() {
            let outcome = self.one_session().await;
            if self.joined.send_replace(false) {
                failures = 0;
            }
            let error = match outcome {
                Ok(End::Stopped) => return telemetry::session_closed(),
                Ok(End::Moved) => {
                    telemetry::session_moved();
                    continue;
                }
                Err(error) => error,
            };
            failures = failures.saturating_add(1);
            let retry_in = REJOIN.delay(failures, &mut rng);
            telemetry::session_ended(error.as_str(), &error.to_string(), retry_in);
            tokio::select! {
                () = self.stop.cancelled() => {}
                () = sleep(retry_in) => {}
            }
        }
    }

    async fn one_session(&self) -> Result<End, SessionError> {
        self.link.reload_identity();
        let instance: Arc<str> = Uuid::new_v4().to_string().into();
        let fence = Fence::default();
        let join = async {
            let (channel, ends) = self.link.dial_until().await?;
            let hello = Hello {
                instance: instance.to_string(),
                version: env!("CARGO_PKG_VERSION").to_owned(),
                weight: self.config.weight,
                zone: self.config.zone.clone(),
                trust_sequence: self.link.identity().trust_sequence(),
            };
            let (session, snapshot) = Session::join(channel, hello, fence.clone()).await?;
            Ok::<_, SessionError>((session, snapshot, ends))
        };
        let (session, snapshot, ends) = tokio::select! {
            () = self.stop.cancelled() => return Ok(End::Stopped),
            joined = join => joined?,
        };

        let mut tasks = JoinSet::new();
        let (wanted, wanted_tenants) = watch::channel(Vec::new());
        let issuer = Issuer::new(self.link.clone(), Arc::clone(&instance), fence.clone());
        tasks.spawn(credentials::keep(
            self.credentials.clone(),
            self.link.clone(),
            wanted_tenants,
        ));
        let (platform_trust, told) = watch::channel(PlatformTrust::default());
        tasks.spawn(own_identity::keep(
            self.link.clone(),
            self.credentials.clone(),
            told,
        ));
        let outbox = Outbox::default();
        let in_flight = Arc::new(AtomicUsize::new(0));
        let shared = Shared {
            instance: Arc::clone(&instance),
            ingest: Ingest::start(self.link.clone(), self.config.limits.submits),
            fence,
            dials: Arc::new(Semaphore::new(self.config.limits.dials)),
            issuer,
        };
        let poller = Poller::new(
            shared,
            self.credentials.clone(),
            outbox.clone(),
            self.config.limits.polls,
            Arc::clone(&in_flight),
            StdRng::from_os_rng(),
        );
        let (changes, poller_changes) = mpsc::channel(16);
        let drain = CancellationToken::new();
        let polling = tasks.spawn(poller.run(poller_changes, drain.clone()));

        let mut work = Work {
            link: self.link.clone(),
            session,
            platform_trust,
            assignment: Assignment::default(),
            changes,
            wanted,
            outbox,
            in_flight,
            claims_at: Instant::now(),
        };
        let first = work.assignment.apply_snapshot(snapshot);
        telemetry::session_joined(
            &instance,
            &self.config.platform,
            work.assignment.len(),
            work.assignment.revision(),
        );
        work.pass_on(first).await;
        self.joined.send_replace(true);

        // A connection doesn't outlive the certificates that it was made with: a session goes over to the next ones before.
        let (outcome, end) = tokio::select! {
            outcome = work.go_on() => (outcome, None),
            () = self.stop.cancelled() => (Ok(()), Some(End::Stopped)),
            () = past_move(ends) => (Ok(()), Some(End::Moved)),
        };
        let outcome = match end {
            None => outcome,
            Some(end) => {
                drain.cancel();
                let polls_ended = async {
                    while !polling.is_finished() {
                        sleep(Duration::from_millis(20)).await;
                    }
                };
                work.wind_up(polls_ended, end).await
            }
        };
        // Polls must have ended before anybody can believe that this gateway has stopped.
        tasks.shutdown().await;
        work.session.leave(LEAVE_DEADLINE).await;
        match end {
            _ if self.stop.is_cancelled() => Ok(End::Stopped),
            Some(end) => Ok(end),
            None => outcome.map(|()| End::Stopped),
        }
    }
}

/// Why a session ended in order.
#[derive(Clone, Copy)]
enum End {
    /// The gateway stops.
    Stopped,
    /// One of the certificates behind its connection ends soon: there is to be another session.
    Moved,
}

/// Waits until it is time to leave a connection that ends at `ends`. Looks at the clock again and again: it may jump.
async fn past_move(ends: UnixTime) {
    let move_at = move_at(verify::now().as_secs(), ends.as_secs());
    while verify::now().as_secs() < move_at {
        sleep(LOOK_AT_THE_CLOCK).await;
    }
}

/// When to leave a connection that began at `now`, in seconds of Unix time: with a sixth of its time left, an hour at most.
const fn move_at(now: u64, ends: u64) -> u64 {
    let left = ends.saturating_sub(now);
    let margin = if left / 6 < 3_600 { left / 6 } else { 3_600 };
    // A certificate that nobody replaces must not make for a session a second.
    let margin = if margin < 2 { 2 } else { margin };
    let at = ends.saturating_sub(margin);
    if at < now + SHORTEST_SESSION {
        now + SHORTEST_SESSION
    } else {
        at
    }
}

/// What goes on during a session, beside the polls.
struct Work {
    link: Link,
    session: Session,
    platform_trust: watch::Sender<PlatformTrust>,
    assignment: Assignment,
    changes: mpsc::Sender<Vec<Change>>,
    wanted: watch::Sender<Vec<TenantSlug>>,
    outbox: Outbox,
    in_flight: Arc<AtomicUsize>,
    claims_at: Instant,
}

impl Work {
    /// Only ever returns with the reason why the session ended.
    async fn go_on(&mut self) -> Result<(), SessionError> {
        loop {
            let heartbeat_in = self.session.heartbeat_at().since(BootTime::now());
            let claims_at = self.claims_at;
            let claims = async {
                sleep_until(claims_at).await;
                self.outbox.filled().await;
            };
            tokio::select! {
                event = self.session.next() => match event? {
                    Event::Delta(delta) => self.apply(delta).await,
                    Event::Trust(trust) => drop(self.platform_trust.send_replace(trust)),
                    Event::Renewed => {}
                },
                () = sleep(heartbeat_in) => self.beat()?,
                () = claims => self.send_claims()?,
            }
        }
    }

    /// Lets the polls in flight end, and says what they found out. A gateway that stops says goodbye first; one that comes
    /// back at once keeps its agents.
    async fn wind_up(&mut self, polls_ended: impl Future<Output = ()>, end: End) -> Result<(), SessionError> {
        if matches!(end, End::Stopped) {
            self.session.drain()?;
        }
        tokio::select! {
            outcome = self.go_on() => outcome?,
            () = polls_ended => {}
            () = sleep(DRAIN_DEADLINE) => {}
        }
        self.send_claims()
    }

    async fn apply(&mut self, delta: AssignmentMessage) {
        let changed = self.assignment.apply_delta(delta);
        let removed = changed
            .0
            .iter()
            .filter(|change| matches!(change, Change::Remove(_)))
            .count();
        telemetry::assignment_changed(
            changed.0.len() - removed,
            removed,
            self.assignment.len(),
            self.assignment.revision(),
        );
        self.pass_on(changed).await;
    }

    async fn pass_on(&mut self, (changes, unusable): (Vec<Change>, Vec<Unusable>)) {
        for unusable in &unusable {
            telemetry::agent_unusable(unusable);
        }
        // The certificates first: the first polls will want them.
        let tenants = self.assignment.tenants();
        self.wanted.send_if_modified(|wanted| {
            let modified = *wanted != tenants;
            *wanted = tenants;
            modified
        });
        // The poller ends before this only when the session does.
        let _ = self.changes.send(changes).await;
    }

    fn beat(&mut self) -> Result<(), SessionError> {
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        self.session.beat(Heartbeat {
            revision: self.assignment.revision(),
            agents: count(self.assignment.len()),
            polls_in_flight: count(self.in_flight.load(Ordering::Relaxed)),
            trust_sequence: self.link.identity().trust_sequence(),
        })
    }

    fn send_claims(&mut self) -> Result<(), SessionError> {
        self.claims_at = Instant::now() + GATHER_CLAIMS;
        // Claims wait where heartbeats might have to.
        if !self.session.has_room() {
            return Ok(());
        }
        let claims = self.outbox.take();
        if claims.is_empty() {
            return Ok(());
        }
        telemetry::claims_sent(claims.len());
        self.session.claim(ReachabilityClaims { claims })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_goes_over_before_its_connection_ends() {
        assert_eq!(move_at(1_000, 1_000 + 3_600), 1_000 + 3_000);
        assert_eq!(move_at(1_000, 1_000 + 86_400 * 7), 1_000 + 86_400 * 7 - 3_600);
        assert_eq!(move_at(1_000, 1_012), 1_010);
    }

    #[test]
    fn a_connection_without_a_future_makes_for_no_session_a_second() {
        assert_eq!(move_at(1_000, 1_003), 1_005);
        assert_eq!(move_at(1_000, 900), 1_005);
    }
}
