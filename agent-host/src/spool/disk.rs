//! The few things that a spool asks of a file system, so that tests can take them away.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;

/// A file system.
pub trait Disk: Send + Sync + std::fmt::Debug {
    /// Makes a file of `size` bytes that begins with `head`; the rest is zeros. It is there whole, or not at all.
    ///
    /// # Errors
    /// As the file system says, for example that it is full.
    fn create(&self, path: &Path, head: &[u8], size: usize) -> io::Result<Arc<dyn SegmentFile>>;

    /// Opens a file to be written to.
    ///
    /// # Errors
    /// As the file system says.
    fn open(&self, path: &Path) -> io::Result<Arc<dyn SegmentFile>>;

    /// Replaces a small file as a whole.
    ///
    /// # Errors
    /// As the file system says; the old file is still there then.
    fn replace(&self, path: &Path, text: &[u8]) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// As the file system says.
    fn remove(&self, path: &Path) -> io::Result<()>;
}

/// A file that is open to be written to.
pub trait SegmentFile: Send + Sync {
    /// Writes all of `bytes` at `offset`.
    ///
    /// # Errors
    /// As the file system says.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Returns once everything written will survive a power cut.
    ///
    /// # Errors
    /// As the file system says; what was written since the last success may be gone.
    fn sync(&self) -> io::Result<()>;
}

/// The file system of this machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealDisk;

impl RealDisk {
    fn sync_folder(path: &Path) -> io::Result<()> {
        match path.parent() {
            Some(folder) => File::open(folder)?.sync_all(),
            None => Ok(()),
        }
    }

    fn write_new(path: &Path, fill: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<File> {
        let temporary = path.with_extension("new");
        let write = || {
            let mut file = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&temporary)?;
            fill(&mut file)?;
            file.sync_all()?;
            std::fs::rename(&temporary, path)?;
            Self::sync_folder(path)?;
            Ok(file)
        };
        let written = write();
        if written.is_err() {
            // What was written of it takes room that others may need; it may not even exist.
            let _ = std::fs::remove_file(&temporary);
        }
        written
    }
}

impl Disk for RealDisk {
    fn create(&self, path: &Path, head: &[u8], size: usize) -> io::Result<Arc<dyn SegmentFile>> {
        let file = Self::write_new(path, |file| {
            // Zeros that are written, not merely promised: later syncs change no metadata, and can't run out of room.
            let mut content = vec![0; size];
            content[..head.len()].copy_from_slice(head);
            file.write_all(&content)
        })?;
        Ok(Arc::new(file))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn SegmentFile>> {
        Ok(Arc::new(OpenOptions::new().read(true).write(true).open(path)?))
    }

    fn replace(&self, path: &Path, text: &[u8]) -> io::Result<()> {
        Self::write_new(path, |file| file.write_all(text)).map(drop)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }
}

impl SegmentFile for File {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.write_all_at(bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }
}
