//! The key for which a certificate is asked: kept across tries, so that after a lost reply the platform gives the same
//! certificate again, and gone once that is installed.

use std::io;
use std::path::{Path, PathBuf};

use picket_identity::bundle;
use picket_identity::credential::{CredentialError, PrivateKey};

/// In the identity folder.
pub const PENDING_KEY_FILE: &str = "pending.key";

/// A key without a certificate.
#[derive(Debug)]
pub struct PendingKey {
    key: PrivateKey,
    path: PathBuf,
}

impl PendingKey {
    /// Takes the key of an earlier try, or makes one.
    ///
    /// # Errors
    /// It can't be read, made, or kept.
    pub fn open(folder: &Path) -> Result<Self, CredentialError> {
        let path = folder.join(PENDING_KEY_FILE);
        if path.symlink_metadata().is_ok() {
            let key = PrivateKey::load(&path)?;
            if !is_in_use(&key, folder) {
                return Ok(Self { key, path });
            }
        }
        let key = PrivateKey::generate()?;
        key.store(&path)?;
        Ok(Self { key, path })
    }

    /// The key.
    #[must_use]
    pub fn key(&self) -> &PrivateKey {
        &self.key
    }

    /// Removes the file: the key is the identity's now.
    ///
    /// # Errors
    /// The system refused.
    pub fn remove(&self) -> Result<(), (PathBuf, io::Error)> {
        remove(&self.path)
    }
}

/// Removes what an enrolment left behind that was cut short right after it had installed its certificate.
///
/// # Errors
/// The system refused.
pub fn clean(folder: &Path) -> Result<(), (PathBuf, io::Error)> {
    let path = folder.join(PENDING_KEY_FILE);
    match PrivateKey::load(&path) {
        Ok(key) if is_in_use(&key, folder) => remove(&path),
        _ => Ok(()),
    }
}

/// A certificate never gets a key that had one already.
fn is_in_use(key: &PrivateKey, folder: &Path) -> bool {
    let installed = PrivateKey::load(&bundle::key_path(folder));
    installed.is_ok_and(|installed| installed.public_key() == key.public_key())
}

fn remove(path: &Path) -> Result<(), (PathBuf, io::Error)> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err((path.to_owned(), error)),
        _ => Ok(()),
    }
}
