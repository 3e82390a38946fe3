//! The checker on a scripted host.

use std::time::Duration;

use picket_checker_sdk::Status;
use picket_checker_sdk::facts::FileSystem;
use picket_checker_sdk::mock::{MockHost, Outcome, run};
use serde_json::{Value, json};

use crate::ThisChecker;

const GIB: u64 = 1 << 30;

fn file_system(mount: &str, kind: &str, available_gib: u64) -> FileSystem {
    FileSystem {
        mount: mount.to_owned(),
        device: "/dev/sda1".to_owned(),
        kind: kind.to_owned(),
        options: vec!["rw".to_owned()],
        size: 100 * GIB,
        free: available_gib * GIB,
        available: available_gib * GIB,
        inodes: 1_000,
        inodes_free: 100,
        read_only: false,
        extra: Vec::new(),
    }
}

fn read_only(mount: &str) -> FileSystem {
    FileSystem {
        read_only: true,
        ..file_system(mount, "ext4", 50)
    }
}

fn check(host: &MockHost, config: &Value) -> Outcome {
    let outcome = run::<ThisChecker>(host, config);
    assert!(outcome.undeclared().is_empty() && outcome.unused().is_empty());
    outcome
}

fn check_disks(disks: Vec<FileSystem>, config: &Value) -> Outcome {
    let host = MockHost::new();
    host.set_disks(disks);
    check(&host, config)
}

fn machine() -> Vec<FileSystem> {
    vec![
        file_system("/", "ext4", 20),
        file_system("/proc", "proc", 0),
        file_system("/var", "xfs", 60),
    ]
}

#[test]
fn looks_at_what_holds_data() {
    let outcome = check_disks(machine(), &json!({}));
    assert_eq!(outcome.status(), Status::Ok);
    assert_eq!(outcome.summary(), "2 file systems, fullest / with 80.0 % used");
    assert_eq!(outcome.value("used", "/proc"), None);
    assert_eq!(outcome.value("inodes_used", "/var"), Some(90.0));
}

#[test]
fn filters_by_mount_and_type() {
    let shown = |config: Value| {
        let outcome = check_disks(machine(), &config);
        ["/", "/proc", "/var"]
            .into_iter()
            .filter(|mount| outcome.value("used", mount).is_some())
            .collect::<Vec<_>>()
    };
    assert_eq!(shown(json!({"mounts": ["/v*"]})), ["/var"]);
    assert_eq!(shown(json!({"exclude_mounts": ["/"]})), ["/var"]);
    assert_eq!(shown(json!({"types": ["ext4", "proc"]})), ["/", "/proc"]);
    assert_eq!(shown(json!({"exclude_types": ["xfs"]})), ["/"]);
}

#[test]
fn each_threshold_judges_its_number() {
    for (key, range) in [("used", "70"), ("free_bytes", "30000000000:"), ("inodes", "85")] {
        assert_eq!(
            check_disks(machine(), &json!({ key: {"warning": range} })).status(),
            Status::Warning,
            "{key}"
        );
        assert_eq!(
            check_disks(machine(), &json!({ key: {"critical": range} })).status(),
            Status::Critical,
            "{key}"
        );
    }
}

#[test]
fn limits_of_one_mount_point_replace_the_general_ones() {
    let config = json!({"used": {"critical": 70}, "mount": {"/": {"used": {"critical": 95}}}});
    assert_eq!(check_disks(machine(), &config).status(), Status::Ok);
}

#[test]
fn a_remount_read_only_is_critical_until_it_is_writable_again() {
    let host = MockHost::new();
    host.set_disks(vec![file_system("/", "ext4", 50)]);
    assert_eq!(check(&host, &json!({})).status(), Status::Ok);
    host.set_disks(vec![read_only("/")]);
    for _ in 0..2 {
        let outcome = check(&host, &json!({}));
        assert_eq!(outcome.summary(), "/ was remounted read-only");
        assert_eq!(outcome.status(), Status::Critical);
    }
    host.set_disks(vec![file_system("/", "ext4", 50)]);
    assert_eq!(check(&host, &json!({})).status(), Status::Ok);
}

#[test]
fn what_was_always_read_only_is_fine_unless_it_must_be_writable() {
    let host = MockHost::new();
    host.set_disks(vec![read_only("/media")]);
    assert_eq!(check(&host, &json!({})).status(), Status::Ok);
    assert_eq!(check(&host, &json!({})).status(), Status::Ok);
    assert_eq!(
        check(&host, &json!({"writable": ["/media"]})).status(),
        Status::Critical
    );
}

#[test]
fn a_named_mount_point_that_is_missing_is_critical() {
    let outcome = check_disks(machine(), &json!({"mounts": ["/", "/backup"]}));
    assert_eq!(outcome.summary(), "/backup is not mounted");
}

#[test]
fn nothing_that_matches_is_unknown() {
    assert_eq!(
        check_disks(machine(), &json!({"types": ["zfs"]})).status(),
        Status::Unknown
    );
}

#[test]
fn forecasts_when_it_will_be_full() {
    let host = MockHost::new();
    host.set_disks(vec![file_system("/", "ext4", 50)]);
    assert_eq!(check(&host, &json!({})).value("hours_to_full", "/"), None);
    host.advance(Duration::from_secs(3_600));
    host.set_disks(vec![file_system("/", "ext4", 40)]);
    let outcome = check(&host, &json!({"hours_to_full": {"warning": "24:"}}));
    assert_eq!(outcome.value("hours_to_full", "/"), Some(4.0));
    assert_eq!(outcome.status(), Status::Warning);
}

#[test]
fn what_empties_is_never_full() {
    let host = MockHost::new();
    host.set_disks(vec![file_system("/", "ext4", 50)]);
    check(&host, &json!({}));
    host.advance(Duration::from_secs(3_600));
    host.set_disks(vec![file_system("/", "ext4", 60)]);
    assert_eq!(check(&host, &json!({})).value("hours_to_full", "/"), None);
}
