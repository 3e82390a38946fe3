//! Files that are no checkers, and the cache of compiled ones.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "these are tests, and their tools"
)]

#[path = "guests/support.rs"]
#[expect(dead_code, reason = "shared with the tests of guests")]
mod support;

use std::fs;
use std::path::Path;

use picket_sandbox::component::{Checker, CompileCache, LoadError, signature};

use support::{engine, guest_path};

fn refused(bytes: &[u8]) -> LoadError {
    Checker::load(engine(), bytes, None).unwrap_err()
}

#[test]
fn wrong_version_names_both_versions() {
    let error = Checker::load_file(engine(), &guest_path("wrong-version"), None).unwrap_err();
    assert!(
        matches!(error, LoadError::OtherContract { newer: true, .. }),
        "{error}"
    );
    let sentence = error.to_string();
    assert!(
        sentence.contains("0.9.0") && sentence.contains("0.1.0") && sentence.contains("update the agent")
    );
}

#[test]
fn a_file_that_is_no_component_says_what_it_is() {
    assert!(refused(b"hello").to_string().contains("a text"));
    assert!(
        refused(b"\0asm\x01\0\0\0")
            .to_string()
            .contains("core WebAssembly module")
    );
}

#[test]
fn a_truncated_component_is_corrupt_wherever_it_breaks_off() {
    let bytes = fs::read(guest_path("noop")).unwrap();
    for length in (8..bytes.len()).step_by(bytes.len() / 40) {
        refused(&bytes[..length]);
    }
}

#[test]
fn a_corrupt_component_never_brings_the_host_down() {
    let bytes = fs::read(guest_path("noop")).unwrap();
    for position in (0..bytes.len()).step_by(bytes.len() / 60) {
        let mut corrupt = bytes.clone();
        corrupt[position] ^= 0xff;
        // Some changes only touch data and names: what counts is that loading ends.
        let _ = Checker::load(engine(), &corrupt, None);
    }
}

#[test]
fn a_missing_file_is_named() {
    let error = Checker::load_file(engine(), Path::new("/does/not/exist.wasm"), None)
        .unwrap_err()
        .to_string();
    assert!(error.contains("/does/not/exist.wasm"), "{error}");
}

#[test]
fn a_huge_file_is_not_even_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("huge.wasm");
    fs::File::create(&path).unwrap().set_len(200 << 20).unwrap();
    let error = Checker::load_file(engine(), &path, None).unwrap_err();
    assert!(
        matches!(error, LoadError::TooBig { what: "bytes", .. }),
        "{error}"
    );
}

fn cached(dir: &Path) -> Vec<std::path::PathBuf> {
    let files = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    files
        .filter(|path| path.extension().is_some_and(|suffix| suffix == "cwasm"))
        .collect()
}

#[tokio::test]
async fn a_compiled_checker_is_taken_from_the_cache() {
    let dir = tempfile::tempdir().unwrap();
    let cache = CompileCache::open(&dir.path().join("cache"), 64 << 20).unwrap();
    Checker::load_file(engine(), &guest_path("noop"), Some(&cache)).unwrap();
    assert_eq!(cached(&dir.path().join("cache")).len(), 1);
    let again = Checker::load_file(engine(), &guest_path("noop"), Some(&cache)).unwrap();
    assert_eq!(again.describe().await.unwrap().name, "guest");
}

/// Native code under the right name, from somebody who can write into the folder but doesn't have the cache's key.
#[tokio::test]
async fn a_planted_cwasm_is_never_loaded() {
    let dir = tempfile::tempdir().unwrap();
    let (ours, theirs) = (dir.path().join("ours"), dir.path().join("theirs"));
    let cache = CompileCache::open(&ours, 64 << 20).unwrap();
    Checker::load_file(engine(), &guest_path("noop"), Some(&cache)).unwrap();
    let name = cached(&ours).remove(0);
    // The trap guest's code, made by another cache of the same engine, in the place of the noop guest's.
    let other = CompileCache::open(&theirs, 64 << 20).unwrap();
    Checker::load_file(engine(), &guest_path("trap"), Some(&other)).unwrap();
    fs::copy(cached(&theirs).remove(0), &name).unwrap();
    let checker = Checker::load_file(engine(), &guest_path("noop"), Some(&cache)).unwrap();
    let outcome = picket_sandbox::run::run(&checker, support::spec("{}", &[])).await;
    assert_eq!(support::reported(&outcome).summary, "nothing was done");
}

#[tokio::test]
async fn a_signature_section_changes_nothing_of_a_checker() {
    let bytes = fs::read(guest_path("versioned")).unwrap();
    let signed = signature::section::append(&bytes, b"whatever it says").unwrap();
    let checker = Checker::load(engine(), &signed, None).unwrap();
    assert_eq!(checker.describe().await.unwrap().version, "10.20.30");
    assert_eq!(signature::section::split(&signed).unwrap().component, bytes);
}

#[test]
fn compiled_code_offered_as_a_checker_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let cache = CompileCache::open(&dir.path().join("cache"), 64 << 20).unwrap();
    Checker::load_file(engine(), &guest_path("noop"), Some(&cache)).unwrap();
    let file = fs::read(cached(&dir.path().join("cache")).remove(0)).unwrap();
    // Without the cache's tag, its last 32 bytes, it is what wasmtime itself would take.
    assert!(matches!(
        refused(&file[..file.len() - 32]),
        LoadError::Precompiled
    ));
}

#[test]
fn imports_prove_what_a_checker_can_not_do() {
    let noop = Checker::load_file(engine(), &guest_path("noop"), None).unwrap();
    assert!(
        !noop
            .imports()
            .iter()
            .any(|import| import.name.starts_with("picket:checker/http"))
    );
    let connect = Checker::load_file(engine(), &guest_path("denied-connect"), None).unwrap();
    assert!(
        connect
            .imports()
            .iter()
            .any(|import| import.name.starts_with("picket:checker/http"))
    );
}

/// Each of these took the compiler tens of seconds or gigabytes, or its stack.
#[test]
fn a_compilation_bomb_is_refused_before_it_is_compiled() {
    for (words, make) in picket_forged::bombs::COUNTED {
        let bytes = make();
        let began = std::time::Instant::now();
        let error = refused(&bytes).to_string();
        assert!(error.contains(words) && error.contains("more than"), "{error}");
        // A deadline, where compiling took twenty times as long.
        assert!(began.elapsed() < std::time::Duration::from_secs(10));
    }
}
