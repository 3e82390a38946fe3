//! Lines of the contract: who is refused, in which words, and who isn't.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "these are tests, and their tools"
)]

#[path = "guests/support.rs"]
#[expect(dead_code, reason = "shared with the tests of guests")]
mod support;

use picket_sandbox::component::{Checker, LoadError};
use picket_sandbox::run::FailureClass;

use support::{engine, guest, guest_path, reported, run_guest, spec};

/// Words of the linker and of its types, which say nothing to a customer.
const LINKERS: [&str; 8] = [
    "linker",
    "instance",
    "implementation",
    "mismatch",
    "expected ",
    "wrong type",
    "trap",
    "backtrace",
];

#[track_caller]
fn assert_is_for_people(sentence: &str, words: &[&str]) {
    for word in words {
        assert!(sentence.contains(word), "{word:?} isn't in: {sentence}");
    }
    for word in LINKERS {
        assert!(!sentence.contains(word), "{word:?} is in: {sentence}");
    }
}

fn refused(name: &str) -> LoadError {
    Checker::load_file(engine(), &guest_path(name), None).unwrap_err()
}

#[test]
fn next_line_names_both_versions() {
    let error = refused("next-line");
    assert!(
        matches!(error, LoadError::OtherContract { newer: true, .. }),
        "{error}"
    );
    assert_is_for_people(&error.to_string(), &["0.2.0", "0.1.0", "update the agent"]);
}

#[test]
fn imports_shell_is_named_with_what_to_do() {
    let error = refused("imports-shell");
    assert!(matches!(error, LoadError::UnknownImport { .. }), "{error}");
    assert_is_for_people(
        &error.to_string(),
        &["picket:checker/shell@0.1.0", "update the agent"],
    );
}

/// `wit/README.md`: a function that an older host doesn't have is refused there with a sentence that names the import.
#[test]
fn imports_later_function_is_named_with_its_interface() {
    let error = refused("imports-later-function");
    assert!(matches!(error, LoadError::UnknownImport { .. }), "{error}");
    assert_is_for_people(
        &error.to_string(),
        &["keys of picket:checker/state@0.1.9", "update the agent"],
    );
}

/// And one that uses nothing new runs.
#[tokio::test]
async fn later_version_of_the_line_runs() {
    assert_eq!(guest("later-version").describe().await.unwrap().name, "guest");
    let outcome = run_guest("later-version", spec("{}", &[])).await;
    assert_eq!(reported(&outcome).summary, "state: Ok(None)");
}

#[test]
fn exports_other_says_what_it_exports() {
    let error = refused("exports-other");
    assert!(matches!(error, LoadError::NotAChecker { .. }), "{error}");
    assert_is_for_people(
        &error.to_string(),
        &["other:tool/convert@1.0.0", "picket:checker/check"],
    );
}

#[test]
fn exports_other_types_is_told_to_build_again() {
    let error = refused("exports-other-types");
    assert!(matches!(error, LoadError::Unlinkable { .. }), "{error}");
    assert_is_for_people(
        &error.to_string(),
        &["needs", "0.1.0", "build it again with the SDK"],
    );
}

/// Its functions are all there, and one returns something else: seen when the checker is first asked anything.
#[tokio::test]
async fn other_types_of_a_function_are_told_to_build_again() {
    let text =
        picket_forged::guest_with("honest", "\"config-schema\" string", "\"config-schema\" u64").unwrap();
    let described = match Checker::load(engine(), &text, None) {
        Ok(checker) => checker.describe().await.map_err(|failure| {
            assert_eq!(failure.class, FailureClass::NoChecker, "{failure}");
            failure.message
        }),
        Err(error) => Err(error.to_string()),
    };
    assert_is_for_people(&described.unwrap_err(), &["0.1.0", "build it again with the SDK"]);
}
