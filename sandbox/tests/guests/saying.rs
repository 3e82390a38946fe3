//! Guests that say too much, or nonsense.

use picket_sandbox::run::FailureClass;

use crate::support::{failed, guest, reported, run_guest, spec};

#[tokio::test]
async fn huge_string_is_not_copied() {
    let outcome = run_guest("huge-string", spec("{}", &[])).await;
    assert!(failed(&outcome, FailureClass::BadOutput).contains("1 MiB"));
}

#[tokio::test]
async fn million_metrics_are_not_copied() {
    let mut spec = spec("1000000", &[]);
    spec.limits.memory = 64 << 20;
    let outcome = run_guest("million-metrics", spec).await;
    let class = outcome.result.as_ref().unwrap_err().class;
    assert!(
        matches!(class, FailureClass::BadOutput | FailureClass::Memory),
        "{class}"
    );
}

#[tokio::test]
async fn some_thousand_metrics_break_the_reports_limit() {
    let outcome = run_guest("million-metrics", spec("3000", &[])).await;
    assert!(failed(&outcome, FailureClass::BadOutput).contains("at most 512"));
}

#[tokio::test]
async fn twin_metrics_are_refused() {
    let outcome = run_guest("million-metrics", spec("2", &[])).await;
    assert!(failed(&outcome, FailureClass::BadOutput).contains("twice"));
}

#[tokio::test]
async fn nan_metrics_are_refused() {
    let outcome = run_guest("nan-metrics", spec("{}", &[])).await;
    assert!(failed(&outcome, FailureClass::BadOutput).contains("finite"));
}

#[tokio::test]
async fn log_flood_is_counted_and_not_kept() {
    let outcome = run_guest("log-flood", spec("{}", &[])).await;
    assert_eq!(reported(&outcome).summary, "logged");
    assert_eq!(outcome.logs.lines.len() as u64 + outcome.logs.dropped, 20_000);
    assert!(outcome.logs.dropped > 19_000);
}

#[tokio::test]
async fn stdout_flood_is_swallowed() {
    let outcome = run_guest("stdout-flood", spec("{}", &[])).await;
    assert_eq!(reported(&outcome).summary, "written");
    assert_eq!(outcome.logs.stderr.len(), 16 << 10);
}

#[tokio::test]
async fn bad_needs_are_refused_and_so_is_its_report() {
    let checker = guest("bad-needs");
    let failure = checker.needs("{}").await.unwrap_err();
    assert_eq!(failure.class, FailureClass::BadOutput);
    assert!(failure.message.contains("everything please"), "{failure}");
    let outcome = run_guest("bad-needs", spec("{}", &[])).await;
    failed(&outcome, FailureClass::BadOutput);
}
