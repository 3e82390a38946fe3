//! `wasi:filesystem` as granted: folders with all that is in them, and single files in a folder of which nothing else is
//! seen. Read only, beneath the folder's handle, and regular files only: opening a pipe could wait for ever, and opening a
//! device could do anything.

mod open;
mod single;

use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, Resource};
use wasmtime_wasi::WasiCtxBuilder;
use wasmtime_wasi::filesystem::{Descriptor, WasiFilesystemView as _};
use wasmtime_wasi::p2::bindings::filesystem::preopens::Host as _;
use wasmtime_wasi::p2::bindings::filesystem::types::{
    DescriptorFlags, DescriptorStat, DirectoryEntryStream, ErrorCode, Host as _, HostDescriptor as _,
    MetadataHashValue, OpenFlags, PathFlags,
};
use wasmtime_wasi::p2::{FsError, FsResult};

use crate::grant::GrantSet;
use crate::run::{Failure, RunState};

pub(crate) use single::SingleFiles;

// The names under which wasmtime-wasi defines them.
const PREOPENS: &str = "wasi:filesystem/preopens@0.2.12";
const TYPES: &str = "wasi:filesystem/types@0.2.12";

type Store<'a> = StoreContextMut<'a, RunState>;
type Handle = Resource<Descriptor>;

/// Opens what is granted: folders go into the context, single files come back.
///
/// # Errors
/// A granted path that can't be opened, or that is no folder and no regular file.
pub(super) fn grant(wasi: &mut WasiCtxBuilder, grants: &GrantSet) -> Result<SingleFiles, Failure> {
    single::grant(wasi, grants)
}

/// To be called where shadowing is allowed.
pub(super) fn add_to_linker(linker: &mut Linker<RunState>) -> wasmtime::Result<()> {
    linker
        .instance(PREOPENS)?
        .func_wrap("get-directories", |mut store: Store<'_>, (): ()| {
            let run = store.data_mut();
            let mut found = run.filesystem().get_directories()?;
            found.extend(run.files.push(&mut run.table)?);
            Ok((found,))
        })?;
    let mut types = linker.instance(TYPES)?;
    types.func_wrap_async(
        "[method]descriptor.open-at",
        |mut store: Store<'_>,
         (folder, follow, path, how, flags): (Handle, PathFlags, String, OpenFlags, DescriptorFlags)| {
            Box::new(async move {
                let run = store.data_mut();
                let opened = open_at(run, folder, follow, path, how, flags).await;
                Ok((answer(run, opened)?,))
            })
        },
    )?;
    types.func_wrap_async(
        "[method]descriptor.stat-at",
        |mut store: Store<'_>, (folder, follow, path): (Handle, PathFlags, String)| {
            Box::new(async move {
                let run = store.data_mut();
                let found = stat_at(run, folder, follow, path).await;
                Ok((answer(run, found)?,))
            })
        },
    )?;
    types.func_wrap_async(
        "[method]descriptor.metadata-hash-at",
        |mut store: Store<'_>, (folder, follow, path): (Handle, PathFlags, String)| {
            Box::new(async move {
                let run = store.data_mut();
                let found = hash_at(run, folder, follow, path).await;
                Ok((answer(run, found)?,))
            })
        },
    )?;
    add_folders_own(&mut types)
}

/// The functions that a folder of single files doesn't have at all.
fn add_folders_own(types: &mut wasmtime::component::LinkerInstance<'_, RunState>) -> wasmtime::Result<()> {
    types.func_wrap_async(
        "[method]descriptor.readlink-at",
        |mut store: Store<'_>, (folder, path): (Handle, String)| {
            Box::new(async move {
                let run = store.data_mut();
                let found: FsResult<String> = match whole(run, &folder) {
                    Ok(()) => run.filesystem().readlink_at(folder, path).await,
                    Err(error) => Err(error),
                };
                Ok((answer(run, found)?,))
            })
        },
    )?;
    types.func_wrap_async(
        "[method]descriptor.read-directory",
        |mut store: Store<'_>, (folder,): (Handle,)| {
            Box::new(async move {
                let run = store.data_mut();
                let found: FsResult<Resource<DirectoryEntryStream>> = match whole(run, &folder) {
                    Ok(()) => run.filesystem().read_directory(folder).await,
                    Err(error) => Err(error),
                };
                Ok((answer(run, found)?,))
            })
        },
    )?;
    types.func_wrap_async(
        "[method]descriptor.stat",
        |mut store: Store<'_>, (descriptor,): (Handle,)| {
            Box::new(async move {
                let run = store.data_mut();
                let found: FsResult<DescriptorStat> = match whole(run, &descriptor) {
                    Ok(()) => run.filesystem().stat(descriptor).await,
                    Err(error) => Err(error),
                };
                Ok((answer(run, found)?,))
            })
        },
    )?;
    types.func_wrap_async(
        "[method]descriptor.metadata-hash",
        |mut store: Store<'_>, (descriptor,): (Handle,)| {
            Box::new(async move {
                let run = store.data_mut();
                let found: FsResult<MetadataHashValue> = match whole(run, &descriptor) {
                    Ok(()) => run.filesystem().metadata_hash(descriptor).await,
                    Err(error) => Err(error),
                };
                Ok((answer(run, found)?,))
            })
        },
    )
}

/// What the guest sees of an error; the error itself where it is one that ends the run.
fn answer<T>(run: &mut RunState, result: FsResult<T>) -> wasmtime::Result<Result<T, ErrorCode>> {
    match result {
        Ok(value) => Ok(Ok(value)),
        Err(error) => Ok(Err(run.filesystem().convert_error_code(error)?)),
    }
}

/// Refuses the folder of single files.
fn whole(run: &RunState, descriptor: &Handle) -> FsResult<()> {
    match run.files.base(run.table.get(descriptor)?) {
        None => Ok(()),
        Some(_) => Err(ErrorCode::NotPermitted.into()),
    }
}

/// How to follow links at the end of a path, where the path may be asked for at all: of a granted file itself, a link
/// isn't followed, as what it leads to isn't granted.
fn following(run: &RunState, folder: &Handle, follow: PathFlags, path: &str) -> FsResult<PathFlags> {
    let Some(base) = run.files.base(run.table.get(folder)?) else {
        return Ok(follow);
    };
    if base.allows(path) {
        return Ok(PathFlags::empty());
    }
    if let Some(missing) = base.missing(path) {
        // Remembered for the operator; the guest gets WASI's own error.
        let _ = run.guard.note(run.guard.grants().satisfies(&missing));
    }
    Err(ErrorCode::NotPermitted.into())
}

async fn stat_at(
    run: &mut RunState,
    folder: Handle,
    follow: PathFlags,
    path: String,
) -> FsResult<DescriptorStat> {
    let follow = following(run, &folder, follow, &path)?;
    run.filesystem().stat_at(folder, follow, path).await
}

async fn hash_at(
    run: &mut RunState,
    folder: Handle,
    follow: PathFlags,
    path: String,
) -> FsResult<MetadataHashValue> {
    let follow = following(run, &folder, follow, &path)?;
    run.filesystem().metadata_hash_at(folder, follow, path).await
}

async fn open_at(
    run: &mut RunState,
    folder: Handle,
    follow: PathFlags,
    path: String,
    how: OpenFlags,
    flags: DescriptorFlags,
) -> FsResult<Handle> {
    let follow = following(run, &folder, follow, &path)?;
    let changes = OpenFlags::CREATE | OpenFlags::EXCLUSIVE | OpenFlags::TRUNCATE;
    if how.intersects(changes) || flags.contains(DescriptorFlags::WRITE) {
        return Err(ErrorCode::NotPermitted.into());
    }
    let Descriptor::Dir(dir) = run.table.get(&folder)? else {
        return Err(ErrorCode::NotDirectory.into());
    };
    let wanted = open::Wanted {
        path,
        follow: follow.contains(PathFlags::SYMLINK_FOLLOW),
        folder: how.contains(OpenFlags::DIRECTORY),
    };
    match open::beneath(dir, wanted.clone()).await {
        Ok(descriptor) => Ok(run.table.push(descriptor)?),
        Err(open::Error::NotOffered) => open_by_wasmtime(run, folder, wanted).await,
        Err(open::Error::Refused(code)) => Err(code.into()),
    }
}

/// For kernels, and sandboxes around this process, that don't offer `openat2`: what is at the path is looked at before it
/// is opened, which somebody with write access to the folder could win a race against.
async fn open_by_wasmtime(run: &mut RunState, folder: Handle, wanted: open::Wanted) -> FsResult<Handle> {
    let follow = if wanted.follow {
        PathFlags::SYMLINK_FOLLOW
    } else {
        PathFlags::empty()
    };
    let how = if wanted.folder {
        OpenFlags::DIRECTORY
    } else {
        OpenFlags::empty()
    };
    let again = Resource::new_borrow(folder.rep());
    let found = run
        .filesystem()
        .stat_at(again, follow, wanted.path.clone())
        .await?;
    open::openable(&found.type_).map_err(FsError::from)?;
    run.filesystem()
        .open_at(folder, follow, wanted.path, how, DescriptorFlags::READ)
        .await
}

#[cfg(test)]
mod tests;
