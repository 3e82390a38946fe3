//! Secrets: one file each, readable by nobody else.

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use picket_identity::store;
use picket_sandbox::host::secret::{Secret, SecretError, SecretSource};

/// A folder of secrets. Each is read when it is used, so that a changed one needs no restart.
#[derive(Clone, Debug)]
pub struct FileSecrets {
    folder: PathBuf,
}

impl FileSecrets {
    /// The secrets in a folder; it need not exist.
    #[must_use]
    pub fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_path_buf(),
        }
    }
}

#[async_trait]
impl SecretSource for FileSecrets {
    async fn get(&self, name: &str) -> Result<Option<Secret>, SecretError> {
        let refuse = |reason: String| SecretError {
            name: name.to_owned(),
            reason,
        };
        // A grant's name is checked when it is parsed; a path must not come of it even so.
        if name.is_empty() || name.starts_with('.') || name.contains(['/', '\\', '\0']) {
            return Err(refuse("is not the name of a file".to_owned()));
        }
        let path = self.folder.join(name);
        let read = tokio::task::spawn_blocking(move || match path.symlink_metadata() {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            _ => store::read_secret(&path).map(Some),
        });
        let bytes = match read.await {
            Ok(Ok(Some(bytes))) => bytes,
            Ok(Ok(None)) => return Ok(None),
            Ok(Err(error)) => return Err(refuse(error.to_string())),
            Err(error) => return Err(refuse(error.to_string())),
        };
        // Editors end a file with a line feed, which is no part of a password.
        let trimmed = bytes
            .strip_suffix(b"\n")
            .map_or(bytes.as_slice(), |line| line.strip_suffix(b"\r").unwrap_or(line));
        Ok(Some(Secret::new(trimmed.to_vec())))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
        folder
    }

    fn put(folder: &Path, name: &str, mode: u32) {
        std::fs::write(folder.join(name), "hunter2\n").unwrap();
        std::fs::set_permissions(folder.join(name), std::fs::Permissions::from_mode(mode)).unwrap();
    }

    #[tokio::test]
    async fn a_secret_is_its_file_without_the_last_line_feed() {
        let folder = folder();
        put(folder.path(), "token", 0o600);
        let secrets = FileSecrets::new(folder.path());
        assert_eq!(secrets.get("token").await.unwrap().unwrap().expose(), b"hunter2");
        assert!(secrets.get("other").await.unwrap().is_none());
    }

    #[tokio::test]
    async fn a_secret_that_others_can_read_is_refused() {
        let folder = folder();
        put(folder.path(), "token", 0o644);
        let error = FileSecrets::new(folder.path()).get("token").await.unwrap_err();
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }

    #[tokio::test]
    async fn a_name_is_never_a_path() {
        let folder = folder();
        for name in ["../token", "a/b", "", ".", ".."] {
            assert!(FileSecrets::new(folder.path()).get(name).await.is_err(), "{name}");
        }
    }
}
