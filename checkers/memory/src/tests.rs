//! The checker on a scripted host.

use picket_checker_sdk::Status;
use picket_checker_sdk::facts::{MemoryFacts, Pressure};
use picket_checker_sdk::mock::{MockHost, Outcome, run};
use serde_json::{Value, json};

use crate::ThisChecker;

const GIB: u64 = 1 << 30;

fn facts() -> MemoryFacts {
    MemoryFacts {
        total: 16 * GIB,
        available: 4 * GIB,
        free: GIB,
        buffers: GIB,
        cached: 2 * GIB,
        swap_total: 4 * GIB,
        swap_free: GIB,
        oom_kills: Some(3),
        pressure: None,
        extra: Vec::new(),
    }
}

fn check(host: &MockHost, config: &Value) -> Outcome {
    let outcome = run::<ThisChecker>(host, config);
    assert!(outcome.undeclared().is_empty() && outcome.unused().is_empty());
    outcome
}

fn check_facts(facts: MemoryFacts, config: &Value) -> Outcome {
    let host = MockHost::new();
    host.set_memory(facts);
    check(&host, config)
}

#[test]
fn says_how_much_is_available() {
    let outcome = check_facts(facts(), &json!({}));
    assert_eq!(outcome.status(), Status::Ok);
    assert_eq!(outcome.summary(), "25.0 % of 16.0 GiB available");
    assert_eq!(outcome.value("swap_used", ""), Some(75.0));
}

#[test]
fn each_threshold_judges_its_number() {
    for (key, range) in [
        ("available", "30:"),
        ("available_bytes", "5000000000:"),
        ("swap", "50"),
    ] {
        assert_eq!(
            check_facts(facts(), &json!({ key: {"warning": range} })).status(),
            Status::Warning,
            "{key}"
        );
        assert_eq!(
            check_facts(facts(), &json!({ key: {"critical": range} })).status(),
            Status::Critical,
            "{key}"
        );
    }
}

#[test]
fn kills_count_since_the_last_run() {
    let host = MockHost::new();
    host.set_memory(facts());
    assert_eq!(
        check(&host, &json!({})).status(),
        Status::Ok,
        "what came before the first run is no news"
    );
    host.set_memory(MemoryFacts {
        oom_kills: Some(5),
        ..facts()
    });
    let outcome = check(&host, &json!({}));
    assert_eq!(outcome.value("oom_kills", ""), Some(2.0));
    assert_eq!(outcome.status(), Status::Warning);
    assert_eq!(check(&host, &json!({})).status(), Status::Ok);
}

#[test]
fn kills_after_a_reboot_are_all_new() {
    assert_eq!(crate::killed_since(5, 2), 2);
}

#[test]
fn a_machine_without_swap_uses_none_of_it() {
    let outcome = check_facts(
        MemoryFacts {
            swap_total: 0,
            swap_free: 0,
            ..facts()
        },
        &json!({"swap": {"critical": 10}}),
    );
    assert_eq!(outcome.status(), Status::Ok);
}

#[test]
fn pressure_is_judged_and_its_absence_is_unknown() {
    let config = json!({"pressure": {"critical": 10}});
    assert_eq!(check_facts(facts(), &config).status(), Status::Unknown);
    let pressure = Pressure {
        some_avg10: 0.0,
        some_avg60: 11.0,
        some_avg300: 0.0,
        full_avg10: 0.0,
        full_avg60: 0.0,
        full_avg300: 0.0,
    };
    assert_eq!(
        check_facts(
            MemoryFacts {
                pressure: Some(pressure),
                ..facts()
            },
            &config
        )
        .status(),
        Status::Critical
    );
}

#[test]
fn a_machine_without_memory_is_unknown() {
    assert_eq!(
        check_facts(MemoryFacts { total: 0, ..facts() }, &json!({})).status(),
        Status::Unknown
    );
}
