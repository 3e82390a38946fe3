//! Building the programs, and running what drives them.

use std::path::PathBuf;
use std::process::Command;

use crate::guests::{self, Guests};
use crate::{cargo, setup};

/// Everything that the demo and the measurements start.
pub(crate) struct Programs {
    folder: PathBuf,
    guests: Guests,
}

/// How to compile.
#[derive(Clone, Copy)]
pub(crate) enum Profile {
    /// Quickly.
    Dev,
    /// For speed.
    Release,
}

impl Programs {
    /// Builds them.
    pub(crate) fn build(profile: Profile) -> anyhow::Result<Self> {
        setup::packages(&[setup::TO_BUILD])?;
        let guests = guests::build()?;
        let mut build = cargo::cargo();
        build.args(["build", "--quiet", "--locked", "--bins"]);
        build.args(
            [
                "picket-agent-host",
                "picket-gateway",
                "picket-platform",
                "picket-tests",
            ]
            .map(|package| format!("--package={package}")),
        );
        let folder = match profile {
            Profile::Dev => "debug",
            Profile::Release => {
                build.arg("--release");
                "release"
            }
        };
        cargo::run(&mut build)?;
        Ok(Self {
            folder: cargo::target_dir()?.join(folder),
            guests,
        })
    }

    /// One of them, told where the others are.
    pub(crate) fn command(&self, name: &str) -> Command {
        let mut command = Command::new(self.folder.join(name));
        command
            .env("PICKET_BIN_DIR", &self.folder)
            .env("PICKET_CHECKERS_DIR", &self.guests.checkers)
            .env("PICKET_GUESTS_DIR", &self.guests.guests);
        command
    }
}
