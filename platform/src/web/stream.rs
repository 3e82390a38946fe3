//! Server-sent events: hints that something changed, for pages and for the API.
//!
//! A stream begins with a `snapshot` (the totals at that moment), or, where the client names the last event that it saw
//! and it is still known, with what it missed. Hints are gathered for a tenth of a second, so that a burst of results is
//! one event. They carry names, no data: whoever gets one reads again what it shows.

use std::collections::{HashSet, VecDeque};
use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::{Query, State};
use axum::response::sse::{Event as Sent, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt as _;
use http::HeaderMap;
use serde::{Deserialize, Serialize};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, broadcast};
use tokio_stream::wrappers::BroadcastStream;
use tokio_util::sync::CancellationToken;

use super::WebState;
use super::error::PageError;
use super::session::SignedIn;
use crate::clock::UnixMs;
use crate::events::{Event, EventBus, EventKind};
use crate::store::views::alerts;
use crate::store::views::fleet::{Counts, Filter};

/// How long hints are gathered: ten events a second at most, however many results come in.
const GATHER: Duration = Duration::from_millis(100);

/// Batches of hints that are kept for clients that come back: at ten a second, 50 s.
const KEPT: usize = 512;

/// Batches that a slow client may lag behind before it gets a snapshot instead.
const CHANNEL: usize = 256;

/// Hints in one batch. With more than that, a batch says "anything may have changed".
const MAX_CHANGES: usize = 500;

/// Streams at once. Each costs a task and its buffers, about 30 KB.
const MAX_STREAMS: usize = 2_000;

/// A stream sends something at least this often, so that a proxy or a browser sees that it lives.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Hints of a tenth of a second.
#[derive(Debug)]
struct Batch {
    number: u64,
    at: UnixMs,
    /// Empty: anything may have changed.
    changes: Vec<Event>,
}

#[derive(Debug, Default)]
struct Kept {
    batches: VecDeque<Arc<Batch>>,
}

struct Subscription {
    receiver: broadcast::Receiver<Arc<Batch>>,
    /// What came after the event that the client saw last; `None`: that one isn't known any more.
    missed: Option<Vec<Arc<Batch>>>,
    /// The newest batch's number.
    newest: u64,
}

/// Gathers this process's hints into numbered batches. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Hub(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// Another one for each start of the process: numbers of another life are not ours.
    life: String,
    revision: AtomicU64,
    kept: Mutex<Kept>,
    sender: broadcast::Sender<Arc<Batch>>,
    streams: Arc<Semaphore>,
    shutdown: CancellationToken,
}

impl Hub {
    /// Starts gathering. Ends with the last clone, with the bus, or with `shutdown`.
    #[must_use]
    pub fn start(bus: &EventBus, shutdown: &CancellationToken) -> Self {
        let (sender, _) = broadcast::channel(CHANNEL);
        let shared = Arc::new(Shared {
            life: format!("{:08x}", rand::random::<u32>()),
            revision: AtomicU64::new(0),
            kept: Mutex::default(),
            sender,
            streams: Arc::new(Semaphore::new(MAX_STREAMS)),
            shutdown: shutdown.clone(),
        });
        let weak = Arc::downgrade(&shared);
        let mut events = bus.subscribe();
        let shutdown = shutdown.clone();
        tokio::spawn(async move {
            loop {
                let first = tokio::select! {
                    () = shutdown.cancelled() => return,
                    event = events.recv() => event,
                };
                if matches!(first, Err(broadcast::error::RecvError::Closed)) {
                    return;
                }
                // The first of a batch is sent at once; what follows within `GATHER` goes into the next.
                let batch = gather(first, &mut events);
                let Some(shared) = weak.upgrade() else { return };
                shared.publish(batch);
                drop(shared);
                tokio::time::sleep(GATHER).await;
            }
        });
        Self(shared)
    }

    /// Rises with each batch.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.0.revision.load(Ordering::SeqCst)
    }
}

type Received = Result<Event, broadcast::error::RecvError>;

/// The first event and all that wait behind it; `None`: some were lost, so anything may have changed.
fn gather(first: Received, events: &mut broadcast::Receiver<Event>) -> Option<Vec<Event>> {
    let mut changes = vec![first.ok()?];
    let mut seen: HashSet<(EventKind, String, String, String)> = HashSet::new();
    loop {
        match events.try_recv() {
            Ok(event) => changes.push(event),
            Err(broadcast::error::TryRecvError::Lagged(_)) => return None,
            Err(_) => break,
        }
    }
    changes.retain(|event| {
        seen.insert((
            event.kind,
            event.tenant.clone(),
            event.agent.clone(),
            event.name.clone(),
        ))
    });
    (changes.len() <= MAX_CHANGES).then_some(changes)
}

impl Shared {
    fn publish(&self, changes: Option<Vec<Event>>) {
        let changes = changes.unwrap_or_default();
        let at = changes
            .iter()
            .map(|event| event.at)
            .max()
            .unwrap_or_else(crate::clock::system_now);
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let number = self.revision.fetch_add(1, Ordering::SeqCst) + 1;
        let batch = Arc::new(Batch { number, at, changes });
        if kept.batches.len() >= KEPT {
            kept.batches.pop_front();
        }
        kept.batches.push_back(batch.clone());
        // Under the lock, so that a new subscriber has each batch either from `kept` or from the channel. An error only
        // says that nobody listens.
        let _nobody = self.sender.send(batch);
    }

    /// A subscription from now on, and what came before it.
    fn subscribe(&self, last: Option<&str>) -> Subscription {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let receiver = self.sender.subscribe();
        let newest = self.revision.load(Ordering::SeqCst);
        let oldest = kept.batches.front().map_or(newest + 1, |batch| batch.number);
        let missed = last
            .and_then(|id| {
                id.strip_prefix(&self.life)?
                    .strip_prefix('-')?
                    .parse::<u64>()
                    .ok()
            })
            .filter(|number| *number <= newest && number + 1 >= oldest)
            .map(|number| {
                kept.batches
                    .iter()
                    .filter(|batch| batch.number > number)
                    .cloned()
                    .collect()
            });
        Subscription {
            receiver,
            missed,
            newest,
        }
    }
}

/// Which hints a stream carries.
#[derive(Debug, Clone, Default)]
pub struct Interest {
    /// Only this tenant's.
    pub tenant: Option<String>,
    /// Only this agent's (with a tenant).
    pub agent: Option<String>,
    /// Whether gateways' hints are wanted: they belong to no tenant.
    pub gateways: bool,
}

impl Interest {
    fn wants(&self, event: &Event) -> bool {
        if event.kind == EventKind::Gateway {
            return self.gateways;
        }
        self.tenant.as_ref().is_none_or(|tenant| *tenant == event.tenant)
            && self.agent.as_ref().is_none_or(|agent| *agent == event.agent)
    }
}

#[derive(Serialize)]
struct Hint<'a> {
    at_unix_ms: UnixMs,
    /// Whether hints were lost, so that anything may have changed.
    everything: bool,
    changes: Vec<Change<'a>>,
}

#[derive(Serialize)]
struct Change<'a> {
    kind: &'static str,
    tenant: &'a str,
    agent: &'a str,
    name: &'a str,
}

#[derive(Serialize)]
struct Snapshot {
    at_unix_ms: UnixMs,
    agents: Counts,
    checks: Counts,
    open_alerts: i64,
}

fn hint(life: &str, batch: &Batch, interest: &Interest) -> Option<Sent> {
    let changes: Vec<Change<'_>> = batch
        .changes
        .iter()
        .filter(|event| interest.wants(event))
        .map(|event| Change {
            kind: event.kind.as_str(),
            tenant: &event.tenant,
            agent: &event.agent,
            name: &event.name,
        })
        .collect();
    let everything = batch.changes.is_empty();
    if changes.is_empty() && !everything {
        return None;
    }
    let data = serde_json::to_string(&Hint {
        at_unix_ms: batch.at,
        everything,
        changes,
    })
    .ok()?;
    Some(
        Sent::default()
            .event("hint")
            .id(format!("{life}-{}", batch.number))
            .data(data),
    )
}

async fn snapshot(state: &WebState, interest: &Interest, number: u64) -> crate::store::Result<Sent> {
    let fleet = state.fleet().await?;
    let filter = Filter {
        tenant: interest.tenant.clone(),
        ..Filter::default()
    };
    let page = fleet.page(&filter, 1, 1);
    let data = Snapshot {
        at_unix_ms: fleet.at,
        agents: page.agents,
        checks: page.checks,
        open_alerts: alerts::count_open(state.store(), interest.tenant.as_deref()).await?,
    };
    let text = serde_json::to_string(&data).unwrap_or_default();
    Ok(Sent::default()
        .event("snapshot")
        .id(format!("{}-{number}", state.hub().0.life))
        .data(text))
}

struct Following {
    state: WebState,
    interest: Interest,
    batches: BroadcastStream<Arc<Batch>>,
    _permit: OwnedSemaphorePermit,
}

/// The stream. `lasts` ends it, where who asked may only look for so long; `None`: as long as the client wants.
///
/// # Errors
/// [`PageError::TooManyStreams`]; [`PageError::Store`] where there is no snapshot.
pub async fn follow(
    state: &WebState,
    headers: &HeaderMap,
    interest: Interest,
    lasts: Option<Duration>,
) -> Result<Response, PageError> {
    let shared = &state.hub().0;
    let permit = shared
        .streams
        .clone()
        .try_acquire_owned()
        .map_err(|_| PageError::TooManyStreams)?;
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok());
    let Subscription {
        receiver,
        missed,
        newest,
    } = shared.subscribe(last);
    let begin: Vec<Sent> = match missed {
        Some(batches) => batches
            .iter()
            .filter_map(|batch| hint(&shared.life, batch, &interest))
            .collect(),
        None => vec![snapshot(state, &interest, newest).await?],
    };
    // Where nothing was missed, a comment still says at once that the stream is up.
    let begin = if begin.is_empty() {
        vec![Sent::default().comment("nothing missed")]
    } else {
        begin
    };

    let following = Following {
        state: state.clone(),
        interest,
        batches: BroadcastStream::new(receiver),
        _permit: permit,
    };
    let follow = futures_util::stream::unfold(following, |mut following| async move {
        loop {
            let shared = following.state.hub().0.clone();
            let sent = match following.batches.next().await? {
                Ok(batch) => hint(&shared.life, &batch, &following.interest),
                // It lagged behind: what it missed is not known any more.
                Err(_) => snapshot(
                    &following.state,
                    &following.interest,
                    following.state.hub().revision(),
                )
                .await
                .ok(),
            };
            if let Some(sent) = sent {
                return Some((sent, following));
            }
        }
    });
    let shutdown = shared.shutdown.clone().cancelled_owned();
    let over = async move {
        match lasts {
            Some(lasts) => tokio::select! { () = shutdown => {}, () = tokio::time::sleep(lasts) => {} },
            None => shutdown.await,
        }
    };
    let events = futures_util::stream::iter(begin)
        .chain(follow)
        .map(Ok::<_, Infallible>)
        .take_until(Box::pin(over));
    Ok(Sse::new(events)
        .keep_alive(KeepAlive::new().interval(KEEP_ALIVE))
        .into_response())
}

/// What a page wants to hear of.
#[derive(Debug, Default, Deserialize)]
pub struct LiveQuery {
    #[serde(default)]
    tenant: String,
    #[serde(default)]
    agent: String,
}

/// The pages' stream. It ends with the session.
///
/// # Errors
/// [`PageError`].
pub async fn live(
    State(state): State<WebState>,
    signed_in: Result<SignedIn, PageError>,
    Query(query): Query<LiveQuery>,
    headers: HeaderMap,
) -> Result<Response, PageError> {
    // A redirect to a page would make an EventSource try for ever.
    let signed_in = signed_in.map_err(|error| match error {
        PageError::SignIn(_) => PageError::Unauthenticated,
        other => other,
    })?;
    let left = signed_in.expires_at().saturating_sub(state.store().now().await?);
    let some = |text: String| (!text.is_empty()).then_some(text);
    let interest = Interest {
        tenant: some(query.tenant),
        agent: some(query.agent),
        gateways: true,
    };
    follow(
        &state,
        &headers,
        interest,
        Some(Duration::from_millis(left.max(0).unsigned_abs())),
    )
    .await
}
