//! Guests whose results are no values of the contract: what lies behind them must not be read.

use picket_sandbox::run::FailureClass;

use crate::support::{failed, number, run_forged, run_guest, spec};

/// The counter-test: what the other forged guests are made of is a good checker.
#[tokio::test]
async fn honest_reports_its_number() {
    let outcome = run_forged("honest", spec("{}", &[])).await;
    assert_eq!(number(&outcome, "number"), 42.0);
}

/// In a report it is bad output of a guest that has already returned; in a call it traps the guest that makes it. Either
/// way no text that isn't one reaches anybody.
#[tokio::test]
async fn invalid_utf8_is_refused_wherever_it_is_said() {
    for place in 0..=5 {
        let outcome = run_guest("invalid-utf8", spec(&place.to_string(), &["http:127.0.0.1:*"])).await;
        let sentence = failed(&outcome, FailureClass::Crash);
        assert!(sentence.contains("utf-8"), "{place}: {sentence}");
        assert!(outcome.logs.lines.is_empty(), "{place}: {:?}", outcome.logs);
    }
}

#[tokio::test]
async fn list_beyond_memory_is_not_read() {
    let outcome = run_forged("list-beyond-memory", spec("{}", &[])).await;
    assert!(failed(&outcome, FailureClass::Crash).contains("out of bounds"));
}

#[tokio::test]
async fn realloc_beyond_memory_is_not_written_to() {
    let outcome = run_forged("realloc-beyond-memory", spec("{}", &[])).await;
    let sentence = failed(&outcome, FailureClass::Crash);
    assert!(sentence.contains("realloc"), "{sentence}");
}

#[tokio::test]
async fn bad_discriminant_is_no_status() {
    let outcome = run_forged("bad-discriminant", spec("{}", &[])).await;
    assert!(failed(&outcome, FailureClass::Crash).contains("discriminant"));
}

/// 64 KiB in the guest, 32 MiB in a host that copies what it is pointed at.
#[tokio::test]
async fn shared_strings_are_not_copied() {
    let outcome = run_forged("shared-strings", spec("{}", &[])).await;
    assert!(failed(&outcome, FailureClass::BadOutput).contains("1 MiB"));
}
