//! Results wait here, on disk, until the platform has committed them.
//!
//! - [`record`]: the format, and reading it back after anything. Bytes only.
//! - [`log`]: numbers, syncs, quota, losses. One owner, time passed in, the file system behind [`disk::Disk`].
//! - `inbox`: what waits for the log's thread, and when it looks.
//! - [`view`]: what readers see: a snapshot of what is durable.
//! - [`Spool`]: the handle. A thread of its own owns the log, groups what arrives, and syncs at most each second or
//!   64 KiB. When the last handle is dropped, or on [`Spool::close`], everything taken is synced and the thread ends.
//!
//! Only durable results are ever shown to a reader: a number that a gateway has seen is never used again.

pub mod disk;
mod inbox;
pub mod log;
pub mod loss;
pub mod record;
mod recover;
pub mod view;
mod writer;

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustix::fs::FlockOperation;
use tokio::sync::{oneshot, watch};
use uuid::Uuid;

pub use log::AppendError;
pub use loss::{Cause, Lost};
pub use view::{Run, View};

use disk::{Disk, RealDisk};
use inbox::{Outbox, inbox};
use log::{Incident, Log};
use writer::Command;

/// Why there is no spool.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error("the spool {} is in use by another agent-host; stop that one, or give this one a data_dir of its own", path.display())]
    InUse {
        /// The folder.
        path: PathBuf,
    },
    /// It can't be read or written.
    #[error("can't open the spool {}: {source}; make data_dir a folder that this user can write to, on a disk with room", path.display())]
    Io {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Where a result is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The spool's life.
    pub stream: Uuid,
    /// The number in it.
    pub seq: u64,
}

/// A result that was handed over and isn't durable yet.
#[derive(Debug)]
pub struct Appended(oneshot::Receiver<Result<Position, AppendError>>);

impl Appended {
    /// Waits until it is durable.
    ///
    /// # Errors
    /// It is lost.
    pub async fn durable(self) -> Result<Position, AppendError> {
        self.0.await.unwrap_or_else(|_| {
            Err(AppendError::Lost {
                seq: 0,
                reason: "the spool is closed".to_owned(),
            })
        })
    }
}

/// A handle to the spool; clones share it.
#[derive(Clone, Debug)]
pub struct Spool {
    outbox: Outbox,
    view: Arc<ArcSwap<View>>,
    durable: watch::Receiver<Position>,
}

/// Called with what happens inside, on the spool's own thread.
pub type Listener = Box<dyn Fn(&Incident) + Send>;

impl Spool {
    /// Opens or makes the spool in `folder`, and locks it against others.
    ///
    /// # Errors
    /// Another process has it, or the disk refuses.
    pub fn open(folder: &Path, quota: u64, listener: Listener) -> Result<Self, OpenError> {
        Self::open_on(folder, quota, Arc::new(RealDisk), listener)
    }

    /// The same on another file system: for tests.
    ///
    /// # Errors
    /// As [`Spool::open`].
    pub fn open_on(
        folder: &Path,
        quota: u64,
        disk: Arc<dyn Disk>,
        listener: Listener,
    ) -> Result<Self, OpenError> {
        let failed = |source| OpenError::Io {
            path: folder.to_path_buf(),
            source,
        };
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(failed)?;
        let lock = lock(folder)?;
        let mut log = Log::open(folder, disk, quota).map_err(failed)?;
        for incident in log.take_incidents() {
            listener(&incident);
        }
        let view = log.view();
        let position = Position {
            stream: view.stream(),
            seq: view.last_seq(),
        };
        let (durable_sender, durable) = watch::channel(position);
        let view = Arc::new(ArcSwap::from_pointee(view));
        let (outbox, inbox) = inbox();
        let writer = writer::Writer {
            log,
            lock,
            view: Arc::clone(&view),
            durable: durable_sender,
            listener,
        };
        writer.spawn(inbox).map_err(failed)?;
        Ok(Self {
            outbox,
            view,
            durable,
        })
    }

    /// What is durable now.
    #[must_use]
    pub fn view(&self) -> Arc<View> {
        self.view.load_full()
    }

    /// Follows the newest durable number.
    #[must_use]
    pub fn durable(&self) -> watch::Receiver<Position> {
        self.durable.clone()
    }

    /// Hands a result over. Waits only while very many wait already.
    pub async fn append(&self, payload: Vec<u8>) -> Appended {
        let (reply, appended) = oneshot::channel();
        // A closed spool drops `reply`, which `durable` reports.
        self.outbox
            .put(payload.len(), Command::Append { payload, reply })
            .await;
        Appended(appended)
    }

    /// Makes everything handed over so far durable.
    pub async fn flush(&self) {
        let (reply, done) = oneshot::channel();
        if self.outbox.put_now(Command::Flush { reply }).await {
            // An error means that the writer ended, which it does only after a sync.
            let _ = done.await;
        }
    }

    /// The platform has committed everything up to `seq` of `stream`; of another stream it says nothing.
    pub async fn acknowledge(&self, stream: Uuid, seq: u64) {
        // A closed spool frees nothing: the acknowledgement comes again with the next pull.
        self.outbox.put_now(Command::Acknowledge { stream, seq }).await;
    }

    /// Begins a new stream if `seq` of `stream` was never reached here: the spool was restored from an old copy.
    /// Returns once the view shows it.
    pub async fn reconcile(&self, stream: Uuid, seq: u64) {
        let (reply, done) = oneshot::channel();
        if self
            .outbox
            .put_now(Command::Reconcile { stream, seq, reply })
            .await
        {
            let _ = done.await;
        }
    }

    /// Syncs everything, ends the thread and gives up the lock, whoever else still has a handle.
    pub async fn close(&self) {
        let (reply, done) = oneshot::channel();
        if self.outbox.put_now(Command::Close { reply }).await {
            let _ = done.await;
        }
    }
}

/// A look into a spool that may belong to a running agent: changes nothing and takes no lock.
///
/// # Errors
/// It can't be read.
pub fn peek(folder: &Path, quota: u64) -> io::Result<View> {
    let found = recover::recover(folder)?;
    Ok(View {
        folder: Arc::from(folder),
        stream: found.meta.stream,
        segments: found.segments,
        losses: found.meta.losses,
        acknowledged: found.meta.acknowledged,
        durable: found.next_seq - 1,
        dropped: found.meta.dropped,
        quota,
    })
}

/// Whether a running agent has the spool.
#[must_use]
pub fn is_locked(folder: &Path) -> bool {
    // The lock is given up again at once.
    File::open(folder.join("lock"))
        .is_ok_and(|file| rustix::fs::flock(&file, FlockOperation::NonBlockingLockShared).is_err())
}

fn lock(folder: &Path) -> Result<File, OpenError> {
    let path = folder.join("lock");
    let failed = |source| OpenError::Io {
        path: folder.to_path_buf(),
        source,
    };
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(failed)?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(OpenError::InUse {
            path: folder.to_path_buf(),
        }),
        Err(error) => Err(failed(error.into())),
    }
}

#[cfg(test)]
mod tests;
