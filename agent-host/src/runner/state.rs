//! What checkers keep from run to run: one file for each check, replaced whole.

use std::io;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use picket_identity::name::CheckName;
use picket_sandbox::host::state::{StateError, StateStore, Values};

use crate::spool::disk::{Disk, RealDisk};

/// A folder of state.
#[derive(Clone, Debug)]
pub struct FileState {
    folder: PathBuf,
    is_read_only: bool,
}

impl FileState {
    /// State in a folder, which is made.
    ///
    /// # Errors
    /// It can't be made.
    pub fn open(folder: &Path) -> io::Result<Self> {
        use std::os::unix::fs::DirBuilderExt;
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)?;
        Ok(Self {
            folder: folder.to_path_buf(),
            is_read_only: false,
        })
    }

    /// The same state, which runs see and don't change.
    #[must_use]
    pub fn read_only(self) -> Self {
        Self {
            is_read_only: true,
            ..self
        }
    }

    fn path(&self, check: &str) -> Result<PathBuf, StateError> {
        let name: CheckName =
            check
                .parse()
                .map_err(|error: picket_identity::name::NameError| StateError {
                    check: check.to_owned(),
                    reason: error.to_string(),
                })?;
        Ok(self.folder.join(format!("{name}.json")))
    }
}

fn failed(check: &str, reason: &dyn std::fmt::Display) -> StateError {
    StateError {
        check: check.to_owned(),
        reason: reason.to_string(),
    }
}

#[async_trait]
impl StateStore for FileState {
    async fn load(&self, check: &str) -> Result<Values, StateError> {
        let path = self.path(check)?;
        let text = match tokio::fs::read(&path).await {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Values::new()),
            Err(error) => return Err(failed(check, &error)),
        };
        // State is a hint: what can't be read any more is forgotten rather than stopping the check for ever.
        Ok(serde_json::from_slice(&text).unwrap_or_default())
    }

    async fn replace(&self, check: &str, values: Values) -> Result<(), StateError> {
        let path = self.path(check)?;
        if self.is_read_only {
            return Ok(());
        }
        let text = serde_json::to_vec(&values).map_err(|error| failed(check, &error))?;
        let written = tokio::task::spawn_blocking(move || RealDisk.replace(&path, &text)).await;
        written
            .map_err(|error| failed(check, &error))?
            .map_err(|error| failed(check, &error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_was_replaced_is_loaded_again_and_a_broken_file_is_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let state = FileState::open(&folder.path().join("state")).unwrap();
        let values = Values::from([("offset".to_owned(), vec![0, 255])]);
        state.replace("log", values.clone()).await.unwrap();
        assert_eq!(state.load("log").await.unwrap(), values);
        std::fs::write(folder.path().join("state/log.json"), "{").unwrap();
        assert_eq!(state.load("log").await.unwrap(), Values::new());
        assert!(state.load("../log").await.is_err());
    }
}
