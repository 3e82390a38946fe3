//! Opening what is beneath a folder, without ever waiting for it.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, fstat, openat2};
use rustix::io::Errno;
use wasmtime_wasi::filesystem::{Descriptor, Dir, File};
use wasmtime_wasi::p2::bindings::filesystem::types::{DescriptorType, ErrorCode};
use wasmtime_wasi::{FsPerms, OpenMode};

/// How often a path is tried that others rename while it is looked up.
const ATTEMPTS: u32 = 8;

#[derive(Debug, Clone)]
pub(super) struct Wanted {
    pub(super) path: String,
    /// Whether a link at the end of the path is followed; what it leads to must be beneath the folder, too.
    pub(super) follow: bool,
    /// Nothing but a folder will do.
    pub(super) folder: bool,
}

#[derive(Debug)]
pub(super) enum Error {
    /// There is no `openat2` here (Linux before 5.6, or a filter of system calls).
    NotOffered,
    Refused(ErrorCode),
}

impl From<Errno> for Error {
    fn from(error: Errno) -> Self {
        match error {
            Errno::NOSYS | Errno::PERM => Self::NotOffered,
            // The path leaves the folder.
            Errno::XDEV => Self::Refused(ErrorCode::NotPermitted),
            other => Self::Refused(ErrorCode::from(io::Error::from(other))),
        }
    }
}

/// Opens for reading.
pub(super) async fn beneath(folder: &Dir, wanted: Wanted) -> Result<Descriptor, Error> {
    let folder = Arc::clone(&folder.dir);
    let opening = tokio::task::spawn_blocking(move || open(&folder, &wanted));
    opening.await.unwrap_or(Err(Error::Refused(ErrorCode::Io)))
}

fn open(folder: &std::fs::File, wanted: &Wanted) -> Result<Descriptor, Error> {
    let mut flags = OFlags::CLOEXEC;
    flags.set(OFlags::NOFOLLOW, !wanted.follow);
    flags.set(OFlags::DIRECTORY, wanted.folder);
    // The first look opens nothing: a device would notice even a short visit. The second one is the one that counts.
    let seen = resolve(folder, &wanted.path, flags | OFlags::PATH)?;
    kind(&seen)?;
    let reading = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
    let opened = resolve(folder, &wanted.path, flags | reading)?;
    let kind = kind(&opened)?;
    let file = std::fs::File::from(opened);
    Ok(match kind {
        FileType::Directory => Descriptor::Dir(Dir::new(file, FsPerms::ReadOnly, OpenMode::READ, false)),
        _ => Descriptor::File(File::new(file, FsPerms::ReadOnly, OpenMode::READ, false)),
    })
}

fn resolve(folder: &std::fs::File, path: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
    let beneath = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    let mut attempt = 0;
    loop {
        attempt += 1;
        match openat2(folder, path, flags, Mode::empty(), beneath) {
            Err(Errno::AGAIN) if attempt < ATTEMPTS => {}
            other => return other,
        }
    }
}

fn kind(file: impl AsFd) -> Result<FileType, Error> {
    let kind = FileType::from_raw_mode(fstat(file)?.st_mode);
    let named = match kind {
        FileType::RegularFile => DescriptorType::RegularFile,
        FileType::Directory => DescriptorType::Directory,
        FileType::Symlink => DescriptorType::SymbolicLink,
        _ => DescriptorType::Unknown,
    };
    openable(&named).map_err(Error::Refused)?;
    Ok(kind)
}

/// Refuses what is neither a regular file nor a folder.
pub(super) fn openable(kind: &DescriptorType) -> Result<(), ErrorCode> {
    match kind {
        DescriptorType::RegularFile | DescriptorType::Directory => Ok(()),
        DescriptorType::SymbolicLink => Err(ErrorCode::Loop),
        _ => Err(ErrorCode::NotPermitted),
    }
}
