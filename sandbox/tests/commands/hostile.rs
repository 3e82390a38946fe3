//! One test per hostile command of the workspace's `tests/commands/`, named after it.

use std::collections::BTreeSet;
use std::time::Duration;

use picket_sandbox::report::Status;
use picket_sandbox::run::{FailureClass, run};

use crate::support::{failed, number, reported, spec};
use crate::{command, run_command, with_arguments};

#[test]
fn every_hostile_command_has_a_test() {
    let source = include_str!("hostile.rs");
    let sources = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/commands");
    let without: BTreeSet<String> = std::fs::read_dir(sources)
        .unwrap()
        .map(|entry| {
            entry
                .unwrap()
                .path()
                .file_stem()
                .unwrap()
                .to_str()
                .unwrap()
                .to_owned()
        })
        .filter(|name| !source.contains(&format!("(\"hostile/{name}\"")))
        .collect();
    assert!(without.is_empty(), "commands without a test: {without:?}");
}

#[tokio::test]
async fn endless_stdout_is_stopped_and_not_kept() {
    let mut spec = with_arguments(&[], &[]);
    spec.limits.cpu = Duration::from_millis(200);
    let outcome = run(&command("hostile/endless_stdout"), spec).await;
    failed(&outcome, FailureClass::Cpu);
}

#[tokio::test]
async fn spin_is_stopped_by_its_cpu_budget_whatever_it_printed() {
    let mut spec = with_arguments(&[], &[]);
    spec.limits.cpu = Duration::from_millis(200);
    let outcome = run(&command("hostile/spin"), spec).await;
    assert!(failed(&outcome, FailureClass::Cpu).contains("200ms"));
}

/// Preview1's exit code arrives as it is: the stock adapter would make every one of them a bare failure.
#[tokio::test]
async fn exit_code_arrives_from_main_and_from_exit() {
    for exit in [&[][..], &["exit"]] {
        for (code, status) in [
            ("0", Status::Ok),
            ("1", Status::Warning),
            ("2", Status::Critical),
            ("3", Status::Unknown),
        ] {
            let outcome = run_command("hostile/exit_code", &[&[code, "text"], exit].concat(), &[]).await;
            assert_eq!(
                (reported(&outcome).status, &reported(&outcome).details),
                (status, &None)
            );
        }
        let outcome = run_command("hostile/exit_code", &[&["255", "OK"], exit].concat(), &[]).await;
        let report = reported(&outcome);
        assert_eq!(report.status, Status::Unknown);
        assert!(
            report.details.as_deref().unwrap().contains("code 255"),
            "{report:?}"
        );
    }
}

#[tokio::test]
async fn no_newline_is_a_line() {
    let outcome = run_command("hostile/no_newline", &[], &[]).await;
    assert_eq!(reported(&outcome).status, Status::Warning);
    assert_eq!(number(&outcome, "a"), 1.0);
}

#[tokio::test]
async fn garbage_is_within_the_contract() {
    let outcome = run_command("hostile/garbage", &[], &[]).await;
    let report = reported(&outcome);
    assert_eq!(report.status, Status::Critical);
    assert!(!report.summary.contains(char::is_control));
    assert!(report.details.as_deref().unwrap().contains("aren't UTF-8"));
}

#[tokio::test]
async fn silent_is_bad_output_with_what_it_said_on_standard_error() {
    let outcome = run_command("hostile/silent", &[], &[]).await;
    let sentence = failed(&outcome, FailureClass::BadOutput);
    assert!(
        sentence.contains("printed nothing and ended with code 3")
            && sentence.contains("usage: silent -H HOST"),
        "{sentence}"
    );
}

#[tokio::test]
async fn crash_is_a_crash_whatever_was_printed_before() {
    let outcome = run_command("hostile/crash", &[], &[]).await;
    failed(&outcome, FailureClass::Crash);
}

#[tokio::test]
async fn surroundings_are_arguments_and_stdin_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().display().to_string();
    let config = serde_json::json!({ "arguments": [path, "", "two words"], "stdin": "x".repeat(64 << 10) });
    let spec = spec(&config.to_string(), &[&format!("read:{path}")]);
    let outcome = run(&command("hostile/surroundings"), spec).await;
    assert_eq!(number(&outcome, "arguments"), 3.0);
    assert_eq!(number(&outcome, "environment"), 0.0);
    assert_eq!(number(&outcome, "stdin"), f64::from(64 << 10));
    assert_eq!(number(&outcome, "written"), 0.0);
    assert_eq!(
        reported(&outcome).details.as_deref(),
        Some(format!("surroundings\n{path}\n\ntwo words").as_str())
    );
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

/// The most that a configuration may give, to a program with the C library's small stack.
#[tokio::test]
async fn surroundings_take_as_many_arguments_as_are_allowed() {
    let many = vec!["x".repeat(127); 256];
    let arguments: Vec<&str> = many.iter().map(String::as_str).collect();
    let outcome = run_command("hostile/surroundings", &arguments, &[]).await;
    assert_eq!(number(&outcome, "arguments"), 256.0);
}
