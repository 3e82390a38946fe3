//! Files that hold secrets: who may read them, and how they are replaced.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use thiserror::Error;
use zeroize::Zeroizing;

/// Larger than any key or certificate chain of ours.
const MAX_FILE: u64 = 1024 * 1024;

/// A file of an identity can't be read or written as it has to be.
#[derive(Debug, Error)]
pub enum StoreError {
    /// The system refused.
    #[error("{action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Somebody could swap what a symlink points at.
    #[error("{} is a symlink: expected a regular file; put the file itself there", .0.display())]
    Symlink(PathBuf),
    /// Not a file.
    #[error("{} isn't a regular file", .0.display())]
    NotAFile(PathBuf),
    /// Others can read it.
    #[error("{} has mode {found:04o}, open to others: expected {expected:04o}; run chmod {expected:o} on it", path.display())]
    Open {
        /// Which file or folder.
        path: PathBuf,
        /// Its mode.
        found: u32,
        /// The mode that it should have.
        expected: u32,
    },
    /// Somebody else owns it.
    #[error("{} belongs to user {found}: expected user {expected}, who runs this program, or root", path.display())]
    Owner {
        /// Which file.
        path: PathBuf,
        /// Its owner.
        found: u32,
        /// Who runs this program.
        expected: u32,
    },
    /// Too large to be what it should be.
    #[error("{} has more than {MAX_FILE} bytes", .0.display())]
    TooLarge(PathBuf),
}

fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError + use<> {
    let path = path.to_owned();
    move |source| StoreError::Io { action, path, source }
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// Reads a file that only its owner may read.
///
/// # Errors
/// A symlink, a file or folder open to others, a foreign owner, or the system's refusal.
pub fn read_secret(path: &Path) -> Result<Zeroizing<Vec<u8>>, StoreError> {
    check_folder(folder_of(path))?;
    // The checks look at the opened file: a name could be given to another file between a check and its use.
    let file = open_no_symlink(path)?;
    let metadata = file.metadata().map_err(io("look at", path))?;
    let mode = metadata.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(StoreError::Open {
            path: path.to_owned(),
            found: mode,
            expected: 0o600,
        });
    }
    let user = rustix::process::geteuid().as_raw();
    if metadata.uid() != user && metadata.uid() != 0 {
        return Err(StoreError::Owner {
            path: path.to_owned(),
            found: metadata.uid(),
            expected: user,
        });
    }
    read_bounded(file, path).map(Zeroizing::new)
}

/// Reads a text file that isn't secret, but that must not be a symlink either.
///
/// # Errors
/// A symlink, not text, or the system's refusal.
pub fn read_public(path: &Path) -> Result<String, StoreError> {
    let bytes = read_bounded(open_no_symlink(path)?, path)?;
    String::from_utf8(bytes).map_err(|error| StoreError::Io {
        action: "read",
        path: path.to_owned(),
        source: io::Error::other(error),
    })
}

fn open_no_symlink(path: &Path) -> Result<File, StoreError> {
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    let flags = i32::try_from(flags.bits()).unwrap_or_default();
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags)
        .open(path)
        .map_err(|error| {
            if error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) {
                StoreError::Symlink(path.to_owned())
            } else {
                io("open", path)(error)
            }
        })?;
    if !file.metadata().map_err(io("look at", path))?.is_file() {
        return Err(StoreError::NotAFile(path.to_owned()));
    }
    Ok(file)
}

fn read_bounded(file: File, path: &Path) -> Result<Vec<u8>, StoreError> {
    let mut bytes = Vec::new();
    file.take(MAX_FILE + 1)
        .read_to_end(&mut bytes)
        .map_err(io("read", path))?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(StoreError::TooLarge(path.to_owned()));
    }
    Ok(bytes)
}

/// Writes a file that only its owner can read, whole or not at all.
///
/// # Errors
/// A folder open to others, a symlink in the way, or the system's refusal.
pub fn write_secret(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    write(path, bytes, 0o600)
}

/// Writes a file that everybody may read who can enter its folder, whole or not at all.
///
/// # Errors
/// A folder open to others, a symlink in the way, or the system's refusal.
pub fn write_public(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    write(path, bytes, 0o644)
}

fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<(), StoreError> {
    let folder = folder_of(path);
    make_folder(folder)?;
    if path
        .symlink_metadata()
        .is_ok_and(|metadata| metadata.is_symlink())
    {
        return Err(StoreError::Symlink(path.to_owned()));
    }
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{}.new", std::process::id()));
    let temporary = folder.join(name);
    let written = write_new(&temporary, bytes, mode)
        .and_then(|()| fs::rename(&temporary, path).map_err(io("rename to", path)));
    if let Err(error) = written {
        // What was half written is worth nothing, and an error in removing it would hide the real one.
        let _ = fs::remove_file(&temporary);
        return Err(error);
    }
    sync_folder(folder)
}

fn write_new(path: &Path, bytes: &[u8], mode: u32) -> Result<(), StoreError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io("remove", path)(error)),
        _ => {}
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)
        .map_err(io("create", path))?;
    // The process's umask may have taken bits away.
    file.set_permissions(Permissions::from_mode(mode))
        .map_err(io("set the mode of", path))?;
    file.write_all(bytes).map_err(io("write", path))?;
    file.sync_all().map_err(io("sync", path))
}

/// Makes a folder that only its owner can enter, or checks the one that is there.
///
/// # Errors
/// A folder open to others, or the system's refusal.
pub fn make_folder(folder: &Path) -> Result<(), StoreError> {
    if !folder.exists() {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(io("make", folder))?;
    }
    check_folder(folder)
}

fn check_folder(folder: &Path) -> Result<(), StoreError> {
    let mode = fs::metadata(folder).map_err(io("look at", folder))?.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(StoreError::Open {
            path: folder.to_owned(),
            found: mode,
            expected: 0o700,
        });
    }
    Ok(())
}

pub(crate) fn sync_folder(folder: &Path) -> Result<(), StoreError> {
    File::open(folder)
        .and_then(|opened| opened.sync_all())
        .map_err(io("sync", folder))
}
