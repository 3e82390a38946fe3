//! The key folder: one encrypted key file for each authority. Its certificate is the database's.

use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use picket_identity::name::TenantSlug;
use picket_identity::store::{self, StoreError};
use picket_issuing::CertificateAuthority;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use zeroize::Zeroizing;

use super::encryption::{EncryptionKey, KeyError, Sources, is_in_the_clear};
use crate::store::authorities::Ca;

/// A folder that only its owner can enter, and what its files are encrypted with. Cheap to clone.
#[derive(Debug, Clone)]
pub struct KeyFolder(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    sources: Sources,
    /// Where the root's key is, where it was moved out and is brought for this once.
    root: Option<PathBuf>,
    /// Read when a key is first needed, and once: what doesn't issue works without it.
    key: OnceLock<EncryptionKey>,
}

impl KeyFolder {
    /// The folder at `path`, whose encryption key comes from `sources`.
    #[must_use]
    pub fn new(path: &Path, sources: Sources) -> Self {
        Self::with_root(path, sources, None)
    }

    /// As [`KeyFolder::new`], with the file of a root's key that was moved out of it.
    #[must_use]
    pub fn with_root(path: &Path, sources: Sources, root: Option<PathBuf>) -> Self {
        Self(Arc::new(Inner {
            path: path.to_owned(),
            sources,
            root,
            key: OnceLock::new(),
        }))
    }

    fn key(&self) -> Result<&EncryptionKey, KeyError> {
        if let Some(key) = self.0.key.get() {
            return Ok(key);
        }
        let key = self.0.sources.key()?;
        Ok(self.0.key.get_or_init(|| key))
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.path.join(format!("{name}.key"))
    }

    /// Encrypts and writes an authority's key, and returns what the database is to know it by.
    ///
    /// # Errors
    /// [`KeyError`]: no encryption key, or the folder can't be written, or is open to others.
    pub fn store(
        &self,
        kind: &str,
        tenant: Option<&TenantSlug>,
        authority: &CertificateAuthority,
    ) -> Result<String, KeyError> {
        // Named by chance too, so that a new authority of the same kind never writes over the old one's key.
        let unique = uuid::Uuid::new_v4().simple().to_string();
        let name = match tenant {
            Some(tenant) => format!("{kind}-{tenant}-{unique}"),
            None => format!("{kind}-{unique}"),
        };
        let sealed = self.key()?.seal(&name, &authority.key_der())?;
        store::write_secret(&self.file(&name), sealed.as_bytes())?;
        Ok(name)
    }

    /// Whether an authority's key is here.
    #[must_use]
    pub fn has(&self, ca: &Ca) -> bool {
        self.file(&ca.key_ref).symlink_metadata().is_ok()
    }

    /// Reads an authority's key.
    ///
    /// # Errors
    /// [`KeyError`]: the key isn't here, can't be opened, or is another's.
    pub fn load(&self, ca: &Ca) -> Result<CertificateAuthority, KeyError> {
        let path = self.file(&ca.key_ref);
        if !self.has(ca) {
            if let Some(root) = self.0.root.as_ref().filter(|_| ca.kind == "root") {
                return self.load_from(ca, root);
            }
            return Err(KeyError::Absent {
                authority: ca.to_string(),
                path,
                hint: if ca.kind == "root" {
                    "it was moved out: bring its file and give it by --root-key FILE"
                } else {
                    "bring it back from a backup"
                },
            });
        }
        self.open(ca, &store::read_secret(&path)?, &path)
    }

    /// As [`KeyFolder::load`], from a file elsewhere: that of a root which was moved out.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn load_from(&self, ca: &Ca, path: &Path) -> Result<CertificateAuthority, KeyError> {
        self.open(ca, &read(path)?, path)
    }

    fn open(&self, ca: &Ca, file: &[u8], path: &Path) -> Result<CertificateAuthority, KeyError> {
        // Before the encryption key is looked for: who has none yet is told what to do first.
        if is_in_the_clear(file) {
            return Err(KeyError::InTheClear(path.to_owned()));
        }
        let key = self.key()?.open(&ca.key_ref, file, path)?;
        authority(ca, &key, path)
    }

    /// Encrypts a key that lies here in the clear. False where it didn't.
    ///
    /// # Errors
    /// [`KeyError`]: not a key, another authority's, or it can't be written.
    pub fn encrypt(&self, ca: &Ca) -> Result<bool, KeyError> {
        let path = self.file(&ca.key_ref);
        if !self.has(ca) {
            return Ok(false);
        }
        let file = store::read_secret(&path)?;
        if !is_in_the_clear(&file) {
            return Ok(false);
        }
        let der = PrivatePkcs8KeyDer::from_pem_slice(&file).map_err(|_| KeyError::Damaged(path.clone()))?;
        let authority = authority(ca, der.secret_pkcs8_der(), &path)?;
        let sealed = self.key()?.seal(&ca.key_ref, &authority.key_der())?;
        store::write_secret(&path, sealed.as_bytes())?;
        Ok(true)
    }

    /// Moves an authority's key, encrypted as it is, to a file elsewhere. It is gone from here only once the other file
    /// was read again and opened.
    ///
    /// # Errors
    /// [`KeyError`]: it isn't here, can't be opened, or the other file is there already or can't be written.
    pub fn move_out(&self, ca: &Ca, to: &Path) -> Result<(), KeyError> {
        self.load(ca)?;
        let from = self.file(&ca.key_ref);
        let sealed = store::read_secret(&from)?;
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(to)
            .map_err(|error| match error.kind() {
                io::ErrorKind::AlreadyExists => KeyError::Exists(to.to_owned()),
                _ => failed("create", to)(error),
            })?;
        file.write_all(&sealed)
            .and_then(|()| file.sync_all())
            .map_err(failed("write", to))?;
        self.load_from(ca, to)?;
        self.remove(&from)
    }

    /// Destroys an authority's key. It is no error where it is gone already.
    ///
    /// # Errors
    /// [`KeyError::Store`].
    pub fn destroy(&self, key_ref: &str) -> Result<(), KeyError> {
        self.remove(&self.file(key_ref))
    }

    fn remove(&self, path: &Path) -> Result<(), KeyError> {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(failed("remove", path)(error));
            }
            _ => {}
        }
        std::fs::File::open(&self.0.path)
            .and_then(|folder| folder.sync_all())
            .map_err(failed("sync", &self.0.path))
    }
}

fn authority(ca: &Ca, key: &[u8], path: &Path) -> Result<CertificateAuthority, KeyError> {
    CertificateAuthority::from_der(key, CertificateDer::from(ca.certificate.clone())).map_err(|source| {
        KeyError::Unusable {
            path: path.to_owned(),
            source,
        }
    })
}

/// A key's file outside of the key folder. It is encrypted, so whose folder it lies in makes no difference: a stick's,
/// often.
fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    const MAX: u64 = 64 * 1024;
    use std::io::Read as _;
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    let file = std::fs::OpenOptions::new()
        .read(true)
        .custom_flags(i32::try_from(flags.bits()).unwrap_or_default())
        .open(path)
        .map_err(failed("open", path))?;
    // At its full length from the start, so that growing leaves no copy behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(4096));
    file.take(MAX)
        .read_to_end(&mut bytes)
        .map_err(failed("read", path))?;
    Ok(bytes)
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> KeyError + use<> {
    let path = path.to_owned();
    move |source| KeyError::Store(StoreError::Io { action, path, source })
}
