//! The checkers that customers dropped into a folder.
//!
//! A file that is new or changed is loaded; a broken one is shown with its problem, and where there was a good version of
//! it before, that one goes on. Runs under way finish on the version that they began with.
//!
//! - [`folder`]: the files, and whether they changed.
//! - [`candidate`]: one file's bytes, read once; [`trust`]: whether its signatures let it be compiled.
//! - [`loaded`]: one checker in memory, and everything that is asked of the sandbox's loader; [`loads`]: several at once.
//! - [`signed_versions`]: what was signed before, so that an older version is seen as one; `notes` says so.

pub mod candidate;
pub mod folder;
pub mod loaded;
pub mod loads;
pub(crate) mod notes;
pub mod signed_versions;
pub mod trust;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use semver::Version;

use crate::config::nearest;
use folder::Fingerprint;
use loaded::LoadedChecker;
use loads::{Done, Loads};
use signed_versions::SignedVersions;
use trust::Signer;

/// One file of the folder.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The file.
    pub file: PathBuf,
    /// The version in use: the last one that was good.
    pub checker: Option<Arc<LoadedChecker>>,
    /// Who signed the version in use.
    pub signer: Signer,
    /// What people should know of a checker that runs: that nobody trusted signed it, or that it is older than it was.
    pub note: Option<String>,
    /// What is wrong with the file as it is now.
    pub problem: Option<String>,
    /// Whether it is being compiled: a problem that goes by itself.
    pub is_loading: bool,
    /// Of the file that all this was learned from; `None` where nothing is known yet.
    fingerprint: Option<Fingerprint>,
}

/// What a look at the folder changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Loaded for the first time, or again. The file's stem.
    Loaded(String),
    /// It is being compiled, which takes a while.
    Loading(String),
    /// Gone.
    Removed(String),
    /// The file is broken; the sentence.
    Broken(String, String),
    /// It runs, and there is something to know about it; the sentence.
    Noted(String, String),
}

/// The checkers, by the stem of their file.
#[derive(Clone, Debug, Default)]
pub struct Catalogue {
    entries: BTreeMap<String, Entry>,
}

/// Why a check has no checker.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoChecker {
    /// Nothing of that name.
    #[error("there is no checker `{wanted}`{}; put {file}.wasm into the checkers folder", did_you_mean(near.as_deref()))]
    Unknown {
        /// As the check names it.
        wanted: String,
        /// The file to put there.
        file: String,
        /// What it may have meant.
        near: Option<String>,
    },
    /// There, but not in that version.
    #[error(
        "checker `{name}` is here in version {found}, and the check wants {wanted}; change the one or the other"
    )]
    Version {
        /// The name without the version.
        name: String,
        /// What the check wants.
        wanted: String,
        /// What there is.
        found: String,
    },
    /// There, but broken.
    #[error("{0}")]
    Broken(String),
    /// There, and not compiled yet.
    #[error("{0}")]
    Loading(String),
    /// Two files describe themselves by that name.
    #[error("checker `{wanted}` is described by both {first} and {second}; name one of the files instead")]
    Ambiguous {
        /// As the check names it.
        wanted: String,
        /// One file's stem.
        first: String,
        /// Another one's.
        second: String,
    },
}

fn did_you_mean(near: Option<&str>) -> String {
    near.map(|near| format!("; did you mean `{near}`?"))
        .unwrap_or_default()
}

impl Catalogue {
    /// Every file, by its stem.
    #[must_use]
    pub fn entries(&self) -> &BTreeMap<String, Entry> {
        &self.entries
    }

    /// Looks at the folder and loads what is new or changed. Nothing else is touched. What trusted publishers signed is
    /// added to `seen`.
    ///
    /// # Errors
    /// The folder can't be read; nothing has changed then.
    pub async fn rescan(
        &mut self,
        folder: &Path,
        loads: &mut Loads,
        seen: &mut SignedVersions,
    ) -> io::Result<Vec<Change>> {
        let found = folder::wasm_files(folder)?;
        let mut changes = Vec::new();
        self.entries.retain(|stem, _| {
            let stays = found.contains_key(stem);
            if !stays {
                changes.push(Change::Removed(stem.clone()));
            }
            stays
        });
        for (stem, (file, fingerprint)) in &found {
            let before = self.entries.get(stem);
            if before.is_none_or(|entry| entry.fingerprint.as_ref() != Some(fingerprint)) {
                loads.begin(stem, file.clone(), *fingerprint);
            }
        }
        let deadline = loads.deadline();
        while let Some(done) = loads.next(deadline).await {
            // A file that was replaced or removed meanwhile is no longer what was loaded.
            if found
                .get(&done.stem)
                .is_some_and(|(_, fingerprint)| *fingerprint == done.fingerprint)
            {
                changes.push(self.take(done));
            }
        }
        for (stem, (file, fingerprint)) in found {
            if loads.is_under_way(&stem, &fingerprint) {
                changes.extend(self.await_load(stem, file));
            } else if let Some(entry) = self.entries.get_mut(&stem).filter(|entry| entry.is_loading) {
                // It was put back to what it was before its load was over.
                entry.is_loading = false;
                entry.problem = None;
            }
        }
        changes.extend(self.take_notes(seen));
        Ok(changes)
    }

    fn take(&mut self, done: Done) -> Change {
        let Done {
            stem,
            file,
            fingerprint,
            loaded,
        } = done;
        let before = self.entries.get(&stem);
        let kept = before.and_then(|entry| entry.checker.clone());
        let note = before.and_then(|entry| entry.note.clone());
        let fingerprint = Some(fingerprint);
        let (entry, change) = match loaded {
            Ok(loaded) => {
                let checker = loaded.checker;
                // The same bytes, touched or copied again, are the same checker: its checks needn't notice.
                let same = kept.filter(|kept| kept.digest() == checker.digest());
                let entry = Entry {
                    file,
                    checker: Some(same.unwrap_or_else(|| Arc::new(checker))),
                    signer: loaded.signer,
                    note,
                    problem: None,
                    is_loading: false,
                    fingerprint,
                };
                (entry, Change::Loaded(stem.clone()))
            }
            Err(error) => {
                let problem = format!("checker file {}: {error}", file.display());
                let entry = Entry {
                    file,
                    signer: match before {
                        Some(before) if kept.is_some() => before.signer.clone(),
                        _ => Signer::NotChecked,
                    },
                    checker: kept,
                    note,
                    problem: Some(problem.clone()),
                    is_loading: false,
                    fingerprint,
                };
                (entry, Change::Broken(stem.clone(), problem))
            }
        };
        self.entries.insert(stem, entry);
        change
    }

    /// Shows that a file is being compiled, once; what ran before it goes on.
    fn await_load(&mut self, stem: String, file: PathBuf) -> Option<Change> {
        let problem = format!("checker file {} is being compiled", file.display());
        let entry = self.entries.entry(stem.clone()).or_insert_with(|| Entry {
            file,
            checker: None,
            signer: Signer::NotChecked,
            note: None,
            problem: None,
            is_loading: false,
            fingerprint: None,
        });
        if entry.is_loading {
            return None;
        }
        entry.is_loading = true;
        entry.problem = Some(problem);
        Some(Change::Loading(stem))
    }

    fn take_notes(&mut self, seen: &mut SignedVersions) -> Vec<Change> {
        for manifest in self.entries.values().filter_map(|entry| entry.signer.trusted()) {
            seen.see(manifest);
        }
        let notes: Vec<_> = self
            .entries
            .iter()
            .map(|(stem, entry)| (stem.clone(), notes::note(self, stem, entry, seen)))
            .collect();
        let mut changes = Vec::new();
        for (stem, note) in notes {
            if let Some(entry) = self.entries.get_mut(&stem)
                && entry.note != note
            {
                changes.extend(note.clone().map(|note| Change::Noted(stem, note)));
                entry.note = note;
            }
        }
        changes
    }

    /// The checker that a check means, see [`find_entry`](Self::find_entry).
    ///
    /// # Errors
    /// There is none, and why.
    pub fn find(&self, wanted: &str) -> Result<Arc<LoadedChecker>, NoChecker> {
        self.find_entry(wanted).and_then(|(_, entry)| usable(entry))
    }

    /// The file that a check means, with its stem: by that stem, else by the name that the checker describes itself with;
    /// either may be followed by `@` and the beginning of a version, which means the newest one that begins so.
    ///
    /// # Errors
    /// There is none, and why.
    pub fn find_entry(&self, wanted: &str) -> Result<(&str, &Entry), NoChecker> {
        if let Some((stem, entry)) = self.entries.get_key_value(wanted) {
            return Ok((stem, entry));
        }
        let (name, version) = match wanted.split_once('@') {
            Some((name, version)) => (name, Some(version)),
            None => (wanted, None),
        };
        let mut candidates: Vec<(&String, &Entry)> = self
            .entries
            .iter()
            .filter(|(stem, entry)| {
                *stem == name
                    || entry
                        .checker
                        .as_ref()
                        .is_some_and(|checker| checker.descriptor().name == name)
            })
            .collect();
        if let Some(version) = version {
            let found = candidates.first().and_then(|(_, entry)| entry.checker.clone());
            candidates.retain(|(_, entry)| {
                entry
                    .checker
                    .as_ref()
                    .is_some_and(|checker| is_version(&checker.descriptor().version, version))
            });
            if let (true, Some(found)) = (candidates.is_empty(), found) {
                let found = found.descriptor().version.clone();
                return Err(NoChecker::Version {
                    name: name.to_owned(),
                    wanted: version.to_owned(),
                    found,
                });
            }
            let newest = candidates.iter().filter_map(|(_, entry)| version_of(entry)).max();
            candidates.retain(|(_, entry)| version_of(entry) == newest);
        }
        match candidates.as_slice() {
            [] => Err(self.unknown(wanted, name)),
            [(stem, entry)] => Ok((stem, entry)),
            [(first, entry), (second, _), ..] => {
                // A file of that very name goes before those that only describe themselves so.
                match self.entries.get_key_value(name) {
                    Some((stem, exact)) if version.is_none() => Ok((stem, exact)),
                    _ if same_digest(&candidates) => Ok((first, entry)),
                    _ => Err(NoChecker::Ambiguous {
                        wanted: wanted.to_owned(),
                        first: (*first).clone(),
                        second: (*second).clone(),
                    }),
                }
            }
        }
    }

    fn unknown(&self, wanted: &str, name: &str) -> NoChecker {
        let near = nearest(name, self.entries.keys().map(String::as_str)).map(str::to_owned);
        NoChecker::Unknown {
            wanted: wanted.to_owned(),
            file: name.to_owned(),
            near,
        }
    }
}

fn usable(entry: &Entry) -> Result<Arc<LoadedChecker>, NoChecker> {
    entry.checker.clone().ok_or_else(|| {
        let problem = entry.problem.clone().unwrap_or_default();
        if entry.is_loading {
            NoChecker::Loading(problem)
        } else {
            NoChecker::Broken(problem)
        }
    })
}

fn same_digest(candidates: &[(&String, &Entry)]) -> bool {
    let digests: std::collections::BTreeSet<_> = candidates
        .iter()
        .filter_map(|(_, entry)| entry.checker.as_ref())
        .map(|checker| checker.digest())
        .collect();
    digests.len() == 1
}

/// In the order of versions; what isn't one comes before all that are.
fn version_of(entry: &Entry) -> Option<Version> {
    let checker = entry.checker.as_ref()?;
    Version::parse(&checker.descriptor().version).ok()
}

/// `1.2` means any `1.2.x`; `1.2.3` means that one, and what was built or tried out under that number.
fn is_version(version: &str, wanted: &str) -> bool {
    version == wanted
        || version
            .strip_prefix(wanted)
            .is_some_and(|rest| rest.starts_with(['.', '-', '+']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wanted_version_is_the_beginning_of_one() {
        assert!(is_version("1.2.3", "1.2"));
        assert!(is_version("1.2.3", "1.2.3"));
        assert!(!is_version("1.20.3", "1.2"));
    }

    #[test]
    fn an_unknown_checker_is_named_with_the_file_to_add() {
        let error = Catalogue::default().find("http").unwrap_err();
        assert_eq!(
            error.to_string(),
            "there is no checker `http`; put http.wasm into the checkers folder"
        );
    }
}
