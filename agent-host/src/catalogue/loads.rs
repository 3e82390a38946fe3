//! Loads under way. Compiling takes from a tenth of a second to a minute, and a hostile file takes all that it is given: so
//! files are loaded beside each other, and whoever looks at the folder waits only so long.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use super::folder::Fingerprint;
use super::loaded::{CheckerError, Loaded, Loader};

/// A load that is over.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) stem: String,
    pub(super) file: PathBuf,
    pub(super) fingerprint: Fingerprint,
    pub(super) loaded: Result<Loaded, CheckerError>,
}

/// Loads files, some beside each other.
#[derive(Debug)]
pub struct Loads {
    loader: Loader,
    tasks: JoinSet<Done>,
    under_way: BTreeMap<String, Fingerprint>,
    done: Vec<Done>,
    patience: Option<Duration>,
}

impl Loads {
    /// Loads with this loader. A look waits for all that it began.
    #[must_use]
    pub fn new(loader: Loader) -> Self {
        Self {
            loader,
            tasks: JoinSet::new(),
            under_way: BTreeMap::new(),
            done: Vec::new(),
            patience: None,
        }
    }

    /// From now on a look waits at most so long; what isn't loaded by then is taken at a later one.
    pub fn set_patience(&mut self, patience: Duration) {
        self.patience = Some(patience);
    }

    /// What it loads with.
    #[must_use]
    pub fn loader(&self) -> &Loader {
        &self.loader
    }

    /// Begins to load a file, unless it is being loaded as it is now.
    pub(super) fn begin(&mut self, stem: &str, file: PathBuf, fingerprint: Fingerprint) {
        if self.under_way.get(stem) == Some(&fingerprint) {
            return;
        }
        self.under_way.insert(stem.to_owned(), fingerprint);
        let (loader, stem) = (self.loader.clone(), stem.to_owned());
        // How many are compiled at once is the compiler's business: what comes from the cache waits for nobody.
        self.tasks.spawn(async move {
            let loaded = loader.load(&file).await;
            Done {
                stem,
                file,
                fingerprint,
                loaded,
            }
        });
    }

    /// Whether a file is being loaded as it is now.
    pub(super) fn is_under_way(&self, stem: &str, fingerprint: &Fingerprint) -> bool {
        self.under_way.get(stem) == Some(fingerprint)
    }

    /// When a look that begins now has waited long enough.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.patience.map(|patience| Instant::now() + patience)
    }

    /// The next load that is over; `None` where there is none by the deadline.
    pub(super) async fn next(&mut self, deadline: Option<Instant>) -> Option<Done> {
        if self.done.is_empty() {
            let waiting = self.take_one();
            match deadline {
                Some(deadline) => timeout_at(deadline, waiting).await.ok()?,
                None => waiting.await,
            }
        }
        let done = self.done.pop()?;
        if self.is_under_way(&done.stem, &done.fingerprint) {
            self.under_way.remove(&done.stem);
        }
        Some(done)
    }

    /// Returns when a load is over that a look can take; never where none is under way.
    pub async fn any(&mut self) {
        while self.done.is_empty() {
            if self.tasks.is_empty() {
                return std::future::pending().await;
            }
            self.take_one().await;
        }
    }

    /// Nothing is lost where the wait is given up.
    async fn take_one(&mut self) {
        // A task that panicked has nothing to give; its file is loaded anew when it changes.
        if let Some(Ok(done)) = self.tasks.join_next().await {
            self.done.push(done);
        }
    }
}
