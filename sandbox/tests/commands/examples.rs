//! The examples do what a plugin does, with what their check grants.

use std::net::TcpListener;
use std::time::{Duration, SystemTime};

use picket_sandbox::nagios;
use picket_sandbox::report::Status;
use picket_sandbox::run::FailureClass;

use crate::support::{failed, number, reported};
use crate::{command, run_command};

/// A folder with a file that was last written two minutes ago.
fn old_file() -> (tempfile::TempDir, String, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("backup.tar");
    std::fs::write(&path, "twelve bytes").unwrap();
    let then = SystemTime::now() - Duration::from_secs(120);
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    file.set_modified(then).unwrap();
    let grant = format!("read:{}", folder.path().display());
    (folder, path.display().to_string(), grant)
}

#[tokio::test]
async fn a_program_in_c_reports_typed_metrics() {
    let (_folder, file, grant) = old_file();
    let outcome = run_command("check_file_age", &["-w", "3600", "-c", "7200", &file], &[&grant]).await;
    let report = reported(&outcome);
    assert_eq!(report.status, Status::Ok);
    assert!(report.summary.starts_with("FILE_AGE OK: "), "{}", report.summary);
    let age = &report.metrics[0];
    assert_eq!((age.name.as_str(), age.unit.as_str()), ("age", "s"));
    assert!((120.0..1_000.0).contains(&age.value), "{}", age.value);
    assert_eq!(age.warning.as_deref(), Some("3600"));
    assert_eq!(age.critical.as_deref(), Some("7200"));
    assert_eq!(age.min, Some(0.0));
    let size = &report.metrics[1];
    assert_eq!(
        (size.name.as_str(), size.value, size.unit.as_str()),
        ("size", 12.0, "By")
    );
    assert_eq!(size.critical.as_deref(), Some("0:"));
}

#[tokio::test]
async fn the_exit_code_of_a_program_in_c_is_the_state() {
    let (_folder, file, grant) = old_file();
    for (arguments, status) in [
        (["-w", "60", "-c", "7200"], Status::Warning),
        (["-w", "30", "-c", "60"], Status::Critical),
        (["-w", "x", "-c", "60"], Status::Unknown),
    ] {
        let arguments = [&arguments[..], &[file.as_str()]].concat();
        let outcome = run_command("check_file_age", &arguments, &[&grant]).await;
        assert_eq!(reported(&outcome).status, status);
    }
}

#[tokio::test]
async fn a_file_that_is_not_granted_can_not_be_read_and_the_line_to_add_is_in_the_details() {
    let (_folder, file, _) = old_file();
    let grant = format!("read:{file}");
    let outcome = run_command("check_file_age", &["-w", "1", "-c", "2", &file], &[]).await;
    let report = reported(&outcome);
    assert_eq!(report.status, Status::Critical);
    assert!(report.metrics.is_empty());
    let details = report.details.as_deref().unwrap();
    assert!(
        details.contains(&format!("add allow = [\"{grant}\"]")),
        "{details}"
    );
    // That line is enough: the program's C library finds the one file in a folder that it sees nothing else of.
    let outcome = run_command("check_file_age", &["-w", "7200", "-c", "9000", &file], &[&grant]).await;
    assert_eq!(reported(&outcome).status, Status::Ok, "{outcome:?}");
}

#[tokio::test]
async fn a_program_in_rust_reaches_what_is_granted() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let grant = format!("tcp:127.0.0.1:{port}");
    let outcome = run_command(
        "check_port",
        &["-H", "127.0.0.1", "-p", &port, "-w", "30"],
        &[&grant],
    )
    .await;
    let report = reported(&outcome);
    assert_eq!(report.status, Status::Ok, "{report:?}");
    assert_eq!(report.metrics[0].unit, "s");
    assert_eq!(report.metrics[0].warning.as_deref(), Some("30"));
    assert!(number(&outcome, "time") < 30.0);
}

/// `wasm32-wasip2` says only that the program failed: the word that it printed says how.
#[tokio::test]
async fn the_word_of_a_program_in_rust_is_the_state_and_what_was_denied_is_named() {
    for grants in [&[][..], &["tcp:db.example:5432"]] {
        let outcome = run_command("check_port", &["-H", "10.1.2.3", "-p", "5432"], grants).await;
        let report = reported(&outcome);
        assert_eq!(report.status, Status::Critical);
        assert!(report.summary.starts_with("PORT CRITICAL: 10.1.2.3 port 5432"));
        assert_eq!(report.details, None);
        let line =
            "tcp to 10.1.2.3 port 5432 is not granted: add allow = [\"tcp:10.1.2.3:5432\"] to the check";
        assert_eq!(outcome.denials, [line]);
    }
    let outcome = run_command("check_port", &["-H", "db.example", "-p", "5432"], &[]).await;
    assert_eq!(reported(&outcome).status, Status::Critical);
    assert!(
        outcome.denials[0].contains("looking up db.example"),
        "{:?}",
        outcome.denials
    );
    let outcome = run_command("check_port", &["-p", "none"], &[]).await;
    assert_eq!(reported(&outcome).status, Status::Unknown);
}

#[tokio::test]
async fn a_command_is_described_by_the_host_and_needs_nothing_beforehand() {
    for (name, described) in [("check_file_age", "check-file-age"), ("check_port", "check-port")] {
        let checker = command(name);
        assert!(checker.is_command());
        let descriptor = checker.describe().await.unwrap();
        assert_eq!(
            (descriptor.name.as_str(), descriptor.version.as_str()),
            (described, "1.0.0")
        );
        assert_eq!(descriptor.summary, "a command that prints a Nagios line");
        assert!(descriptor.config_schema.contains("arguments"));
        assert!(
            checker
                .needs(r#"{"arguments": ["-w", "1"]}"#)
                .await
                .unwrap()
                .is_empty()
        );
    }
}

#[tokio::test]
async fn a_configuration_that_is_none_is_refused_before_and_at_the_run() {
    let checker = command("check_port");
    let config = r#"{"args": ["-H", "x"]}"#;
    let failure = checker.needs(config).await.unwrap_err();
    assert_eq!(failure.class, FailureClass::InvalidConfig);
    assert!(failure.message.contains("did you mean `arguments`?"), "{failure}");
    let outcome = picket_sandbox::run::run(&checker, crate::spec(config, &[])).await;
    failed(&outcome, FailureClass::InvalidConfig);
}

/// What the host reads, the agent prints again: the first line of a plugin is known to both.
#[tokio::test]
async fn the_line_of_an_example_begins_with_its_status() {
    let outcome = run_command("check_port", &[], &[]).await;
    let report = reported(&outcome);
    assert_eq!(nagios::leading_status(&report.summary), Some(report.status));
}
