//! Where the encryption key of the authorities' keys comes from: a file, a systemd credential, or the environment. From
//! exactly one of them: a second one is somebody's mistake, and which one would count is nothing to guess at.

use std::fmt;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Component, Path, PathBuf};

use picket_identity::store::{self, StoreError};
use zeroize::Zeroizing;

use super::{EncryptionKey, KeyError};

/// The variable that holds the key.
pub const VARIABLE: &str = "PICKET_CA_KEY";
/// The systemd credential that holds it.
pub const CREDENTIAL: &str = "picket-ca-key";
/// Larger than any key with the spaces around it.
const MAX_CREDENTIAL: u64 = 1024;

/// What says what the key is. Cheap to make: nothing is read before it is asked for.
#[derive(Clone, Default)]
pub struct Sources {
    /// `encryption_key_file`.
    pub file: Option<PathBuf>,
    /// systemd's folder of credentials.
    pub credentials: Option<PathBuf>,
    /// The environment's value.
    pub variable: Option<Zeroizing<String>>,
}

impl Sources {
    /// The file that the configuration names, and what this process's environment has.
    #[must_use]
    pub fn of_this_process(file: Option<PathBuf>) -> Self {
        Self {
            file,
            credentials: std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from),
            variable: std::env::var(VARIABLE).ok().map(Zeroizing::new),
        }
    }

    fn credential(&self) -> Option<PathBuf> {
        let path = self.credentials.as_ref()?.join(CREDENTIAL);
        path.symlink_metadata().is_ok().then_some(path)
    }

    /// Whether nobody says what the key is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.file.is_none() && self.variable.is_none() && self.credential().is_none()
    }

    /// The key.
    ///
    /// # Errors
    /// [`KeyError`]: from nowhere, from several places, or not a key.
    pub fn key(&self) -> Result<EncryptionKey, KeyError> {
        let credential = self.credential();
        let found = [
            self.file
                .as_ref()
                .map(|path| format!("the file {}", path.display())),
            credential
                .as_ref()
                .map(|path| format!("the systemd credential {}", path.display())),
            self.variable.as_ref().map(|_| format!("the variable {VARIABLE}")),
        ];
        let mut found = found.into_iter().flatten();
        let from = found.next().ok_or(KeyError::NoKey)?;
        let others: Vec<String> = found.collect();
        if !others.is_empty() {
            return Err(KeyError::SeveralKeys(format!(
                "{from} and by {}",
                others.join(" and by ")
            )));
        }
        let there = |source| KeyError::NoKeyThere {
            from: from.clone(),
            source,
        };
        let text = match (&self.file, credential, &self.variable) {
            (Some(path), ..) => store::read_secret(path).map_err(there)?,
            (None, Some(path), _) => read_credential(&path).map_err(there)?,
            (None, None, Some(value)) => Zeroizing::new(value.as_bytes().to_vec()),
            (None, None, None) => return Err(KeyError::NoKey),
        };
        EncryptionKey::parse(&text).ok_or(KeyError::NotAKey { from })
    }
}

impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sources")
            .field("file", &self.file)
            .field("credentials", &self.credentials)
            .field("variable", &self.variable.as_ref().map(|_| ".."))
            .finish()
    }
}

/// Reads a credential. systemd gives the service its right to read by an access control list, which shows as a bit of the
/// group: so only what everybody may read is refused here.
fn read_credential(path: &Path) -> Result<Zeroizing<Vec<u8>>, StoreError> {
    use std::io::Read as _;
    let io = |action| {
        move |source| StoreError::Io {
            action,
            path: path.to_owned(),
            source,
        }
    };
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    let file = std::fs::OpenOptions::new()
        .read(true)
        .custom_flags(i32::try_from(flags.bits()).unwrap_or_default())
        .open(path)
        .map_err(io("open"))?;
    let metadata = file.metadata().map_err(io("look at"))?;
    if !metadata.is_file() {
        return Err(StoreError::NotAFile(path.to_owned()));
    }
    if metadata.mode() & 0o007 != 0 {
        return Err(StoreError::Open {
            path: path.to_owned(),
            found: metadata.mode() & 0o7777,
            expected: 0o400,
        });
    }
    let mut text = Zeroizing::new(Vec::with_capacity(MAX_CREDENTIAL as usize));
    file.take(MAX_CREDENTIAL)
        .read_to_end(&mut text)
        .map_err(io("read"))?;
    Ok(text)
}

/// Refuses a place for the key that a copy of the data folder would take along.
///
/// # Errors
/// [`KeyError::InsideData`].
pub fn require_outside(path: &Path, data: &Path) -> Result<(), KeyError> {
    if plain(path).starts_with(plain(data)) {
        return Err(KeyError::InsideData {
            path: path.to_owned(),
            folder: data.to_owned(),
        });
    }
    Ok(())
}

/// A path without its detours: as the system resolves it as far as it is there, and by its words from there on.
fn plain(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut plain = PathBuf::new();
    for part in absolute.components() {
        match part {
            Component::ParentDir => {
                plain.pop();
            }
            Component::CurDir => {}
            part => {
                plain.push(part);
                if let Ok(resolved) = plain.canonicalize() {
                    plain = resolved;
                }
            }
        }
    }
    plain
}

/// Where the key of an installation is made where nobody says: beside the data folder, in a folder of its own.
#[must_use]
pub fn default_file(data: &Path) -> Option<PathBuf> {
    let data = plain(data);
    let mut name = data.file_name()?.to_owned();
    name.push("-ca-key");
    Some(data.with_file_name(name).join("ca.key"))
}

/// Makes a key in a new file, which only its owner can read, in a folder that only its owner can enter.
///
/// # Errors
/// [`KeyError`]: there is a file already, or it can't be written.
pub fn make_file(path: &Path) -> Result<EncryptionKey, KeyError> {
    if path.symlink_metadata().is_ok() {
        return Err(KeyError::Exists(path.to_owned()));
    }
    let key = EncryptionKey::generate()?;
    store::write_secret(path, key.reveal().as_bytes())?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn private_folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
        folder
    }

    fn write(path: &Path, text: &str, mode: u32) {
        std::fs::write(path, text).unwrap();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn each_source_gives_the_key() {
        let folder = private_folder();
        let path = folder.path().join("ca.key");
        let made = make_file(&path).unwrap();
        let text = made.reveal();
        let by_file = Sources {
            file: Some(path),
            ..Sources::default()
        };
        // As systemd gives it where it uses access control lists.
        write(&folder.path().join(CREDENTIAL), &text, 0o440);
        let by_credential = Sources {
            credentials: Some(folder.path().to_owned()),
            ..Sources::default()
        };
        let by_variable = Sources {
            variable: Some(text),
            ..Sources::default()
        };
        for sources in [by_file, by_credential, by_variable] {
            assert_eq!(
                sources.key().unwrap().fingerprint(),
                made.fingerprint(),
                "{sources:?}"
            );
        }
    }

    #[test]
    fn a_folder_of_credentials_without_ours_is_no_source() {
        let folder = private_folder();
        let sources = Sources {
            credentials: Some(folder.path().to_owned()),
            ..Sources::default()
        };
        assert!(sources.is_empty());
        assert!(matches!(sources.key(), Err(KeyError::NoKey)));
    }

    #[test]
    fn two_sources_are_refused_and_both_are_named() {
        let folder = private_folder();
        let path = folder.path().join("ca.key");
        let text = make_file(&path).unwrap().reveal();
        write(&folder.path().join(CREDENTIAL), &text, 0o400);
        let all = Sources {
            file: Some(path),
            credentials: Some(folder.path().to_owned()),
            variable: Some(text.clone()),
        };
        let said = all.key().unwrap_err().to_string();
        for part in ["ca.key", "credential", VARIABLE] {
            assert!(said.contains(part), "{said}");
        }
        assert!(!said.contains(text.trim()));
        for two in [
            Sources {
                file: None,
                ..all.clone()
            },
            Sources {
                credentials: None,
                ..all.clone()
            },
            Sources {
                variable: None,
                ..all
            },
        ] {
            assert!(matches!(two.key(), Err(KeyError::SeveralKeys(_))), "{two:?}");
        }
    }

    #[test]
    fn no_source_is_a_sentence_that_names_all_three() {
        let said = Sources::default().key().unwrap_err().to_string();
        for part in ["encryption_key_file", CREDENTIAL, VARIABLE] {
            assert!(said.contains(part), "{said}");
        }
    }

    #[test]
    fn what_is_no_key_is_refused_without_being_shown() {
        let sources = Sources {
            variable: Some(Zeroizing::new("hunter2".to_owned())),
            ..Sources::default()
        };
        let said = sources.key().unwrap_err().to_string();
        assert!(
            said.contains(VARIABLE) && said.contains("32 random bytes"),
            "{said}"
        );
        assert!(!said.contains("hunter2"));
        assert!(!format!("{sources:?}").contains("hunter2"));
    }

    #[test]
    fn a_key_that_others_can_read_is_refused() {
        let folder = private_folder();
        let path = folder.path().join("ca.key");
        let text = make_file(&path).unwrap().reveal();
        assert_eq!(
            std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        write(&path, &text, 0o644);
        let sources = Sources {
            file: Some(path),
            ..Sources::default()
        };
        assert!(matches!(sources.key(), Err(KeyError::NoKeyThere { .. })));
        write(&folder.path().join(CREDENTIAL), &text, 0o444);
        let sources = Sources {
            credentials: Some(folder.path().to_owned()),
            ..Sources::default()
        };
        assert!(matches!(sources.key(), Err(KeyError::NoKeyThere { .. })));
    }

    #[test]
    fn a_key_inside_of_the_data_folder_is_refused_by_whatever_way() {
        let folder = private_folder();
        let data = folder.path().join("data");
        std::fs::create_dir(&data).unwrap();
        std::os::unix::fs::symlink(&data, folder.path().join("link")).unwrap();
        for inside in [
            "data/ca.key",
            "data/keys/ca.key",
            "other/../data/ca.key",
            "link/ca.key",
            "data",
        ] {
            let refused = require_outside(&folder.path().join(inside), &data);
            assert!(matches!(refused, Err(KeyError::InsideData { .. })), "{inside}");
        }
        for outside in ["ca.key", "data-ca-key/ca.key", "data/../ca.key"] {
            require_outside(&folder.path().join(outside), &data).unwrap();
        }
        require_outside(&default_file(&data).unwrap(), &data).unwrap();
    }

    #[test]
    fn an_existing_file_is_never_written_over() {
        let folder = private_folder();
        let path = folder.path().join("ca.key");
        let made = make_file(&path).unwrap();
        assert!(matches!(make_file(&path), Err(KeyError::Exists(_))));
        let kept = EncryptionKey::parse(&std::fs::read(&path).unwrap()).unwrap();
        assert_eq!(kept.fingerprint(), made.fingerprint());
    }
}
