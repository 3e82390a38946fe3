//! Compiled components on disk, for this agent alone.
//!
//! Each file is the code, then an HMAC-SHA-256 over the file's key and the code. The HMAC's key is made by the cache and
//! never leaves its folder, so a file that anybody else put there isn't loaded. The code comes first so that the file can be
//! mapped: pages that no run touches take no memory.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::hash::{Hash, Hasher};
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use aws_lc_rs::{digest, hmac};

const TAG: usize = 32;
const SUFFIX: &str = "cwasm";
/// Code of one component; Python's is 35 MB.
const MAX_FILE: u64 = 512 << 20;

/// The cache of compiled components.
pub struct CompileCache {
    dir: PathBuf,
    key: hmac::Key,
    quota: u64,
}

/// Why there is no cache.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// The folder or its key can't be used.
    #[error("compile cache {}: {reason}", path.display())]
    Io {
        /// Which file or folder.
        path: PathBuf,
        /// In the system's words.
        reason: io::Error,
    },
    /// Somebody else could write into it.
    #[error("compile cache {}: {found}; expected a folder of this user with mode 0700", path.display())]
    Exposed {
        /// Which folder.
        path: PathBuf,
        /// What is wrong with it.
        found: String,
    },
}

/// Code that this cache wrote, and that stays what it was found to be even if another file takes its place.
pub(super) struct Verified {
    file: File,
}

impl Verified {
    /// A path that opens this very file.
    pub(super) fn path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.file.as_raw_fd()))
    }
}

/// What names a compiled component: its content and the engine that compiled it.
pub struct CacheKey(String);

impl CompileCache {
    /// Opens or makes the cache. `quota` bounds the bytes in it; the files used longest ago go first.
    ///
    /// # Errors
    /// A folder that can't be made, or that others can write into.
    pub fn open(dir: &Path, quota: u64) -> Result<Self, CacheError> {
        let io = |reason| CacheError::Io {
            path: dir.to_owned(),
            reason,
        };
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)
            .map_err(io)?;
        let metadata = fs::symlink_metadata(dir).map_err(io)?;
        let exposed = |found: String| CacheError::Exposed {
            path: dir.to_owned(),
            found,
        };
        if !metadata.is_dir() {
            return Err(exposed("it isn't a folder".to_owned()));
        }
        if metadata.uid() != rustix::process::geteuid().as_raw() {
            return Err(exposed(format!("it belongs to user {}", metadata.uid())));
        }
        if metadata.permissions().mode() & 0o077 != 0 {
            return Err(exposed(format!(
                "its mode is {:04o}",
                metadata.permissions().mode() & 0o7777
            )));
        }
        let key = own_key(&dir.join("key"))?;
        Ok(Self {
            dir: dir.to_owned(),
            key: hmac::Key::new(hmac::HMAC_SHA256, &key),
            quota,
        })
    }

    pub(super) fn key(&self, engine: &wasmtime::Engine, component: &[u8]) -> CacheKey {
        let mut environment = Sha256Hasher(digest::Context::new(&digest::SHA256));
        engine.precompile_compatibility_hash().hash(&mut environment);
        let environment = environment.0.finish();
        CacheKey(format!(
            "{}-{}",
            hex(&sha256(component)),
            hex(&environment.as_ref()[..16])
        ))
    }

    fn path(&self, key: &CacheKey) -> PathBuf {
        self.dir.join(&key.0).with_extension(SUFFIX)
    }

    /// The code's file, if this cache put it there. One that doesn't verify is removed.
    pub(super) fn get(&self, key: &CacheKey) -> Option<Verified> {
        let path = self.path(key);
        let mut file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "a cached component can't be opened");
                return None;
            }
        };
        match self.verify(&mut file, key) {
            Ok(()) => {
                // The time of last use decides what goes first; a failure only makes that order worse.
                let _ = file.set_modified(SystemTime::now());
                Some(Verified { file })
            }
            Err(reason) => {
                tracing::warn!(path = %path.display(), %reason, "removing a cached component that this agent didn't write");
                let _ = fs::remove_file(&path);
                None
            }
        }
    }

    fn verify(&self, file: &mut File, key: &CacheKey) -> Result<(), String> {
        let words = |error: io::Error| error.to_string();
        let size = file.metadata().map_err(words)?.len();
        let Some(mut code) = size.checked_sub(TAG as u64).filter(|_| size <= MAX_FILE) else {
            return Err(format!("it has {size} bytes"));
        };
        let mut context = self.begin(key);
        let mut buffer = vec![0; 64 << 10];
        while code > 0 {
            let wanted = usize::try_from(code).unwrap_or(usize::MAX).min(buffer.len());
            let Some(part) = buffer.get_mut(..wanted) else {
                break;
            };
            file.read_exact(part).map_err(words)?;
            context.update(part);
            code -= wanted as u64;
        }
        let mut tag = [0; TAG];
        file.read_exact(&mut tag).map_err(words)?;
        aws_lc_rs::constant_time::verify_slices_are_equal(context.sign().as_ref(), &tag)
            .map_err(|_| "its HMAC doesn't fit".to_owned())
    }

    fn begin(&self, key: &CacheKey) -> hmac::Context {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(key.0.as_bytes());
        context.update(b"\0");
        context
    }

    fn tag(&self, key: &CacheKey, code: &[u8]) -> hmac::Tag {
        let mut context = self.begin(key);
        context.update(code);
        context.sign()
    }

    pub(super) fn put(&self, key: &CacheKey, code: &[u8]) -> io::Result<()> {
        let size = (TAG + code.len()) as u64;
        if size > self.quota.min(MAX_FILE) {
            return Ok(());
        }
        self.make_room(size)?;
        write_atomically(&self.path(key), &[code, self.tag(key, code).as_ref()])
    }

    fn make_room(&self, wanted: u64) -> io::Result<()> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let entry = entry?;
            if entry.path().extension().is_some_and(|suffix| suffix == SUFFIX) {
                let metadata = entry.metadata()?;
                files.push((metadata.modified()?, metadata.len(), entry.path()));
            }
        }
        files.sort();
        let mut total: u64 = files.iter().map(|(_, size, _)| size).sum();
        for (_, size, path) in files {
            if total + wanted <= self.quota {
                break;
            }
            fs::remove_file(path)?;
            total -= size;
        }
        Ok(())
    }
}

/// The cache's key, made where there is none. One that others could have read is replaced, which empties the cache.
fn own_key(path: &Path) -> Result<[u8; 32], CacheError> {
    let io = |reason| CacheError::Io {
        path: path.to_owned(),
        reason,
    };
    let mut key = [0_u8; 32];
    match OpenOptions::new()
        .read(true)
        .custom_flags(rustix::fs::OFlags::NOFOLLOW.bits() as i32)
        .open(path)
    {
        Ok(mut file) => {
            let private = file.metadata().map_err(io)?.permissions().mode() & 0o077 == 0;
            if private && file.read_exact(&mut key).is_ok() {
                return Ok(key);
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(io(error)),
    }
    aws_lc_rs::rand::fill(&mut key).map_err(|_| io(io::Error::other("no random numbers")))?;
    write_atomically(path, &[&key]).map_err(io)?;
    Ok(key)
}

fn write_atomically(path: &Path, parts: &[&[u8]]) -> io::Result<()> {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let unique = COUNTER.fetch_add(1, Ordering::Relaxed);
    let temporary = path.with_extension(format!("{}-{unique}.tmp", std::process::id()));
    let write = || {
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&temporary)?;
        for part in parts {
            file.write_all(part)?;
        }
        file.sync_data()?;
        fs::rename(&temporary, path)
    };
    let result = write();
    if result.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    result
}

/// Feeds what wasmtime hashes into SHA-256: `Hasher`'s own 64 bits would be too few to tell engines apart for certain.
struct Sha256Hasher(digest::Context);

impl Hasher for Sha256Hasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        let digest = self.0.clone().finish();
        digest
            .as_ref()
            .iter()
            .take(8)
            .fold(0, |sum, byte| (sum << 8) | u64::from(*byte))
    }
}

pub(super) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    out
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            // Writing into a string never fails.
            let _ = write!(text, "{byte:02x}");
            text
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache(quota: u64) -> (tempfile::TempDir, CompileCache) {
        let dir = tempfile::tempdir().unwrap();
        let cache = CompileCache::open(&dir.path().join("cache"), quota).unwrap();
        (dir, cache)
    }

    fn key(name: &str) -> CacheKey {
        CacheKey(name.to_owned())
    }

    fn code(found: Option<Verified>) -> Vec<u8> {
        let mut bytes = fs::read(found.unwrap().path()).unwrap();
        bytes.truncate(bytes.len() - TAG);
        bytes
    }

    #[test]
    fn what_was_put_is_got_also_after_reopening() {
        let (dir, cache) = cache(1 << 20);
        cache.put(&key("a"), b"code").unwrap();
        assert_eq!(code(cache.get(&key("a"))), b"code");
        let again = CompileCache::open(&dir.path().join("cache"), 1 << 20).unwrap();
        assert_eq!(code(again.get(&key("a"))), b"code");
    }

    #[test]
    fn a_planted_changed_or_renamed_file_is_removed_and_never_returned() {
        let (dir, cache) = cache(1 << 20);
        let file = |name: &str| dir.path().join("cache").join(name).with_extension(SUFFIX);
        fs::write(
            file("planted"),
            b"\x7fELF native code of somebody else, long enough for a tag",
        )
        .unwrap();
        assert!(cache.get(&key("planted")).is_none());
        assert!(!file("planted").exists());
        cache.put(&key("a"), b"code").unwrap();
        fs::copy(file("a"), file("b")).unwrap();
        assert!(cache.get(&key("b")).is_none(), "the code of another component");
        let mut bytes = fs::read(file("a")).unwrap();
        bytes[0] ^= 1;
        fs::write(file("a"), bytes).unwrap();
        assert!(cache.get(&key("a")).is_none());
    }

    #[test]
    fn the_quota_drops_what_was_used_longest_ago() {
        let (dir, cache) = cache(100);
        for (name, age) in [("old", 200), ("older", 100)] {
            cache.put(&key(name), b"code").unwrap();
            let path = dir.path().join("cache").join(name).with_extension(SUFFIX);
            let time = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(age);
            File::options()
                .write(true)
                .open(path)
                .unwrap()
                .set_modified(time)
                .unwrap();
        }
        cache.put(&key("new"), b"code").unwrap();
        assert!(cache.get(&key("older")).is_none());
        assert!(cache.get(&key("old")).is_some() && cache.get(&key("new")).is_some());
    }

    #[test]
    fn a_folder_that_others_can_write_into_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let error = CompileCache::open(dir.path(), 1).err().unwrap().to_string();
        assert!(error.contains("0777") && error.contains("0700"), "{error}");
    }
}
