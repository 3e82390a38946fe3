//! What waits for the writer's thread, and when it looks.
//!
//! A result that joins a group which is open anyway wakes nobody: the thread takes all of them when the group's time is
//! up. So a thousand results a second cost two wake-ups, not a thousand. Whatever somebody waits for wakes it at once,
//! and so does a group that is large enough to be written.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, timeout_at};

use super::record;
use super::writer::{Command, GROUP_BYTES};

/// Runs under way are bounded, and so is what waits here; a disk that hangs makes runs wait, not memory grow.
const PLACES: usize = 1_024;

/// Puts in; clones share the inbox.
#[derive(Clone, Debug)]
pub(super) struct Outbox {
    commands: mpsc::Sender<Command>,
    // After `commands`: when the last one of these rings, no sender is left.
    bell: Arc<Bell>,
}

/// Takes out; there is one.
pub(super) struct Inbox {
    commands: mpsc::Receiver<Command>,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    hurry: Notify,
    /// Bytes of results that wait, as they will be in the log.
    waiting: AtomicUsize,
}

/// Rings when the last handle is gone, so that the writer ends then.
#[derive(Debug)]
struct Bell(Arc<Shared>);

impl Drop for Bell {
    fn drop(&mut self) {
        self.0.hurry.notify_one();
    }
}

/// Both ends.
pub(super) fn inbox() -> (Outbox, Inbox) {
    let (sender, receiver) = mpsc::channel(PLACES);
    let shared = Arc::new(Shared::default());
    let outbox = Outbox {
        commands: sender,
        bell: Arc::new(Bell(Arc::clone(&shared))),
    };
    let inbox = Inbox {
        commands: receiver,
        shared,
    };
    (outbox, inbox)
}

impl Outbox {
    /// Hands a result's payload over with its command; waits only while very many wait already. A writer that has ended
    /// drops the command.
    pub(super) async fn put(&self, payload_len: usize, command: Command) {
        let size = record::footprint(payload_len);
        let sent = self.commands.send(command).await.is_ok();
        let waiting = self.bell.0.waiting.fetch_add(size, Ordering::Relaxed) + size;
        let is_crowded = self.commands.capacity() < PLACES / 2;
        if sent && (waiting >= GROUP_BYTES || is_crowded) {
            self.bell.0.hurry.notify_one();
        }
    }

    /// Hands over what can't wait; `false` where the writer has ended.
    pub(super) async fn put_now(&self, command: Command) -> bool {
        let sent = self.commands.send(command).await.is_ok();
        self.bell.0.hurry.notify_one();
        sent
    }
}

/// What a look into the inbox found.
pub(super) enum Found {
    /// The next command.
    Command(Command),
    /// Nothing more for now.
    Nothing,
    /// Nothing, and nobody is left who could put something in.
    Closed,
}

impl Inbox {
    /// Waits for a reason to look: with no group open any command is one, otherwise only haste. At `until` in any case.
    pub(super) async fn wait(&mut self, group_is_open: bool, until: Instant) -> Found {
        if group_is_open {
            // Whether it rang or the time is up, what is there is taken.
            let _ = timeout_at(until, self.shared.hurry.notified()).await;
            return self.next();
        }
        match timeout_at(until, self.commands.recv()).await {
            Ok(Some(command)) => Found::Command(command),
            Ok(None) => Found::Closed,
            Err(_) => Found::Nothing,
        }
    }

    /// What is there now.
    pub(super) fn next(&mut self) -> Found {
        match self.commands.try_recv() {
            Ok(command) => Found::Command(command),
            Err(mpsc::error::TryRecvError::Empty) => {
                // A result that is counted after this has rung for nothing at worst.
                self.shared.waiting.store(0, Ordering::Relaxed);
                Found::Nothing
            }
            Err(mpsc::error::TryRecvError::Disconnected) => Found::Closed,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::FutureExt as _;
    use tokio::sync::oneshot;

    use super::*;

    fn result() -> Command {
        let (reply, _) = oneshot::channel();
        Command::Append {
            payload: Vec::new(),
            reply,
        }
    }

    fn flush() -> Command {
        let (reply, _) = oneshot::channel();
        Command::Flush { reply }
    }

    fn later() -> Instant {
        Instant::now() + Duration::from_secs(600)
    }

    #[tokio::test]
    async fn a_result_that_joins_an_open_group_wakes_nobody_and_a_flush_does() {
        let (outbox, mut inbox) = inbox();
        outbox.put(100, result()).await;
        assert!(inbox.wait(true, later()).now_or_never().is_none());
        outbox.put_now(flush()).await;
        let found = inbox.wait(true, later()).now_or_never();
        assert!(matches!(found, Some(Found::Command(Command::Append { .. }))));
        assert!(matches!(inbox.next(), Found::Command(Command::Flush { .. })));
        assert!(matches!(inbox.next(), Found::Nothing));
    }

    #[tokio::test]
    async fn the_first_result_of_a_group_wakes_the_writer() {
        let (outbox, mut inbox) = inbox();
        outbox.put(100, result()).await;
        assert!(matches!(
            inbox.wait(false, later()).now_or_never(),
            Some(Found::Command(_))
        ));
    }

    #[tokio::test]
    async fn a_group_that_is_large_enough_is_taken_at_once() {
        let (outbox, mut inbox) = inbox();
        outbox.put(GROUP_BYTES, result()).await;
        assert!(inbox.wait(true, later()).now_or_never().is_some());
    }

    #[tokio::test]
    async fn a_crowded_inbox_is_emptied_before_anybody_has_to_wait() {
        let (outbox, mut inbox) = inbox();
        for _ in 0..=PLACES / 2 {
            outbox.put(0, result()).await;
        }
        assert!(inbox.wait(true, later()).now_or_never().is_some());
    }

    #[tokio::test]
    async fn an_open_group_is_not_waited_for_when_the_last_handle_is_gone() {
        let (outbox, mut inbox) = inbox();
        drop(outbox);
        assert!(matches!(
            inbox.wait(true, later()).now_or_never(),
            Some(Found::Closed)
        ));
    }
}
