//! Guests that take what isn't theirs.

use std::os::unix::fs::symlink;
use std::sync::Arc;

use picket_sandbox::component::{Checker, LoadError};
use picket_sandbox::run::FailureClass;

use crate::support::{MemoryState, engine, failed, number, reported, run_forged, run_guest, spec};

#[tokio::test]
async fn memory_bomb_is_stopped_at_its_limit() {
    let mut spec = spec("{}", &[]);
    spec.limits.memory = 16 << 20;
    let outcome = run_guest("memory-bomb", spec).await;
    assert!(failed(&outcome, FailureClass::Memory).contains("its limit is 16 MiB"));
    assert!(outcome.usage.peak_memory <= 16 << 20, "{:?}", outcome.usage);
}

#[tokio::test]
async fn table_bomb_is_stopped_growing() {
    let outcome = run_forged("table-bomb", spec("{}", &[])).await;
    // 50,000 elements each: what a component of Python needs.
    let elements = number(&outcome, "number");
    assert!((1_000.0..=100_000.0).contains(&elements), "{elements}");
}

/// Several memories together have what one has.
#[tokio::test]
async fn multi_memory_is_one_budget() {
    let mut spec = spec("{}", &[]);
    spec.limits.memory = 16 << 20;
    let outcome = run_forged("multi-memory", spec).await;
    let pages = number(&outcome, "number");
    assert!((16.0..=256.0).contains(&pages), "{pages} pages");
    assert!(outcome.usage.peak_memory <= 16 << 20, "{:?}", outcome.usage);
}

#[test]
fn many_memories_are_refused_before_they_are_compiled() {
    let bytes = picket_forged::guest("many-memories").unwrap();
    let error = Checker::load(engine(), &bytes, None).unwrap_err();
    assert!(
        matches!(error, LoadError::TooBig { what: "memories", .. }),
        "{error}"
    );
}

/// Whatever it is that a guest collects, it gets a few hundred of it: 256 resources, 64 KiB of log.
#[tokio::test]
async fn resource_hoard_is_bounded_whatever_the_resource() {
    for kind in ["0", "1", "3", "4"] {
        let grants = ["tcp:localhost:1", "udp:localhost:1"];
        let outcome = run_guest("resource-hoard", spec(kind, &grants)).await;
        // A call fails, which the guest sees, or the run is stopped: some calls have no error to return.
        match &outcome.result {
            Ok(_) => assert!(number(&outcome, "got") <= 256.0, "{kind}"),
            Err(failure) => assert_eq!(failure.class, FailureClass::Crash, "{kind}: {failure}"),
        }
    }
    let outcome = run_guest("resource-hoard", spec("2", &[])).await;
    let kept: usize = outcome
        .logs
        .lines
        .iter()
        .flat_map(|line| &line.fields)
        .map(|(name, value)| name.len() + value.len())
        .sum();
    assert!(kept <= 64 << 10, "{kept} bytes of fields are kept");
    assert!(outcome.logs.dropped > 0 || outcome.result.is_err());
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

/// Every call of WASI that changes a folder or leaves it, on the folder and on every way out of it.
#[tokio::test]
async fn leave_folder_changes_nothing_and_stays_inside() {
    let outer = tempfile::tempdir().unwrap();
    let folder = outer.path().join("granted");
    std::fs::create_dir_all(folder.join("empty")).unwrap();
    std::fs::write(outer.path().join("outside"), "outside").unwrap();
    std::fs::write(folder.join("inside"), "inside").unwrap();
    symlink("../outside", folder.join("escape")).unwrap();
    symlink(outer.path(), folder.join("way-out")).unwrap();
    let before = listing(outer.path());
    let grant = format!("read:{}", folder.display());
    let outcome = run_guest("leave-folder", spec("{}", &[&grant])).await;
    assert!(number(&outcome, "tried") > 150.0, "{:?}", outcome.result);
    assert_eq!(number(&outcome, "succeeded"), 0.0, "{:?}", outcome.result);
    assert!(reported(&outcome).summary.starts_with("read inside;"));
    assert_eq!(listing(outer.path()), before);
}

/// Every name below a folder with what is in it and when it was last changed.
fn listing(folder: &std::path::Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let metadata = std::fs::symlink_metadata(&path).unwrap();
        let content = if metadata.is_file() {
            std::fs::read_to_string(&path).unwrap()
        } else {
            String::new()
        };
        found.push(format!("{path:?} {:?} {content}", metadata.modified().unwrap()));
        if metadata.is_dir() {
            found.extend(listing(&path));
        }
    }
    found.sort();
    found
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
