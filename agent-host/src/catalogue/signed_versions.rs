//! The newest version of each checker that each trusted publisher's signature was seen on, kept over restarts: so that an
//! older one, though rightly signed, is seen for what it is.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use picket_sandbox::component::signature::Manifest;
use semver::Version;
use serde::{Deserialize, Serialize};

use crate::spool::disk::{Disk, RealDisk};

/// The file's name in data_dir.
pub const FILE: &str = "signed-versions.json";
const FORMAT: u32 = 1;

/// What was seen, by publisher and checker.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SignedVersions {
    newest: BTreeMap<(String, String), Version>,
}

#[derive(Serialize, Deserialize)]
struct Document {
    format: u32,
    newest: Vec<Line>,
}

#[derive(Serialize, Deserialize)]
struct Line {
    publisher: String,
    checker: String,
    version: String,
}

impl SignedVersions {
    /// Where they are kept.
    #[must_use]
    pub fn path(data_dir: &Path) -> PathBuf {
        data_dir.join(FILE)
    }

    /// Reads what was seen; nothing where there is no file yet.
    ///
    /// # Errors
    /// The file can't be read, or isn't what this program writes.
    pub fn load(path: &Path) -> io::Result<Self> {
        let text = match std::fs::read(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(error),
        };
        let document: Document = serde_json::from_slice(&text)?;
        if document.format != FORMAT {
            let found = format!("its format is {}, expected {FORMAT}", document.format);
            return Err(io::Error::other(found));
        }
        let mut newest = BTreeMap::new();
        for line in document.newest {
            let version =
                Version::parse(&line.version).map_err(|error| io::Error::other(error.to_string()))?;
            newest.insert((line.publisher, line.checker), version);
        }
        Ok(Self { newest })
    }

    /// Writes them: whole, or not at all.
    ///
    /// # Errors
    /// As the file system says.
    pub fn save(&self, path: &Path) -> io::Result<()> {
        let lines = self.newest.iter().map(|((publisher, checker), version)| Line {
            publisher: publisher.clone(),
            checker: checker.clone(),
            version: version.to_string(),
        });
        let document = Document {
            format: FORMAT,
            newest: lines.collect(),
        };
        RealDisk.replace(path, &serde_json::to_vec_pretty(&document)?)
    }

    /// Takes note of what a trusted publisher signed.
    pub fn see(&mut self, manifest: &Manifest) {
        let key = (manifest.publisher().to_owned(), manifest.checker().to_owned());
        let version = manifest.version();
        let newest = self.newest.entry(key).or_insert_with(|| version.clone());
        if version.cmp_precedence(newest) == Ordering::Greater {
            *newest = version.clone();
        }
    }

    /// The version that was here before this one and that is newer.
    #[must_use]
    pub fn newer_than(&self, manifest: &Manifest) -> Option<&Version> {
        let key = (manifest.publisher().to_owned(), manifest.checker().to_owned());
        self.newest
            .get(&key)
            .filter(|newest| newest.cmp_precedence(manifest.version()) == Ordering::Greater)
    }

    /// Who signed a checker of this name, with the newest version of it.
    pub fn of<'a>(&'a self, checker: &'a str) -> impl Iterator<Item = (&'a str, &'a Version)> {
        self.newest
            .iter()
            .filter(move |((_, name), _)| name == checker)
            .map(|((publisher, _), version)| (publisher.as_str(), version))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(version: &str) -> Manifest {
        Manifest::new("http", version, b"", "Acme", 0).unwrap()
    }

    #[test]
    fn the_newest_version_is_kept_whatever_comes_after_it() {
        let mut seen = SignedVersions::default();
        for version in ["1.4.0", "1.10.0-rc.1", "1.10.0", "1.9.0"] {
            seen.see(&manifest(version));
        }
        assert_eq!(seen.newer_than(&manifest("1.9.0")), Some(&Version::new(1, 10, 0)));
        assert_eq!(
            seen.newer_than(&manifest("1.10.0-rc.1")),
            Some(&Version::new(1, 10, 0))
        );
        // Metadata of a build makes none newer (semver §10).
        assert_eq!(seen.newer_than(&manifest("1.10.0+build.7")), None);
    }

    #[test]
    fn what_was_seen_is_known_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let path = SignedVersions::path(folder.path());
        assert_eq!(SignedVersions::load(&path).unwrap(), SignedVersions::default());
        let mut seen = SignedVersions::default();
        seen.see(&manifest("1.4.0"));
        seen.save(&path).unwrap();
        assert_eq!(SignedVersions::load(&path).unwrap(), seen);
        assert_eq!(seen.of("http").count(), 1);
        assert_eq!(seen.of("dns").count(), 0);
    }

    #[test]
    fn a_damaged_file_is_not_taken_for_an_empty_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = SignedVersions::path(folder.path());
        for text in [
            "",
            "{}",
            r#"{"format":2,"newest":[]}"#,
            r#"{"format":1,"newest":[{"publisher":"a","checker":"b","version":"x"}]}"#,
        ] {
            std::fs::write(&path, text).unwrap();
            assert!(SignedVersions::load(&path).is_err(), "{text}");
        }
    }
}
