//! A file that wants to be a checker, read once: what is verified is what is compiled.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use picket_sandbox::component::signature::{self, section};
use picket_sandbox::component::{LoadError, inspect};

use super::folder;

/// A file's bytes, with those of the signature beside it.
#[derive(Debug)]
pub struct Candidate {
    file: PathBuf,
    bytes: Vec<u8>,
    sidecar: io::Result<Option<Vec<u8>>>,
}

impl Candidate {
    /// Reads a file and its signature, both of bounded size. A signature that is there and can't be read is kept as that:
    /// whether it matters is the policy's question.
    ///
    /// # Errors
    /// The component can't be read, or is too large to be one.
    pub fn read(file: &Path) -> Result<Self, LoadError> {
        Ok(Self {
            file: file.to_path_buf(),
            bytes: inspect::read(file)?,
            sidecar: read_sidecar(&folder::sidecar(file)),
        })
    }

    /// Where it was read.
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// All of the file.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The component without its signature section: what is signed, compiled and run.
    #[must_use]
    pub fn component(&self) -> &[u8] {
        // Where the section isn't one, it is no signature either, and the file is taken as it is.
        section::split(&self.bytes).map_or(&self.bytes, |split| split.component)
    }

    /// The signature beside it; `None` where there is none.
    ///
    /// # Errors
    /// There is one, and it can't be read.
    pub fn sidecar(&self) -> Result<Option<&[u8]>, &io::Error> {
        self.sidecar.as_ref().map(Option::as_deref)
    }
}

fn read_sidecar(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::new();
    // One byte more than any signature has shows one that is too long.
    file.take(signature::MAX_BYTES as u64 + 1)
        .read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}
