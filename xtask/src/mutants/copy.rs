//! A copy of the workspace in which things may be broken.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};

pub(super) struct Copy {
    root: PathBuf,
    target: PathBuf,
}

impl Copy {
    /// Copies what git knows or would take, into `folder`. What is there already and the same stays as it is, so that
    /// nothing is compiled anew for it.
    pub(super) fn make(root: &Path, folder: &Path) -> anyhow::Result<Self> {
        let listed = Command::new("git")
            .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
            .current_dir(root)
            .output()
            .context("can't run `git ls-files`")?;
        if !listed.status.success() {
            bail!("`git ls-files`: {}", String::from_utf8_lossy(&listed.stderr));
        }
        let copy = Self {
            root: folder.join("tree"),
            target: folder.join("target"),
        };
        for name in String::from_utf8(listed.stdout)?.split_terminator('\0') {
            // What was deleted and not committed yet is still listed.
            if let Ok(bytes) = fs::read(root.join(name)) {
                copy.write(name, &bytes)?;
            }
        }
        Ok(copy)
    }

    /// Gives a file of the copy this content.
    pub(super) fn write(&self, name: &str, bytes: &[u8]) -> anyhow::Result<()> {
        let path = self.root.join(name);
        if fs::read(&path).is_ok_and(|there| there == bytes) {
            return Ok(());
        }
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(&path, bytes).with_context(|| format!("can't write {}", path.display()))
    }

    pub(super) fn read(&self, name: &str) -> anyhow::Result<String> {
        let path = self.root.join(name);
        fs::read_to_string(&path).with_context(|| format!("can't read {}", path.display()))
    }

    /// A cargo that works in the copy.
    pub(super) fn cargo(&self) -> Command {
        let mut command = crate::cargo::cargo();
        command
            .current_dir(&self.root)
            .env("CARGO_TARGET_DIR", &self.target)
            // Nobody debugs these, and half of the time went into writing what a debugger needs.
            .env("CARGO_PROFILE_DEV_DEBUG", "0")
            .env("CARGO_PROFILE_TEST_DEBUG", "0");
        command
    }
}
