//! The checker on a scripted host.

use std::time::Duration;

use picket_checker_sdk::facts::{CpuFacts, CpuTimes, Pressure};
use picket_checker_sdk::host::Host;
use picket_checker_sdk::mock::{MockHost, Outcome, run};
use picket_checker_sdk::{ErrorKind, Status};
use serde_json::{Value, json};

use crate::ThisChecker;

fn times(user_s: f64, idle_s: f64, iowait_s: f64) -> CpuTimes {
    CpuTimes {
        user_s,
        nice_s: 0.0,
        system_s: 0.0,
        idle_s,
        iowait_s,
        irq_s: 0.0,
        softirq_s: 0.0,
        steal_s: 0.0,
    }
}

fn facts(total: CpuTimes, pressure: Option<Pressure>) -> CpuFacts {
    CpuFacts {
        total,
        cores: vec![total, total],
        load1: 4.0,
        load5: 2.0,
        load15: 1.0,
        pressure,
        extra: Vec::new(),
    }
}

/// 80 % user, 10 % idle, 10 % iowait between the two readings.
fn busy_host() -> MockHost {
    let host = MockHost::new();
    host.set_cpu(vec![
        facts(times(10.0, 10.0, 0.0), None),
        facts(times(18.0, 11.0, 1.0), None),
    ]);
    host
}

fn check(host: &MockHost, config: &Value) -> Outcome {
    let outcome = run::<ThisChecker>(host, config);
    assert!(outcome.undeclared().is_empty() && outcome.unused().is_empty());
    outcome
}

#[test]
fn the_first_run_takes_a_short_sample() {
    let host = busy_host();
    let outcome = check(&host, &json!({"sample": "2s"}));
    assert_eq!(outcome.status(), Status::Ok);
    assert_eq!(outcome.value("usage", ""), Some(80.0));
    assert_eq!(outcome.value("iowait", ""), Some(10.0));
    assert_eq!(outcome.value("core_usage", "1"), Some(80.0));
    assert_eq!(host.monotonic(), Duration::from_secs(2));
}

#[test]
fn a_later_run_compares_with_the_one_before_and_does_not_wait() {
    let host = busy_host();
    check(&host, &json!({}));
    let waited = host.monotonic();
    host.set_cpu(vec![facts(times(18.0, 21.0, 1.0), None)]);
    let outcome = check(&host, &json!({}));
    assert_eq!(host.monotonic(), waited);
    assert_eq!(outcome.value("usage", ""), Some(0.0));
}

#[test]
fn an_old_reading_is_not_used() {
    let host = busy_host();
    check(&host, &json!({}));
    host.advance(Duration::from_secs(7_200));
    let before = host.monotonic();
    check(&host, &json!({}));
    assert!(host.monotonic() > before, "it must sample again");
}

#[test]
fn each_threshold_judges_its_number() {
    for (key, range) in [
        ("usage", "75"),
        ("core", "75"),
        ("iowait", "5"),
        ("load1", "1.5"),
        ("load5", "0.5"),
    ] {
        let outcome = check(&busy_host(), &json!({ key: {"warning": range} }));
        assert_eq!(outcome.status(), Status::Warning, "{key}: {}", outcome.summary());
        let outcome = check(&busy_host(), &json!({ key: {"critical": range} }));
        assert_eq!(outcome.status(), Status::Critical, "{key}");
    }
}

#[test]
fn pressure_is_judged_where_the_kernel_has_it() {
    let host = MockHost::new();
    let pressure = Pressure {
        some_avg10: 1.0,
        some_avg60: 40.0,
        some_avg300: 2.0,
        full_avg10: 0.0,
        full_avg60: 0.0,
        full_avg300: 0.0,
    };
    host.set_cpu(vec![
        facts(times(1.0, 1.0, 0.0), Some(pressure)),
        facts(times(2.0, 2.0, 0.0), Some(pressure)),
    ]);
    let outcome = check(&host, &json!({"pressure": {"critical": 25}}));
    assert_eq!(outcome.status(), Status::Critical);
}

#[test]
fn a_threshold_on_missing_pressure_is_unknown() {
    let outcome = check(&busy_host(), &json!({"pressure": {"critical": 25}}));
    assert_eq!(outcome.status(), Status::Unknown);
    assert!(outcome.summary().contains("psi=1"));
}

#[test]
fn counters_that_stand_still_are_unknown() {
    let host = MockHost::new();
    host.set_cpu(vec![facts(times(1.0, 1.0, 0.0), None)]);
    assert_eq!(check(&host, &json!({})).status(), Status::Unknown);
}

#[test]
fn an_unknown_key_is_an_error_that_names_the_right_one() {
    let error = run::<ThisChecker>(&busy_host(), &json!({"usge": {}}))
        .result
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidConfig);
    assert!(error.message().ends_with("did you mean `usage`?"), "{error}");
}
