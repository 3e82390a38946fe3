//! Guests that take what isn't theirs.

use std::os::unix::fs::symlink;
use std::sync::Arc;

use picket_sandbox::run::FailureClass;

use crate::support::{MemoryState, failed, number, reported, run_guest, spec};

#[tokio::test]
async fn memory_bomb_is_stopped_at_its_limit() {
    let mut spec = spec("{}", &[]);
    spec.limits.memory = 16 << 20;
    let outcome = run_guest("memory-bomb", spec).await;
    assert!(failed(&outcome, FailureClass::Memory).contains("its limit is 16 MiB"));
    assert!(outcome.usage.peak_memory <= 16 << 20, "{:?}", outcome.usage);
}

#[tokio::test]
async fn random_flood_is_refused() {
    let outcome = run_guest("random-flood", spec("{}", &[])).await;
    failed(&outcome, FailureClass::Crash);
}

#[tokio::test]
async fn read_env_finds_nothing() {
    let outcome = run_guest("read-env", spec("{}", &[])).await;
    assert_eq!(number(&outcome, "found"), 0.0);
}

#[tokio::test]
async fn read_files_reads_what_is_granted_and_changes_nothing() {
    let outer = tempfile::tempdir().unwrap();
    let folder = outer.path().join("granted");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(outer.path().join("outside"), "outside").unwrap();
    std::fs::write(folder.join("inside"), "inside").unwrap();
    symlink("../outside", folder.join("escape")).unwrap();
    let config = format!("{:?}", folder.to_str().unwrap());
    let grant = format!("read:{}", folder.display());
    let outcome = run_guest("read-files", spec(&config, &[&grant])).await;
    assert_eq!(reported(&outcome).summary, "inside");
    assert_eq!(number(&outcome, "succeeded"), 0.0);
    assert_eq!(std::fs::read_to_string(folder.join("inside")).unwrap(), "inside");
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 2);
}

#[tokio::test]
async fn read_files_without_a_grant_reads_nothing() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("inside"), "inside").unwrap();
    let config = format!("{:?}", folder.path().to_str().unwrap());
    let outcome = run_guest("read-files", spec(&config, &[])).await;
    failed(&outcome, FailureClass::Failed);
}

#[tokio::test]
async fn a_granted_folder_that_is_missing_is_named() {
    let outcome = run_guest("noop", spec("{}", &["read:/does/not/exist"])).await;
    assert!(failed(&outcome, FailureClass::Unsupported).contains("/does/not/exist"));
}

/// A canary: whatever comes out of the run must not have the secret in it.
#[tokio::test]
async fn secret_thief_gets_nothing() {
    let outcome = run_guest("secret-thief", spec("{}", &["secret:used"])).await;
    assert_eq!(number(&outcome, "stolen"), 0.0);
    assert!(
        reported(&outcome).summary.contains("check of used: Ok"),
        "{:?}",
        reported(&outcome).summary
    );
    assert!(reported(&outcome).summary.contains("reveal of used: Err"));
    let everything = format!("{outcome:?}");
    assert!(
        !everything.contains("canary") && !everything.contains("99, 97, 110"),
        "{everything}"
    );
    assert!(
        outcome
            .denials
            .iter()
            .any(|line| line.contains("secret-reveal:used")),
        "{:?}",
        outcome.denials
    );
}

#[tokio::test]
async fn state_flood_is_bounded() {
    let mut spec = spec("{}", &[]);
    let state = Arc::new(MemoryState::default());
    spec.state = Arc::clone(&state) as Arc<_>;
    let outcome = run_guest("state-flood", spec).await;
    assert_eq!(number(&outcome, "stored"), 7.0);
    let kept: usize = state
        .0
        .lock()
        .unwrap()
        .iter()
        .map(|(key, value)| key.len() + value.len())
        .sum();
    assert!(kept <= 64 << 10);
}

#[tokio::test]
async fn state_then_trap_changes_nothing() {
    let state = Arc::new(MemoryState::default());
    let with = |config: &str| {
        let mut spec = spec(config, &[]);
        spec.state = Arc::clone(&state) as Arc<_>;
        spec
    };
    assert_eq!(
        number(&run_guest("state-then-trap", with("1")).await, "runs"),
        1.0
    );
    failed(
        &run_guest("state-then-trap", with("{}")).await,
        FailureClass::Crash,
    );
    assert_eq!(
        number(&run_guest("state-then-trap", with("1")).await, "runs"),
        2.0
    );
}
