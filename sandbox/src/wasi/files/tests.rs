//! What no guest can bring about: the way without `openat2`, and handles whose numbers are used again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::*;
use crate::engine::{EngineConfig, SandboxEngine};
use crate::host::secret::{NoSecrets, SecretView};
use crate::host::state::{NoState, StateView};
use crate::net::guard::Guard;

fn run(lines: &[&str]) -> RunState {
    let config = EngineConfig {
        concurrent_runs: 1,
        ..EngineConfig::default()
    };
    let engine = SandboxEngine::new(config).unwrap();
    let grants = Arc::new(GrantSet::parse(lines).unwrap());
    let guard = Arc::new(Guard::new(grants, engine.services().resolver_for("test")));
    RunState::new(
        Arc::clone(&guard),
        Arc::clone(engine.services()),
        StateView::new(String::new(), Arc::new(NoState)),
        SecretView::new(guard, Arc::new(NoSecrets)),
        1 << 20,
        Instant::now() + Duration::from_secs(10),
        None,
    )
    .unwrap()
}

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("granted"), "granted").unwrap();
    std::fs::write(folder.path().join("other"), "other").unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        folder.path().join("pipe"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
        0,
    )
    .unwrap();
    folder
}

fn handles(run: &mut RunState) -> Vec<Handle> {
    let mut found = run.filesystem().get_directories().unwrap();
    found.extend(run.files.push(&mut run.table).unwrap());
    found.into_iter().map(|(handle, _)| handle).collect()
}

fn code(result: FsResult<Handle>) -> ErrorCode {
    result.unwrap_err().downcast().unwrap()
}

fn wanted(path: &str) -> open::Wanted {
    open::Wanted {
        path: path.to_owned(),
        follow: true,
        folder: false,
    }
}

/// Lets go whoever waits for the other end of a pipe, so that a test that fails ends.
struct Release(std::path::PathBuf);

impl Drop for Release {
    fn drop(&mut self) {
        let _ = std::fs::File::options().read(true).write(true).open(&self.0);
    }
}

#[tokio::test]
async fn without_openat2_regular_files_are_opened_and_pipes_are_not() {
    let folder = folder();
    let _release = Release(folder.path().join("pipe"));
    let mut run = run(&[&format!("read:{}", folder.path().display())]);
    let handle = handles(&mut run).remove(0);
    let again = || Resource::new_borrow(handle.rep());
    open_by_wasmtime(&mut run, again(), wanted("granted"))
        .await
        .unwrap();
    let opening = open_by_wasmtime(&mut run, again(), wanted("pipe"));
    let refused = tokio::time::timeout(Duration::from_secs(10), opening)
        .await
        .unwrap();
    assert_eq!(code(refused), ErrorCode::NotPermitted);
}

async fn try_open(run: &mut RunState, handle: &Handle, path: &str) -> FsResult<Handle> {
    let handle = Resource::new_borrow(handle.rep());
    let (follow, how, flags) = (
        PathFlags::SYMLINK_FOLLOW,
        OpenFlags::empty(),
        DescriptorFlags::READ,
    );
    open_at(run, handle, follow, path.to_owned(), how, flags).await
}

#[tokio::test]
async fn a_granted_file_that_becomes_a_link_meanwhile_is_not_followed() {
    let folder = folder();
    let granted = folder.path().join("granted");
    let mut run = run(&[&format!("read:{}", granted.display())]);
    let handle = handles(&mut run).remove(0);
    try_open(&mut run, &handle, "granted").await.unwrap();
    std::fs::remove_file(&granted).unwrap();
    std::os::unix::fs::symlink("other", &granted).unwrap();
    assert_eq!(
        code(try_open(&mut run, &handle, "granted").await),
        ErrorCode::Loop
    );
    let asked = (Resource::new_borrow(handle.rep()), PathFlags::SYMLINK_FOLLOW);
    let seen = stat_at(&mut run, asked.0, asked.1, "granted".to_owned())
        .await
        .unwrap();
    assert_eq!(seen.size, "other".len() as u64, "the link's own size");
    // Without `openat2` neither.
    let again = Resource::new_borrow(handle.rep());
    let link = open::Wanted {
        follow: false,
        ..wanted("granted")
    };
    assert_eq!(
        code(open_by_wasmtime(&mut run, again, link).await),
        ErrorCode::Loop
    );
}

#[tokio::test]
async fn a_handle_number_that_is_used_again_gains_and_loses_nothing() {
    let (whole, single) = (folder(), folder());
    let mut run = run(&[
        &format!("read:{}", whole.path().display()),
        &format!("read:{}/granted", single.path().display()),
    ]);
    let found = handles(&mut run);
    assert_eq!(found.len(), 2);
    for _ in 0..4 {
        let [first, second] = [&found[0], &found[1]];
        try_open(&mut run, first, "other").await.unwrap();
        assert_eq!(
            code(try_open(&mut run, second, "other").await),
            ErrorCode::NotPermitted
        );
        try_open(&mut run, second, "granted").await.unwrap();
    }
    // Both are dropped, and their numbers are given again.
    let numbers: Vec<u32> = found.iter().map(Resource::rep).collect();
    for handle in found {
        run.filesystem().drop(handle).unwrap();
    }
    let mut again = handles(&mut run);
    assert!(again.iter().any(|handle| numbers.contains(&handle.rep())));
    again.sort_by_key(Resource::rep);
    let mut refused = 0;
    for handle in &again {
        refused += usize::from(try_open(&mut run, handle, "other").await.is_err());
    }
    assert_eq!(refused, 1);
}
