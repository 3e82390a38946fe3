//! Tells when something in a folder changed: at once where the system says so, and regularly in any case, since a network
//! file system says nothing.

use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::internal_events as events;

/// How often folders are looked at without being told.
const REGULARLY: Duration = Duration::from_secs(10);
/// Files are often written in several steps; the last one counts.
const SETTLE: Duration = Duration::from_millis(150);
/// A folder that changes all the time is looked at even so.
const AT_MOST: Duration = Duration::from_secs(1);

/// Watches folders as long as it lives.
#[derive(Debug)]
pub struct FolderWatch {
    changes: mpsc::Receiver<()>,
    /// Ends with the watch.
    _watcher: Option<RecommendedWatcher>,
}

impl FolderWatch {
    /// Watches these folders, not what is below them.
    #[must_use]
    pub fn new(folders: &[PathBuf]) -> Self {
        // One place: any number of changes is one reason to look.
        let (sender, changes) = mpsc::channel(1);
        let told = move |event: notify::Result<notify::Event>| {
            // Reading a file is no change; without this, every look would cause the next one.
            if event.is_ok_and(|event| !event.kind.is_access()) {
                // A full channel has told already.
                let _ = sender.try_send(());
            }
        };
        let watcher = match notify::recommended_watcher(told) {
            Ok(mut watcher) => {
                for folder in folders {
                    watch(&mut watcher, folder);
                }
                Some(watcher)
            }
            Err(error) => {
                events::watch_failed(Path::new("*"), &error);
                None
            }
        };
        Self {
            changes,
            _watcher: watcher,
        }
    }

    /// Waits until it is time to look.
    pub async fn changed(&mut self) {
        match tokio::time::timeout(REGULARLY, self.changes.recv()).await {
            Ok(Some(())) => {}
            Ok(None) => tokio::time::sleep(REGULARLY).await,
            Err(_) => return,
        }
        let latest = Instant::now() + AT_MOST;
        while Instant::now() < latest {
            match tokio::time::timeout(SETTLE, self.changes.recv()).await {
                Ok(Some(())) => {}
                Ok(None) | Err(_) => return,
            }
        }
    }
}

fn watch(watcher: &mut RecommendedWatcher, folder: &Path) {
    if let Err(error) = watcher.watch(folder, RecursiveMode::NonRecursive) {
        events::watch_failed(folder, &error);
    }
}
