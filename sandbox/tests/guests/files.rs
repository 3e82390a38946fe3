//! Guests that read single files, and things that are no files.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Duration;

use picket_sandbox::run::{FailureClass, RunOutcome};

use crate::support::{failed, number, reported, run_guest, spec};

/// A folder `files` with `granted`, `neighbour` and `below/inner`, and `outside` beside it.
fn files() -> (tempfile::TempDir, std::path::PathBuf) {
    let outer = tempfile::tempdir().unwrap();
    let folder = outer.path().join("files");
    std::fs::create_dir_all(folder.join("below")).unwrap();
    std::fs::write(outer.path().join("outside"), "outside").unwrap();
    std::fs::write(folder.join("granted"), "granted").unwrap();
    std::fs::write(folder.join("neighbour"), "neighbour").unwrap();
    std::fs::write(folder.join("below/inner"), "inner").unwrap();
    (outer, folder)
}

async fn read(file: &Path, grants: &[&Path]) -> RunOutcome {
    let grants: Vec<String> = grants
        .iter()
        .map(|path| format!("read:{}", path.display()))
        .collect();
    let grants: Vec<&str> = grants.iter().map(String::as_str).collect();
    let mut spec = spec(&format!("{:?}", file.to_str().unwrap()), &grants);
    // Whatever waits for ever ends here, and not in the test.
    spec.limits.wall = Duration::from_secs(10);
    run_guest("read-one-file", spec).await
}

#[tokio::test]
async fn read_one_file_reads_it_and_nothing_around_it() {
    let (_outer, folder) = files();
    let file = folder.join("granted");
    let outcome = read(&file, &[&file]).await;
    let report = reported(&outcome);
    assert_eq!(report.summary, "granted");
    assert_eq!(number(&outcome, "succeeded"), 0.0, "{:?}", report.details);
    assert_eq!(number(&outcome, "size"), 7.0);
    let line = format!("allow = [\"read:{}/neighbour\"]", folder.display());
    assert!(
        outcome.denials.iter().any(|denial| denial.contains(&line)),
        "{:?}",
        outcome.denials
    );
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "granted");
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 3);
}

#[tokio::test]
async fn read_one_file_finds_a_rotated_file_by_its_name() {
    let (_outer, folder) = files();
    let file = folder.join("granted");
    assert_eq!(reported(&read(&file, &[&file]).await).summary, "granted");
    std::fs::rename(&file, folder.join("granted.1")).unwrap();
    let missing = failed(&read(&file, &[&file]).await, FailureClass::Failed);
    assert!(missing.contains("No such file"), "{missing}");
    std::fs::write(&file, "the next one").unwrap();
    assert_eq!(reported(&read(&file, &[&file]).await).summary, "the next one");
}

#[tokio::test]
async fn read_one_file_beside_another_grant_keeps_both_apart() {
    let (_outer, folder) = files();
    let file = folder.join("granted");
    // A folder of the same name's beginning is nearer to what is in it; the file's own folder stays closed.
    let outcome = read(&file, &[&file, &folder.join("below")]).await;
    let details = reported(&outcome).details.clone().unwrap();
    assert!(
        details.contains("read below") && details.contains("list below"),
        "{details}"
    );
    assert!(
        !details.contains("neighbour") && !details.contains("list the folder"),
        "{details}"
    );
    // Two files of one folder are both there.
    let outcome = read(&file, &[&file, &folder.join("neighbour")]).await;
    let details = reported(&outcome).details.clone().unwrap();
    assert_eq!(
        details,
        "read a neighbour, see a neighbour, see a neighbour itself"
    );
}

#[tokio::test]
async fn a_granted_link_is_refused_with_the_file_to_grant() {
    let (outer, folder) = files();
    let link = folder.join("link");
    symlink("../outside", &link).unwrap();
    let sentence = failed(&read(&link, &[&link]).await, FailureClass::Unsupported);
    let target = outer.path().canonicalize().unwrap().join("outside");
    assert!(
        sentence.contains(&format!("read:{}", target.display())),
        "{sentence}"
    );
}

fn pipe(folder: &Path) -> std::path::PathBuf {
    let path = folder.join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&path).status().unwrap();
    assert!(made.success());
    path
}

#[tokio::test]
async fn a_pipe_in_a_granted_folder_is_refused_and_never_waited_for() {
    let (_outer, folder) = files();
    let pipe = pipe(&folder);
    let sentence = failed(&read(&pipe, &[&folder]).await, FailureClass::Failed);
    assert!(sentence.contains("not permitted"), "{sentence}");
}

#[tokio::test]
async fn a_granted_pipe_or_device_is_refused_when_the_run_starts() {
    let (_outer, folder) = files();
    for path in [pipe(&folder).as_path(), Path::new("/dev/zero")] {
        let sentence = failed(&read(path, &[path]).await, FailureClass::Unsupported);
        assert!(
            sentence.contains("neither a folder nor a regular file"),
            "{sentence}"
        );
    }
}

#[tokio::test]
async fn a_device_in_a_granted_folder_is_refused() {
    let sentence = failed(
        &read(Path::new("/dev/zero"), &[Path::new("/dev")]).await,
        FailureClass::Failed,
    );
    assert!(sentence.contains("not permitted"), "{sentence}");
}
