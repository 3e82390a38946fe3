//! All files of checks together, across reloads.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use picket_identity::name::CheckName;

use super::check_file::{self, CheckConfig};
use super::problem::{Problem, Source};

/// A check as it stands: what runs, and what is wrong with its configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Configured {
    /// The last version that was right; `None` where there never was one.
    pub check: Option<CheckConfig>,
    /// What is wrong with the version on disk; `None` where that one runs.
    pub problem: Option<String>,
    /// The file that it is in.
    pub file: PathBuf,
}

/// Every check that is configured, with the last good version of those that are broken now.
#[derive(Clone, Debug, Default)]
pub struct CheckSet {
    checks: BTreeMap<CheckName, Configured>,
    problems: Vec<Problem>,
    unreadable: Vec<String>,
}

impl CheckSet {
    /// The checks, by name.
    #[must_use]
    pub fn checks(&self) -> &BTreeMap<CheckName, Configured> {
        &self.checks
    }

    /// What is wrong in the files now.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// Files that can't even be read, each in a sentence.
    #[must_use]
    pub fn unreadable(&self) -> &[String] {
        &self.unreadable
    }

    /// Reads the folder again. What is right replaces what was; what is wrong leaves what was.
    ///
    /// # Errors
    /// The folder itself can't be read; nothing has changed then.
    pub fn reload(&mut self, folder: &Path) -> io::Result<()> {
        let mut files = BTreeMap::new();
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            let is_hidden = path
                .file_name()
                .is_some_and(|name| name.to_string_lossy().starts_with('.'));
            if path.extension().is_some_and(|extension| extension == "toml") && !is_hidden {
                files.insert(
                    path.clone(),
                    std::fs::read_to_string(&path).map_err(|error| error.to_string()),
                );
            }
        }
        self.apply(files);
        Ok(())
    }

    /// The same with the files' texts passed in; a text that couldn't be read is the reason.
    pub fn apply(&mut self, files: BTreeMap<PathBuf, Result<String, String>>) {
        let before = std::mem::take(&mut self.checks);
        self.problems.clear();
        self.unreadable.clear();
        for (path, text) in files {
            match text {
                Ok(text) => self.apply_file(&Source::new(path, text), &before),
                Err(reason) => {
                    let problem = format!("can't read {}: {reason}", path.display());
                    self.keep_others(&path, &before, &BTreeSet::new(), &problem);
                    self.unreadable.push(problem);
                }
            }
        }
    }

    fn apply_file(&mut self, source: &Source, before: &BTreeMap<CheckName, Configured>) {
        let file = check_file::parse(source);
        let mut named = BTreeSet::new();
        for check in file.checks {
            named.insert(check.name.clone());
            if self.is_taken(&check.name, source) {
                continue;
            }
            let path = source.path().to_path_buf();
            self.checks.insert(
                check.name.clone(),
                Configured {
                    check: Some(check),
                    problem: None,
                    file: path,
                },
            );
        }
        for (name, problem) in file.broken {
            named.insert(name.clone());
            if self.is_taken(&name, source) {
                continue;
            }
            let kept = before.get(&name).and_then(|configured| configured.check.clone());
            let path = source.path().to_path_buf();
            self.checks.insert(
                name,
                Configured {
                    check: kept,
                    problem: Some(problem),
                    file: path,
                },
            );
        }
        if file.incomplete {
            let first = file.problems.first().map(Problem::sentence).unwrap_or_default();
            self.keep_others(source.path(), before, &named, &first);
        }
        self.problems.extend(file.problems);
    }

    /// Keeps the checks that `path` had before and that can't be found in it now because it is broken.
    fn keep_others(
        &mut self,
        path: &Path,
        before: &BTreeMap<CheckName, Configured>,
        named: &BTreeSet<CheckName>,
        problem: &str,
    ) {
        for (name, configured) in before {
            if configured.file == path && !named.contains(name) && !self.checks.contains_key(name) {
                let kept = Configured {
                    problem: Some(problem.to_owned()),
                    ..configured.clone()
                };
                self.checks.insert(name.clone(), kept);
            }
        }
    }

    /// Two files may not have a check of the same name; the first file, by name, has it.
    fn is_taken(&mut self, name: &CheckName, source: &Source) -> bool {
        let Some(first) = self.checks.get(name) else {
            return false;
        };
        if first.file == source.path() {
            return false;
        }
        let at = source.text().find(&format!("check.{name}")).unwrap_or(0);
        let span = at..(at + "check.".len() + name.as_str().len()).min(source.text().len());
        self.problems.push(
            Problem::new(
                source,
                span,
                format!("check `{name}` is already configured in {}", first.file.display()),
                "a second one",
            )
            .with_help("give one of the two another name, or remove it"),
        );
        true
    }
}
