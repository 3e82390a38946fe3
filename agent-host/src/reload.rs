//! Keeps checks, checkers and schedule in step with what the customer puts into the folders.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use picket_identity::name::CheckName;
use tokio_util::sync::CancellationToken;

use crate::catalogue::Catalogue;
use crate::catalogue::loaded::Loader;
use crate::catalogue::loads::Loads;
use crate::catalogue::signed_versions::SignedVersions;
use crate::config::{AgentConfig, CheckSet};
use crate::identity::IdentityStore;
use crate::internal_events as events;
use crate::runner::Checks;
use crate::runner::meter::Meters;
use crate::runner::prepared::Prepared;
use crate::schedule::Scheduler;
use crate::schedule::plan::Plan;
use crate::watch::FolderWatch;

/// What is there now, for everybody to look at.
#[derive(Clone, Debug, Default)]
pub struct Inventory {
    /// The checks.
    pub checks: Arc<ArcSwap<Checks>>,
    /// The checkers.
    pub catalogue: Arc<ArcSwap<Catalogue>>,
    /// What the checks have cost, and how they stand.
    pub meters: Arc<Meters>,
}

/// Looks at the folders and publishes what it finds.
#[derive(Debug)]
pub struct Reloader {
    config: AgentConfig,
    loads: Loads,
    set: CheckSet,
    inventory: Inventory,
    told: BTreeMap<CheckName, String>,
    told_files: Vec<String>,
    seen: SignedVersions,
    keeps_seen: bool,
}

impl Reloader {
    /// Has looked at nothing yet.
    #[must_use]
    pub fn new(config: AgentConfig, loader: Loader) -> Self {
        let path = SignedVersions::path(&config.data_dir);
        let seen = SignedVersions::load(&path).unwrap_or_else(|error| {
            events::signed_versions_unreadable(&path, &error);
            SignedVersions::default()
        });
        Self {
            seen,
            keeps_seen: false,
            config,
            loads: Loads::new(loader),
            set: CheckSet::default(),
            inventory: Inventory::default(),
            told: BTreeMap::new(),
            told_files: Vec::new(),
        }
    }

    /// Writes down which versions were signed. For the agent itself: commands that run beside it only read them.
    #[must_use]
    pub fn keeping_signed_versions(self) -> Self {
        Self {
            keeps_seen: true,
            ..self
        }
    }

    /// From now on looks wait at most so long for files that are being compiled, and take them later.
    pub fn set_patience(&mut self, patience: Duration) {
        self.loads.set_patience(patience);
    }

    /// What it publishes to.
    #[must_use]
    pub fn inventory(&self) -> Inventory {
        self.inventory.clone()
    }

    /// What loads checkers for it.
    #[must_use]
    pub fn loader(&self) -> &Loader {
        self.loads.loader()
    }

    /// What was signed before.
    #[must_use]
    pub fn signed_versions(&self) -> &SignedVersions {
        &self.seen
    }

    /// The checks' files as they were read.
    #[must_use]
    pub fn set(&self) -> &CheckSet {
        &self.set
    }

    /// Looks once. What can't be read stays as it was.
    pub async fn look(&mut self) {
        self.look_at_checkers().await;
        if let Err(error) = self.set.reload(&self.config.checks_dir) {
            events::folder_unreadable(&self.config.checks_dir, &error);
        }
        self.tell_files();
        let catalogue = self.inventory.catalogue.load_full();
        let before = self.inventory.checks.load_full();
        let mut checks = Checks::new();
        for (name, configured) in self.set.checks() {
            let prepared = Prepared::make(name, configured, &catalogue, before.get(name)).await;
            checks.insert(name.clone(), prepared);
        }
        self.tell_problems(&checks);
        self.inventory.meters.retain(|name| checks.contains_key(name));
        self.inventory.checks.store(Arc::new(checks));
    }

    async fn look_at_checkers(&mut self) {
        let mut catalogue = Catalogue::clone(&self.inventory.catalogue.load());
        let before = self.seen.clone();
        let rescanned = catalogue
            .rescan(&self.config.checkers_dir, &mut self.loads, &mut self.seen)
            .await;
        if self.keeps_seen && self.seen != before {
            self.keep_signed_versions().await;
        }
        match rescanned {
            Ok(changes) => {
                events::checkers_changed(&changes);
                let usable = catalogue
                    .entries()
                    .values()
                    .filter(|entry| entry.checker.is_some())
                    .count();
                let entries = catalogue.entries().values();
                let problems = entries.clone().filter(|entry| entry.problem.is_some()).count();
                let notes = entries.filter(|entry| entry.note.is_some()).count();
                events::checkers_counted(usable, problems, notes);
                if !changes.is_empty() {
                    self.inventory.catalogue.store(Arc::new(catalogue));
                }
            }
            Err(error) => events::folder_unreadable(&self.config.checkers_dir, &error),
        }
    }

    async fn keep_signed_versions(&self) {
        let (seen, path) = (self.seen.clone(), SignedVersions::path(&self.config.data_dir));
        let file = path.clone();
        let saved = tokio::task::spawn_blocking(move || seen.save(&file)).await;
        if let Err(error) = saved.unwrap_or_else(|crashed| Err(std::io::Error::other(crashed))) {
            events::signed_versions_unsaved(&path, &error);
        }
    }

    /// Each problem is told once, not at each look.
    fn tell_problems(&mut self, checks: &Checks) {
        let problems: BTreeMap<_, _> = checks
            .values()
            .filter_map(|check| Some((check.name.clone(), check.problem()?.to_owned())))
            .collect();
        for (check, problem) in &problems {
            if self.told.get(check) != Some(problem) {
                events::check_problem(check, problem);
            }
        }
        events::checks_counted(checks.len(), problems.len());
        self.told = problems;
    }

    fn tell_files(&mut self) {
        let problems = self.set.problems().iter().map(crate::config::Problem::sentence);
        let all: Vec<String> = problems.chain(self.set.unreadable().iter().cloned()).collect();
        for problem in all.iter().filter(|problem| !self.told_files.contains(problem)) {
            events::check_file_problem(problem);
        }
        events::check_files_read(self.set.problems(), self.set.unreadable());
        self.told_files = all;
    }

    /// What is to be scheduled. A check without a good configuration has no interval, and so no turn.
    #[must_use]
    pub fn plans(&self, agent: &str) -> Vec<(CheckName, Plan)> {
        let checks = self.inventory.checks.load();
        let configured = checks
            .values()
            // One whose checker is being compiled has its turns when it can run, not a result that says so.
            .filter(|check| !check.is_loading())
            .filter_map(|check| Some((&check.name, check.config.as_ref()?, check.subject())));
        configured
            .map(|(name, config, subject)| (name.clone(), config.plan(agent).for_subject(subject)))
            .collect()
    }

    /// Watches everything that it looks at. To be begun before the first look, so that no change is missed.
    #[must_use]
    pub fn watch(&self) -> FolderWatch {
        let config = &self.config;
        FolderWatch::new(&[
            config.checkers_dir.clone(),
            config.checks_dir.clone(),
            config.identity_dir.clone(),
        ])
    }

    /// Goes on looking until `shutdown`.
    pub async fn follow(
        mut self,
        mut watch: FolderWatch,
        scheduler: Scheduler,
        identity: Arc<IdentityStore>,
        shutdown: CancellationToken,
    ) {
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = watch.changed() => {}
                () = self.loads.any() => {}
            }
            // Reading a few small files of a local folder; the key must be read anew to be compared.
            let store = Arc::clone(&identity);
            let reloaded = tokio::task::spawn_blocking(move || store.reload()).await;
            debug_assert!(reloaded.is_ok(), "reloading an identity never panics");
            self.look().await;
            let agent = identity.current().identity().id().to_string();
            scheduler.replace(self.plans(&agent));
        }
    }
}
