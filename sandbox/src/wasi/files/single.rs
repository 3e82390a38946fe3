//! Which paths are granted: folders, and single files by name in a folder's handle.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use wasmtime::component::{Resource, ResourceTable};
use wasmtime_wasi::filesystem::{Descriptor, Dir};
use wasmtime_wasi::{FsPerms, OpenMode, WasiCtxBuilder};

use crate::grant::{Grant, GrantSet};
use crate::run::{Failure, FailureClass};

/// The files that are granted one by one. Their folders are handed to the guest, so that it can open a file by its usual
/// path; what a folder's handle may be used for is decided by the open folder that is behind it, never by the handle's
/// number, which is another one's after the handle is dropped.
#[derive(Default)]
pub(crate) struct SingleFiles(Vec<Base>);

pub(super) struct Base {
    folder: Dir,
    path: String,
    names: BTreeSet<String>,
}

impl SingleFiles {
    /// New handles of all the folders, with the paths that the guest knows them by.
    pub(super) fn push(
        &self,
        table: &mut ResourceTable,
    ) -> wasmtime::Result<Vec<(Resource<Descriptor>, String)>> {
        self.0
            .iter()
            .map(|base| {
                let handle = table.push(Descriptor::Dir(base.folder.clone()))?;
                Ok((handle, base.path.clone()))
            })
            .collect()
    }

    /// What may be used of this descriptor; `None` where it is an ordinary one.
    pub(super) fn base(&self, descriptor: &Descriptor) -> Option<&Base> {
        let Descriptor::Dir(dir) = descriptor else {
            return None;
        };
        self.0.iter().find(|base| Arc::ptr_eq(&base.folder.dir, &dir.dir))
    }
}

impl Base {
    pub(super) fn allows(&self, path: &str) -> bool {
        self.names.contains(path)
    }

    /// The grant that would allow a path, where it is a plain name.
    pub(super) fn missing(&self, path: &str) -> Option<Grant> {
        let mut components = Path::new(path).components();
        match (components.next(), components.next()) {
            (Some(Component::Normal(name)), None) => Some(Grant::Read(Path::new(&self.path).join(name))),
            _ => None,
        }
    }
}

pub(super) fn grant(wasi: &mut WasiCtxBuilder, grants: &GrantSet) -> Result<SingleFiles, Failure> {
    let mut folders = Vec::new();
    let mut files = Vec::new();
    for path in grants.readable() {
        match classify(path).map_err(|reason| unsupported(path, &reason))? {
            Granted::Folder => folders.push(path),
            Granted::File { folder, name } => files.push((path, folder, name)),
        }
    }
    for path in &folders {
        wasi.preopened_dir(path, path.to_string_lossy(), FsPerms::ReadOnly)
            .map_err(|error| unsupported(path, &format!("{error:#}")))?;
    }
    let mut bases: BTreeMap<PathBuf, (&Path, BTreeSet<String>)> = BTreeMap::new();
    for (path, folder, name) in files {
        // A granted folder has it already, and a second handle that is nearer to the file would hide its neighbours.
        if folders.iter().any(|granted| path.starts_with(granted)) {
            continue;
        }
        bases
            .entry(folder)
            .or_insert_with(|| (path, BTreeSet::new()))
            .1
            .insert(name);
    }
    bases
        .into_iter()
        .map(|(folder, (path, names))| {
            base(&folder, names).map_err(|error| unsupported(path, &error.to_string()))
        })
        .collect::<Result<_, _>>()
        .map(SingleFiles)
}

fn base(folder: &Path, names: BTreeSet<String>) -> std::io::Result<Base> {
    Ok(Base {
        folder: Dir::new(
            std::fs::File::open(folder)?,
            FsPerms::ReadOnly,
            OpenMode::READ,
            false,
        ),
        path: folder.to_string_lossy().into_owned(),
        names,
    })
}

enum Granted {
    Folder,
    File { folder: PathBuf, name: String },
}

/// A path where nothing is counts as a file, where its folder is there: whether a file exists is worth a check, too, and
/// one that is rotated away may be back when the checker opens it.
fn classify(path: &Path) -> Result<Granted, String> {
    let found = std::fs::symlink_metadata(path);
    let kind = match &found {
        Ok(metadata) => Some(metadata.file_type()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => return Err(error.to_string()),
    };
    if kind.is_some_and(|kind| kind.is_symlink()) {
        let target = std::fs::canonicalize(path).map_err(|error| format!("it is a link: {error}"))?;
        return if target.is_dir() {
            Ok(Granted::Folder)
        } else {
            Err(format!(
                "it is a link: grant the file that it points to, read:{}",
                target.display()
            ))
        };
    }
    if kind.is_some_and(|kind| kind.is_dir()) {
        return Ok(Granted::Folder);
    }
    if kind.is_some_and(|kind| !kind.is_file()) {
        return Err("it is neither a folder nor a regular file, and nothing else is ever opened".to_owned());
    }
    let name = path.file_name().and_then(|name| name.to_str());
    let (Some(folder), Some(name)) = (path.parent(), name) else {
        return Err("it isn't a path of a file".to_owned());
    };
    if kind.is_none() && !folder.is_dir() {
        return Err(format!(
            "there is no such file, and no folder {}",
            folder.display()
        ));
    }
    Ok(Granted::File {
        folder: folder.to_owned(),
        name: name.to_owned(),
    })
}

fn unsupported(path: &Path, reason: &str) -> Failure {
    Failure::new(
        FailureClass::Unsupported,
        format!("read:{} is granted, but {reason}", path.display()),
    )
}
