//! Where the key of the authorities' keys is to be, for an installation that has none yet.

use std::path::{Path, PathBuf};

use super::CliError;
use crate::authority::encryption::{KeyError, Sources, source};

/// What was chosen.
#[derive(Debug)]
pub enum Choice {
    /// The environment or systemd gives it.
    Given,
    /// A file that is there already, for example in a folder that a secrets manager fills.
    There(PathBuf),
    /// A file that is to be made.
    New(PathBuf),
}

/// Chooses: the file that was asked for, what this process is given, or else a file beside the data folder.
///
/// # Errors
/// [`CliError`]: the file would be in the data folder, or there is no place beside it.
pub fn choose(asked: Option<&Path>, data: &Path) -> Result<Choice, CliError> {
    let absolute = |path: &Path| {
        std::path::absolute(path).map_err(|source| CliError::File {
            action: "find",
            path: path.to_owned(),
            source,
        })
    };
    let asked = asked.map(absolute).transpose()?;
    let given = Sources::of_this_process(asked.clone());
    let Some(path) = asked else {
        if !given.is_empty() {
            given.key()?;
            return Ok(Choice::Given);
        }
        let path = source::default_file(data).ok_or_else(|| KeyError::InsideData {
            path: data.to_owned(),
            folder: data.to_owned(),
        })?;
        return Ok(if path.exists() {
            // Of an `init` that didn't get to its end, or of an installation that was here before.
            Choice::There(path)
        } else {
            Choice::New(path)
        });
    };
    source::require_outside(&path, data)?;
    let alone = Sources {
        file: None,
        ..given.clone()
    };
    if path.exists() || !alone.is_empty() {
        // Also says it where the key is given twice.
        given.key()?;
        return Ok(Choice::There(path));
    }
    Ok(Choice::New(path))
}

impl Choice {
    /// Makes the file where there is none.
    ///
    /// # Errors
    /// [`CliError`]: it can't be written, or what is there isn't a key.
    pub fn make(&self) -> Result<(), CliError> {
        match self {
            Self::Given => {}
            Self::There(path) => {
                let sources = Sources {
                    file: Some(path.clone()),
                    ..Sources::default()
                };
                sources.key()?;
            }
            Self::New(path) => {
                source::make_file(path)?;
            }
        }
        Ok(())
    }

    /// What the configuration has to say.
    #[must_use]
    pub fn section(&self) -> String {
        match self {
            Self::Given => String::new(),
            Self::There(path) | Self::New(path) => format!(
                "\n\
                 [keys]\n\
                 # What the authorities' keys are encrypted with. Not in this folder, and in no backup of it.\n\
                 encryption_key_file = {}\n",
                toml::Value::String(path.display().to_string())
            ),
        }
    }

    /// What a person has to know of it.
    #[must_use]
    pub fn advice(&self) -> String {
        match self {
            Self::Given => "the authorities' keys are encrypted with the key that was given; without it no authority can \
                            issue: keep it, and never in one place with a backup of the data folder"
                .to_owned(),
            Self::There(path) | Self::New(path) => format!(
                "the authorities' keys are encrypted with the key in {}; without it no authority can issue: keep a copy, and \
                 never in one place with a backup of the data folder",
                path.display()
            ),
        }
    }
}
