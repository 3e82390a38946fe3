//! The thread that owns the log.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;
use uuid::Uuid;

use super::inbox::{Found, Inbox};
use super::log::{AppendError, Incident, Log};
use super::view::View;
use super::{Listener, Position};

/// How long a result may wait for others to share its sync.
const GROUP: Duration = Duration::from_millis(500);
/// A group is synced at once when it is this large.
pub(super) const GROUP_BYTES: usize = 64 << 10;
/// How often the log looks for what it may free, and writes down what it remembers.
const HOUSEKEEPING: Duration = Duration::from_secs(10);

pub(super) enum Command {
    Append {
        payload: Vec<u8>,
        reply: oneshot::Sender<Result<Position, AppendError>>,
    },
    Flush {
        reply: oneshot::Sender<()>,
    },
    Acknowledge {
        stream: Uuid,
        seq: u64,
    },
    Reconcile {
        stream: Uuid,
        seq: u64,
        reply: oneshot::Sender<()>,
    },
    Close {
        reply: oneshot::Sender<()>,
    },
}

/// Results that share a sync.
#[derive(Default)]
struct Group {
    waiting: Vec<(u64, oneshot::Sender<Result<Position, AppendError>>)>,
    /// When they are synced at the latest; `None` where there are none.
    sync_at: Option<Instant>,
}

/// The writer's end, and who waits for it.
struct Ending {
    reply: Option<oneshot::Sender<()>>,
}

pub(super) struct Writer {
    pub(super) log: Log,
    /// Held, not used: the lock is given up when it is closed.
    pub(super) lock: File,
    pub(super) view: Arc<ArcSwap<View>>,
    pub(super) durable: watch::Sender<Position>,
    pub(super) listener: Listener,
}

impl Writer {
    pub(super) fn spawn(self, inbox: Inbox) -> io::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()?;
        std::thread::Builder::new()
            .name("spool".to_owned())
            .spawn(move || runtime.block_on(self.run(inbox)))?;
        Ok(())
    }

    async fn run(mut self, mut inbox: Inbox) {
        let mut group = Group::default();
        let mut tidy_at = Instant::now() + HOUSEKEEPING;
        let mut ending = None;
        while ending.is_none() {
            let wake_at = group.sync_at.map_or(tidy_at, |at| at.min(tidy_at));
            let mut found = inbox.wait(group.sync_at.is_some(), wake_at).await;
            while ending.is_none() {
                match found {
                    Found::Command(command) => ending = self.obey(command, &mut group),
                    Found::Closed => ending = Some(Ending { reply: None }),
                    Found::Nothing => break,
                }
                found = inbox.next();
            }
            let now = Instant::now();
            if group.sync_at.is_some_and(|at| at <= now) {
                self.sync(&mut group);
            }
            if tidy_at <= now {
                self.log.free_acknowledged(now_ms());
                self.log.save_meta();
                self.publish();
                tidy_at = now + HOUSEKEEPING;
            }
        }
        self.sync(&mut group);
        self.log.save_meta();
        self.publish();
        drop(self.lock);
        if let Some(reply) = ending.and_then(|ending| ending.reply) {
            let _ = reply.send(());
        }
    }

    /// Does what was asked; the answer is there where it is the end.
    fn obey(&mut self, command: Command, group: &mut Group) -> Option<Ending> {
        match command {
            Command::Append { payload, reply } => {
                match self.log.append(&payload, now_ms()) {
                    Ok(seq) => group.waiting.push((seq, reply)),
                    Err(error) => answer(reply, Err(error)),
                }
                group.sync_at.get_or_insert_with(|| Instant::now() + GROUP);
                if self.log.unsynced_bytes() >= GROUP_BYTES {
                    self.sync(group);
                }
            }
            Command::Flush { reply } => {
                self.sync(group);
                // Whoever asked may have gone.
                let _ = reply.send(());
            }
            Command::Acknowledge { stream, seq } => {
                if stream == self.log.view().stream() {
                    self.log.acknowledge(seq, now_ms());
                    self.publish();
                }
            }
            Command::Reconcile { stream, seq, reply } => {
                self.sync(group);
                self.reconcile(stream, seq);
                self.publish();
                let _ = reply.send(());
            }
            Command::Close { reply } => return Some(Ending { reply: Some(reply) }),
        }
        None
    }

    fn reconcile(&mut self, stream: Uuid, seq: u64) {
        let view = self.log.view();
        if view.stream() != stream || seq <= view.last_seq() {
            return;
        }
        if let Err(error) = self.log.begin_new_stream() {
            (self.listener)(&Incident::DiskFailed(error.to_string()));
        }
    }

    /// Syncs, publishes, and answers whoever waits.
    fn sync(&mut self, group: &mut Group) {
        group.sync_at = None;
        let outcome = self.log.sync(now_ms());
        self.publish();
        let view = self.view.load();
        let reason = outcome
            .err()
            .map_or_else(|| "the disk failed".to_owned(), |error| error.to_string());
        for (seq, reply) in group.waiting.drain(..) {
            // A sync inside an append may have failed since: what isn't durable now never will be.
            let answered = if seq <= view.last_seq() && !is_lost(&view, seq) {
                Ok(Position {
                    stream: view.stream(),
                    seq,
                })
            } else {
                Err(AppendError::Lost {
                    seq,
                    reason: reason.clone(),
                })
            };
            answer(reply, answered);
        }
    }

    fn publish(&mut self) {
        for incident in self.log.take_incidents() {
            (self.listener)(&incident);
        }
        let view = self.log.view();
        let position = Position {
            stream: view.stream(),
            seq: view.last_seq(),
        };
        self.view.store(Arc::new(view));
        self.durable.send_if_modified(|current| {
            let changed = *current != position;
            *current = position;
            changed
        });
    }
}

fn is_lost(view: &View, seq: u64) -> bool {
    view.losses()
        .iter()
        .any(|lost| (lost.first_seq..=lost.last_seq).contains(&seq))
}

fn answer(reply: oneshot::Sender<Result<Position, AppendError>>, answer: Result<Position, AppendError>) {
    // Whoever ran the check may not care about the number.
    let _ = reply.send(answer);
}

fn now_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX))
}
