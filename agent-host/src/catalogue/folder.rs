//! The folder of checkers: its files, whether they changed, and how they are put there and taken away.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use picket_sandbox::component::signature;

/// Tells whether a checker's file, or the signature beside it, changed without reading them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fingerprint {
    component: Mark,
    sidecar: Option<Mark>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mark {
    size: u64,
    modified: Option<SystemTime>,
    inode: u64,
}

impl Fingerprint {
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        Ok(Self {
            component: Mark::of(path)?,
            sidecar: Mark::of(&sidecar(path)).ok(),
        })
    }
}

impl Mark {
    fn of(path: &Path) -> io::Result<Self> {
        let meta = std::fs::metadata(path)?;
        Ok(Self {
            size: meta.len(),
            modified: meta.modified().ok(),
            inode: meta.ino(),
        })
    }
}

/// Where the signature of a component is, if it has a file of its own: `http.wasm.sig` for `http.wasm`.
#[must_use]
pub fn sidecar(component: &Path) -> PathBuf {
    let mut name = component.as_os_str().to_owned();
    name.push(".");
    name.push(signature::SIDECAR);
    PathBuf::from(name)
}

pub(crate) fn wasm_files(folder: &Path) -> io::Result<BTreeMap<String, (PathBuf, Fingerprint)>> {
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

/// Puts a checker's file there, or another one in its place: whole, or not at all. The signature goes first, so that at no
/// time a component is there whose signature is still to come; while the two don't fit, the version in memory goes on.
///
/// # Errors
/// As the file system says.
pub fn put(component: &Path, bytes: &[u8], signature: Option<&[u8]>) -> io::Result<()> {
    let sidecar = sidecar(component);
    match signature {
        Some(signature) => replace(&sidecar, signature)?,
        None => remove_if_there(&sidecar)?,
    }
    replace(component, bytes)
}

/// Takes a checker's file and the signature beside it away.
///
/// # Errors
/// As the file system says.
pub fn remove(component: &Path) -> io::Result<()> {
    std::fs::remove_file(component)?;
    remove_if_there(&sidecar(component))
}

/// Writes a file that everybody may read who can enter its folder: neither a checker nor its signature is secret.
///
/// # Errors
/// As the file system says; the old file is still there then.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    let name = path
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    // The catalogue doesn't look at names that begin with a dot.
    let temporary = folder.join(format!(".{name}.{}.new", std::process::id()));
    let write = || {
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o644)
            .open(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&temporary, path)?;
        File::open(folder)?.sync_all()
    };
    let written = write();
    if written.is_err() {
        // What was written of it is worth nothing; it may not even exist.
        let _ = std::fs::remove_file(&temporary);
    }
    written
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_of_the_signature_alone_is_a_change() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("http.wasm");
        put(&path, b"component", None).unwrap();
        let unsigned = Fingerprint::of(&path).unwrap();
        put(&path, b"component", Some(b"signature")).unwrap();
        let signed = Fingerprint::of(&path).unwrap();
        assert_eq!(signed, Fingerprint::of(&path).unwrap());
        std::fs::write(folder.path().join("http.wasm.sig"), b"another one").unwrap();
        let other = Fingerprint::of(&path).unwrap();
        assert!(unsigned != signed && signed != other);
        assert_eq!(signed.component, other.component);
    }

    #[test]
    fn only_whole_components_are_found() {
        let folder = tempfile::tempdir().unwrap();
        for name in [
            "http.wasm",
            ".dns.wasm",
            "tcp.wasm.sig",
            "http@1.2.0.wasm",
            "note.txt",
        ] {
            std::fs::write(folder.path().join(name), b"x").unwrap();
        }
        let found: Vec<_> = wasm_files(folder.path()).unwrap().into_keys().collect();
        assert_eq!(found, ["http", "http@1.2.0"]);
    }

    #[test]
    fn what_was_put_is_removed_with_its_signature() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("http.wasm");
        put(&path, b"component", Some(b"signature")).unwrap();
        assert_eq!(std::fs::read(sidecar(&path)).unwrap(), b"signature");
        remove(&path).unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
