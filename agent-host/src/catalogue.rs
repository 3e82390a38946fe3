//! The checkers that customers dropped into a folder.
//!
//! A file that is new or changed is loaded; a broken one is shown with its problem, and where there was a good version of
//! it before, that one goes on. Runs under way finish on the version that they began with.
//!
//! - [`loaded`]: one checker in memory, and everything that is asked of the sandbox's loader.

pub mod loaded;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use crate::config::nearest;
use loaded::{LoadedChecker, Loader};

/// Tells whether a file changed without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Fingerprint {
    size: u64,
    modified: Option<SystemTime>,
    inode: u64,
}

impl Fingerprint {
    fn of(path: &Path) -> io::Result<Self> {
        use std::os::unix::fs::MetadataExt;
        let meta = std::fs::metadata(path)?;
        Ok(Self {
            size: meta.len(),
            modified: meta.modified().ok(),
            inode: meta.ino(),
        })
    }
}

/// One file of the folder.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The file.
    pub file: PathBuf,
    /// The version in use: the last one that was good.
    pub checker: Option<Arc<LoadedChecker>>,
    /// What is wrong with the file as it is now.
    pub problem: Option<String>,
    fingerprint: Fingerprint,
}

/// What a look at the folder changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Loaded for the first time, or again. The file's stem.
    Loaded(String),
    /// Gone.
    Removed(String),
    /// The file is broken; the sentence.
    Broken(String, String),
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

    /// Looks at the folder and loads what is new or changed. Nothing else is touched.
    ///
    /// # Errors
    /// The folder can't be read; nothing has changed then.
    pub async fn rescan(&mut self, folder: &Path, loader: &Loader) -> io::Result<Vec<Change>> {
        let found = wasm_files(folder)?;
        let mut changes = Vec::new();
        self.entries.retain(|stem, _| {
            let stays = found.contains_key(stem);
            if !stays {
                changes.push(Change::Removed(stem.clone()));
            }
            stays
        });
        for (stem, (file, fingerprint)) in found {
            let before = self.entries.get(&stem);
            if before.is_some_and(|entry| entry.fingerprint == fingerprint) {
                continue;
            }
            let kept = before.and_then(|entry| entry.checker.clone());
            let entry = match loader.load(&file).await {
                Ok(checker) => {
                    changes.push(Change::Loaded(stem.clone()));
                    // The same bytes, touched or copied again, are the same checker: its checks needn't notice.
                    let same = kept.filter(|kept| kept.digest() == checker.digest());
                    Entry {
                        file,
                        checker: Some(same.unwrap_or_else(|| Arc::new(checker))),
                        problem: None,
                        fingerprint,
                    }
                }
                Err(error) => {
                    let problem = format!("checker file {}: {error}", file.display());
                    changes.push(Change::Broken(stem.clone(), problem.clone()));
                    Entry {
                        file,
                        checker: kept,
                        problem: Some(problem),
                        fingerprint,
                    }
                }
            };
            self.entries.insert(stem, entry);
        }
        Ok(changes)
    }

    /// The checker that a check means: by its file's stem, else by the name that it describes itself with; either may be
    /// followed by `@` and the beginning of a version.
    ///
    /// # Errors
    /// There is none, and why.
    pub fn find(&self, wanted: &str) -> Result<Arc<LoadedChecker>, NoChecker> {
        if let Some(entry) = self.entries.get(wanted) {
            return usable(entry);
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
        }
        match candidates.as_slice() {
            [] => Err(self.unknown(wanted, name)),
            [(_, entry)] => usable(entry),
            [(first, entry), (second, _), ..] => {
                // A file of that very name goes before those that only describe themselves so.
                match self.entries.get(name) {
                    Some(exact) if version.is_none() => usable(exact),
                    _ if same_digest(&candidates) => usable(entry),
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
    entry
        .checker
        .clone()
        .ok_or_else(|| NoChecker::Broken(entry.problem.clone().unwrap_or_default()))
}

fn same_digest(candidates: &[(&String, &Entry)]) -> bool {
    let digests: std::collections::BTreeSet<_> = candidates
        .iter()
        .filter_map(|(_, entry)| entry.checker.as_ref())
        .map(|checker| checker.digest())
        .collect();
    digests.len() == 1
}

/// `1.2` means any `1.2.x`; `1.2.3` means that one.
fn is_version(version: &str, wanted: &str) -> bool {
    version == wanted
        || version
            .strip_prefix(wanted)
            .is_some_and(|rest| rest.starts_with(['.', '-', '+']))
}

fn wasm_files(folder: &Path) -> io::Result<BTreeMap<String, (PathBuf, Fingerprint)>> {
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let stem = path
            .file_stem()
            .and_then(|stem| stem.to_str())
            .unwrap_or_default()
            .to_owned();
        let is_wasm = path.extension().is_some_and(|extension| extension == "wasm");
        if !is_wasm || stem.is_empty() || stem.starts_with('.') {
            continue;
        }
        // A file that vanished since the folder was read is gone.
        if let Ok(fingerprint) = Fingerprint::of(&path) {
            files.insert(stem, (path, fingerprint));
        }
    }
    Ok(files)
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
