//! Each second, on any node: who died, and the planner's moves. There is no leader: the write lock is what makes one node
//! at a time do it, and a second one finds nothing left to do.

use std::time::Duration;

use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;

use super::LEASE_MS;
use super::planner::{self, GatewayView, ShardView};
use crate::app::Services;
use crate::clock::UnixMs;
use crate::events::{Event, EventKind};
use crate::metrics::coordination as report;
use crate::store::gateways::Gateway;
use crate::store::shards::{Shard, Tick};
use crate::store::{self, StoreError, Write};

const EVERY: Duration = Duration::from_secs(1);

/// How often a tick is noted where nothing else is written: several times in a lease, so that a gap says that nobody
/// looked for that long.
const NOTE_EVERY_MS: i64 = LEASE_MS / 4;

/// From how many gateways on the death of most of them at once is doubted.
const DOUBT_FROM: usize = 3;

/// Reconciles until it is told to stop; at once when a gateway changes.
pub async fn run(services: Services, stop: CancellationToken) {
    let mut events = services.events.subscribe();
    loop {
        if let Err(error) = all(&services).await {
            report::reconcile_failed(&error);
        }
        let woken = async {
            loop {
                match events.recv().await {
                    Ok(event) if event.kind == EventKind::Gateway => return,
                    Ok(_) => {}
                    Err(RecvError::Lagged(_)) => return,
                    Err(RecvError::Closed) => std::future::pending().await,
                }
            }
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(EVERY) => {}
            () = woken => {}
        }
    }
}

/// Reconciles every pool once.
///
/// # Errors
/// [`StoreError`].
pub async fn all(services: &Services) -> Result<(), StoreError> {
    let pools = store::registry::pools(&mut *services.store.read().await?).await?;
    for pool in pools {
        pool_once(services, &pool.name).await?;
    }
    Ok(())
}

/// Reconciles one pool. What is to be done is found on a reader; the writer looks again before it does it.
///
/// # Errors
/// [`StoreError`].
pub async fn pool_once(services: &Services, pool: &str) -> Result<(), StoreError> {
    let now = services.store.now().await?;
    let mut snapshot = services.store.snapshot().await?;
    let found = Found::read(&mut snapshot, pool).await?;
    snapshot.rollback().await?;
    let work = found.work(pool, now);
    if work.is_empty()
        && found
            .tick
            .as_ref()
            .is_some_and(|tick| now - tick.last_tick_at < NOTE_EVERY_MS)
    {
        return Ok(());
    }
    let mut write = services.store.write().await?;
    let found = Found::read(&mut write, pool).await?;
    let work = found.work(pool, write.now());
    let events = perform(&mut write, pool, &work).await?;
    write.commit().await?;
    if let Some(until) = work.held_anew {
        report::held(pool, until);
    }
    work.dead
        .iter()
        .for_each(|gateway| report::died(pool, &gateway.name));
    if !work.moves.is_empty() {
        report::moved(pool, work.moves.len());
    }
    events
        .into_iter()
        .for_each(|event| services.events.publish(event));
    Ok(())
}

async fn perform(write: &mut Write, pool: &str, work: &Work) -> Result<Vec<Event>, StoreError> {
    let now = write.now();
    let tick = Tick {
        last_tick_at: now,
        hold_until_at: work.hold_until,
    };
    store::shards::set_tick(write, pool, &tick).await?;
    let mut events = Vec::new();
    for gateway in &work.dead {
        let Some(instance) = &gateway.instance else {
            continue;
        };
        if store::gateways::leave(write, &gateway.name, instance, "dead", now).await? {
            events.push(Event::gateway(&gateway.name, now));
        }
    }
    for step in &work.moves {
        if store::shards::reassign(write, pool, step.shard, step.epoch, &step.to, &step.instance).await? {
            events.push(Event::gateway(&step.to, now));
        }
    }
    events.dedup();
    Ok(events)
}

/// A pool as it was found.
struct Found {
    gateways: Vec<Gateway>,
    shards: Vec<Shard>,
    tick: Option<Tick>,
}

/// What is to be done.
#[derive(Debug, Default)]
struct Work {
    dead: Vec<Gateway>,
    moves: Vec<planner::Move>,
    hold_until: UnixMs,
    /// Set where deaths are put off from now on.
    held_anew: Option<UnixMs>,
}

impl Work {
    fn is_empty(&self) -> bool {
        self.dead.is_empty() && self.moves.is_empty() && self.held_anew.is_none()
    }
}

impl Found {
    async fn read(connection: &mut store::Connection, pool: &str) -> Result<Self, StoreError> {
        Ok(Self {
            gateways: store::gateways::of_pool(connection, pool).await?,
            shards: store::shards::of_pool(connection, pool).await?,
            tick: store::shards::tick(connection, pool).await?,
        })
    }

    fn work(&self, pool: &str, now: UnixMs) -> Work {
        let (mut hold_until, last_tick) = self
            .tick
            .as_ref()
            .map_or((0, None), |tick| (tick.hold_until_at, Some(tick.last_tick_at)));
        let active: Vec<&Gateway> = self
            .gateways
            .iter()
            .filter(|gateway| {
                gateway.instance.is_some() && ["live", "draining"].contains(&gateway.state.as_str())
            })
            .collect();
        let (mut living, mut dead): (Vec<&Gateway>, Vec<&Gateway>) =
            active.into_iter().partition(|gateway| gateway.expires_at > now);
        // Nobody looked for a whole lease, or the clock jumped: then nobody could renew either.
        let was_away = last_tick.is_some_and(|at| now - at > LEASE_MS || now < at);
        let doubtful = living.len() + dead.len() >= DOUBT_FROM && dead.len() * 2 > living.len() + dead.len();
        // A hold that has just run out isn't renewed by the same doubt: then they are dead.
        let may_doubt = hold_until == 0 || now - hold_until > 2 * LEASE_MS;
        let mut held_anew = None;
        if now >= hold_until && !dead.is_empty() && (was_away || doubtful && may_doubt) {
            hold_until = now + LEASE_MS;
            held_anew = Some(hold_until);
        }
        if now < hold_until {
            living.append(&mut dead);
        }
        let moves = planner::plan(
            pool,
            &self.views(),
            &living.into_iter().map(view).collect::<Vec<_>>(),
        );
        Work {
            dead: dead.into_iter().cloned().collect(),
            moves,
            hold_until,
            held_anew,
        }
    }

    fn views(&self) -> Vec<ShardView> {
        let view = |shard: &Shard| ShardView {
            number: shard.number,
            owner: shard.owner.clone().zip(shard.owner_instance.clone()),
            epoch: shard.epoch,
        };
        self.shards.iter().map(view).collect()
    }
}

fn view(gateway: &Gateway) -> GatewayView {
    GatewayView {
        name: gateway.name.clone(),
        instance: gateway.instance.clone().unwrap_or_default(),
        weight: u32::try_from(gateway.weight.clamp(1, 1_000)).unwrap_or(1),
        draining: gateway.state == "draining",
    }
}
