//! Secrets: one file each, readable by nobody else, in a folder of the agent's or among the service manager's
//! credentials.
//!
//! A credential goes first: it is handed over for this very start of the service, and may be encrypted at rest, where a
//! file in the folder may be left over from before. Where both are there and differ, the log says so once.

mod credential;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use picket_identity::store;
use picket_sandbox::host::secret::{Secret, SecretError, SecretSource};

use crate::internal_events as events;

/// What systemd tells a service of its credentials (systemd.exec(5)).
const CREDENTIALS_DIRECTORY: &str = "CREDENTIALS_DIRECTORY";

/// Where secrets are. Each is read when it is used, so that a changed one needs no restart.
#[derive(Clone, Debug)]
pub struct FileSecrets {
    folder: PathBuf,
    credentials: Option<PathBuf>,
    /// The names whose two secrets differ, as far as that was told.
    told: Arc<Mutex<BTreeSet<String>>>,
}

impl FileSecrets {
    /// The secrets in a folder; it need not exist.
    #[must_use]
    pub fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_path_buf(),
            credentials: None,
            told: Arc::default(),
        }
    }

    /// Those, and before them the credentials that the service manager handed to this process, if it did.
    #[must_use]
    pub fn with_credentials_of_this_service(self) -> Self {
        match std::env::var_os(CREDENTIALS_DIRECTORY).map(PathBuf::from) {
            Some(folder) if folder.is_absolute() => self.with_credentials(&folder),
            _ => self,
        }
    }

    /// Those, and before them the credentials in another folder.
    #[must_use]
    pub fn with_credentials(mut self, folder: &Path) -> Self {
        self.credentials = Some(folder.to_path_buf());
        self
    }

    fn read(&self, name: &str) -> Result<Option<Secret>, String> {
        let credential = match &self.credentials {
            Some(folder) => credential::read(folder, name)?,
            None => None,
        };
        let Some(credential) = credential.map(without_line_feed) else {
            return self.file(name);
        };
        // A file that nobody reads anyway may be as wrong as it likes.
        if let Ok(Some(file)) = self.file(name)
            && file.expose() != credential.expose()
            && self
                .told
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .insert(name.to_owned())
        {
            events::secret_is_twice(name, &self.folder);
        }
        Ok(Some(credential))
    }

    fn file(&self, name: &str) -> Result<Option<Secret>, String> {
        let path = self.folder.join(name);
        if let Err(error) = path.symlink_metadata()
            && error.kind() == std::io::ErrorKind::NotFound
        {
            return Ok(None);
        }
        let bytes = store::read_secret(&path).map_err(|error| error.to_string())?;
        Ok(Some(without_line_feed(Secret::new(bytes.to_vec()))))
    }
}

/// Editors end a file with a line feed, which is no part of a password.
fn without_line_feed(secret: Secret) -> Secret {
    let bytes = secret.expose();
    let Some(line) = bytes.strip_suffix(b"\n") else {
        return secret;
    };
    Secret::new(line.strip_suffix(b"\r").unwrap_or(line).to_vec())
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
        let (this, wanted) = (self.clone(), name.to_owned());
        let read = tokio::task::spawn_blocking(move || this.read(&wanted));
        match read.await {
            Ok(read) => read.map_err(refuse),
            Err(error) => Err(refuse(error.to_string())),
        }
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
    async fn a_credential_goes_before_a_file_and_a_file_fills_in() {
        let (files, credentials) = (folder(), folder());
        put(files.path(), "token", 0o600);
        put(files.path(), "other", 0o600);
        std::fs::write(credentials.path().join("token"), "from systemd\n").unwrap();
        let mode = std::fs::Permissions::from_mode(0o400);
        std::fs::set_permissions(credentials.path().join("token"), mode).unwrap();
        let secrets = FileSecrets::new(files.path()).with_credentials(credentials.path());
        for _ in 0..2 {
            assert_eq!(
                secrets.get("token").await.unwrap().unwrap().expose(),
                b"from systemd"
            );
        }
        assert_eq!(secrets.get("other").await.unwrap().unwrap().expose(), b"hunter2");
        assert!(secrets.get("neither").await.unwrap().is_none());
        let told: Vec<String> = secrets.told.lock().unwrap().iter().cloned().collect();
        assert_eq!(told, ["token"], "that both are there and differ is told once");
    }

    #[tokio::test]
    async fn a_credential_that_others_can_read_is_refused_and_no_file_stands_in() {
        let (files, credentials) = (folder(), folder());
        put(files.path(), "token", 0o600);
        put(credentials.path(), "token", 0o644);
        let secrets = FileSecrets::new(files.path()).with_credentials(credentials.path());
        let error = secrets.get("token").await.unwrap_err().to_string();
        assert!(
            error.contains("mode is 0644") && !error.contains("hunter2"),
            "{error}"
        );
        let open = std::fs::Permissions::from_mode(0o777);
        std::fs::set_permissions(
            credentials.path().join("token"),
            std::fs::Permissions::from_mode(0o400),
        )
        .unwrap();
        std::fs::set_permissions(credentials.path(), open).unwrap();
        let error = secrets.get("token").await.unwrap_err().to_string();
        assert!(error.contains("folder"), "{error}");
    }

    #[test]
    fn debug_shows_no_secret() {
        let files = folder();
        put(files.path(), "token", 0o600);
        let secrets = FileSecrets::new(files.path());
        secrets.read("token").unwrap().unwrap();
        assert!(!format!("{secrets:?}").contains("hunter2"));
    }

    #[tokio::test]
    async fn a_name_is_never_a_path() {
        let folder = folder();
        for name in ["../token", "a/b", "", ".", ".."] {
            assert!(FileSecrets::new(folder.path()).get(name).await.is_err(), "{name}");
        }
    }
}
