//! The thread that owns the log.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;
use uuid::Uuid;

use super::log::{AppendError, Incident, Log};
use super::view::View;
use super::{Listener, Position};

/// How long a result may wait for others to share its sync.
const GROUP: Duration = Duration::from_millis(500);
/// A group is synced at once when it is this large.
const GROUP_BYTES: usize = 64 << 10;
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

type Waiting = Vec<(u64, oneshot::Sender<Result<Position, AppendError>>)>;

pub(super) struct Writer {
    pub(super) log: Log,
    /// Held, not used: the lock is given up when it is closed.
    pub(super) lock: File,
    pub(super) view: Arc<ArcSwap<View>>,
    pub(super) durable: watch::Sender<Position>,
    pub(super) listener: Listener,
}

impl Writer {
    pub(super) fn spawn(self, commands: mpsc::Receiver<Command>) -> io::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()?;
        std::thread::Builder::new()
            .name("spool".to_owned())
            .spawn(move || runtime.block_on(self.run(commands)))?;
        Ok(())
    }

    async fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        let mut waiting = Waiting::new();
        let mut sync_at: Option<Instant> = None;
        let mut tidy_at = Instant::now() + HOUSEKEEPING;
        let mut closing = None;
        loop {
            let wake_at = sync_at.map_or(tidy_at, |at| at.min(tidy_at));
            match tokio::time::timeout_at(wake_at, commands.recv()).await {
                Ok(None) => break,
                Ok(Some(Command::Close { reply })) => {
                    closing = Some(reply);
                    break;
                }
                Ok(Some(Command::Append { payload, reply })) => {
                    match self.log.append(&payload, now_ms()) {
                        Ok(seq) => waiting.push((seq, reply)),
                        Err(error) => answer(reply, Err(error)),
                    }
                    sync_at.get_or_insert_with(|| Instant::now() + GROUP);
                    if self.log.unsynced_bytes() >= GROUP_BYTES {
                        sync_at = Some(Instant::now());
                    }
                }
                Ok(Some(Command::Flush { reply })) => {
                    self.sync(&mut waiting);
                    sync_at = None;
                    // Whoever asked may have gone.
                    let _ = reply.send(());
                }
                Ok(Some(Command::Acknowledge { stream, seq })) => {
                    if stream == self.log.view().stream() {
                        self.log.acknowledge(seq, now_ms());
                        self.publish();
                    }
                }
                Ok(Some(Command::Reconcile { stream, seq, reply })) => {
                    self.sync(&mut waiting);
                    self.reconcile(stream, seq);
                    self.publish();
                    let _ = reply.send(());
                }
                Err(_) => {}
            }
            let now = Instant::now();
            if sync_at.is_some_and(|at| at <= now) {
                self.sync(&mut waiting);
                sync_at = None;
            }
            if tidy_at <= now {
                self.log.free_acknowledged(now_ms());
                self.log.save_meta();
                self.publish();
                tidy_at = now + HOUSEKEEPING;
            }
        }
        self.sync(&mut waiting);
        self.log.save_meta();
        self.publish();
        drop(self.lock);
        if let Some(reply) = closing {
            let _ = reply.send(());
        }
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
    fn sync(&mut self, waiting: &mut Waiting) {
        let outcome = self.log.sync(now_ms());
        self.publish();
        let view = self.view.load();
        let reason = outcome
            .err()
            .map_or_else(|| "the disk failed".to_owned(), |error| error.to_string());
        for (seq, reply) in waiting.drain(..) {
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
