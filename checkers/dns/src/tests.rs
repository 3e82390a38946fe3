//! The checker on scripted name servers.

use picket_checker_sdk::Status;
use picket_checker_sdk::mock::{MockHost, Outcome, run};
use serde_json::{Value, json};

use crate::ThisChecker;
use crate::codec::message::respond;

const SERVER: &str = "192.0.2.53:53";

/// A server that answers every question with the same records by UDP.
fn serving(flags: u16, records: Vec<(u16, Vec<u8>)>) -> MockHost {
    let host = MockHost::new();
    host.answer_datagrams(SERVER, move |question| vec![respond(question, flags, &records)]);
    host
}

fn address() -> MockHost {
    serving(0, vec![(1, vec![192, 0, 2, 1])])
}

fn soa(serial: u8) -> Vec<(u16, Vec<u8>)> {
    vec![(
        6,
        [&b"\x01n\x00\x01h\x00"[..], &[0, 0, 0, serial], &[0; 16]].concat(),
    )]
}

fn check(host: &MockHost, extra: &Value) -> Outcome {
    let mut config = json!({"name": "www.example", "servers": ["192.0.2.53"]});
    for (key, value) in extra.as_object().unwrap() {
        config[key] = value.clone();
    }
    let outcome = run::<ThisChecker>(host, &config);
    assert_eq!(outcome.undeclared(), Vec::<String>::new());
    outcome
}

#[test]
fn an_answer_is_ok_and_shown() {
    let outcome = check(&address(), &json!({}));
    assert_eq!(outcome.status(), Status::Ok, "{}", outcome.summary());
    assert!(outcome.summary().starts_with("www.example A: 192.0.2.1"));
    assert!(outcome.evidence("answers").unwrap().body.contains("192.0.2.1"));
}

#[test]
fn no_records_are_critical() {
    assert_eq!(
        check(&serving(0, Vec::new()), &json!({})).summary(),
        "192.0.2.53:53: no A records"
    );
}

#[test]
fn the_response_code_must_be_the_expected_one() {
    let host = serving(3, Vec::new());
    assert!(
        check(&host, &json!({}))
            .summary()
            .ends_with("answered NXDOMAIN, expected NOERROR")
    );
    assert_eq!(check(&host, &json!({"rcode": "nxdomain"})).status(), Status::Ok);
}

#[test]
fn answers_compare_by_all_exact_and_any() {
    let host = serving(0, vec![(1, vec![192, 0, 2, 1]), (1, vec![192, 0, 2, 2])]);
    let status = |answers: &[&str], matching: &str| {
        check(&host, &json!({"answers": answers, "match": matching})).status()
    };
    assert_eq!(status(&["192.0.2.1"], "all"), Status::Ok);
    assert_eq!(status(&["192.0.2.1"], "exact"), Status::Critical);
    assert_eq!(status(&["192.0.2.1", "192.0.2.2"], "exact"), Status::Ok);
    assert_eq!(status(&["192.0.2.1", "192.0.2.3"], "all"), Status::Critical);
    assert_eq!(status(&["192.0.2.1", "192.0.2.3"], "any"), Status::Ok);
}

#[test]
fn flags_are_judged_both_ways() {
    for (key, flag) in [("authoritative", 0x0400), ("authenticated", 0x0020)] {
        let (with, without) = (serving(flag, vec![(1, vec![1; 4])]), address());
        assert_eq!(check(&with, &json!({ key: true })).status(), Status::Ok, "{key}");
        assert_eq!(
            check(&without, &json!({ key: true })).status(),
            Status::Critical,
            "{key}"
        );
        assert_eq!(
            check(&with, &json!({ key: false })).status(),
            Status::Critical,
            "{key}"
        );
    }
}

#[test]
fn a_truncated_answer_is_asked_for_by_tcp() {
    let host = serving(0x0200, Vec::new());
    host.listen(SERVER, |framed| {
        let answer = respond(&framed[2..], 0, &[(1, vec![192, 0, 2, 9])]);
        [&u16::try_from(answer.len()).unwrap().to_be_bytes()[..], &answer].concat()
    });
    let outcome = check(&host, &json!({"answers": ["192.0.2.9"]}));
    assert_eq!(outcome.status(), Status::Ok, "{}", outcome.summary());
    assert!(outcome.used.contains("tcp:192.0.2.53:53"));
}

#[test]
fn each_transport_needs_only_its_own_grants() {
    let needs = |transport: &str| {
        check(&address(), &json!({"transport": transport}))
            .needs
            .into_iter()
            .collect::<Vec<_>>()
    };
    assert_eq!(needs("udp"), ["udp:192.0.2.53:53"]);
    assert_eq!(needs("tcp"), ["tcp:192.0.2.53:53"]);
    assert_eq!(needs("auto"), ["tcp:192.0.2.53:53", "udp:192.0.2.53:53"]);
}

#[test]
fn a_forged_answer_is_ignored() {
    let host = MockHost::new();
    host.answer_datagrams(SERVER, |question| {
        let good = respond(question, 0, &[(1, vec![192, 0, 2, 1])]);
        let mut forged = respond(question, 0, &[(1, vec![6, 6, 6, 6])]);
        forged[0] ^= 0xff;
        vec![forged, b"noise".to_vec(), good]
    });
    assert_eq!(
        check(&host, &json!({"answers": ["192.0.2.1"], "match": "exact"})).status(),
        Status::Ok
    );
}

#[test]
fn a_silent_server_is_critical_within_the_timeout() {
    let outcome = check(&MockHost::new(), &json!({}));
    assert_eq!(outcome.status(), Status::Critical);
    assert!(outcome.summary().contains("didn't answer by UDP"));
}

#[test]
fn a_lost_datagram_is_sent_again() {
    let host = MockHost::new();
    let mut sent = 0;
    host.answer_datagrams(SERVER, move |question| {
        sent += 1;
        if sent < 2 {
            Vec::new()
        } else {
            vec![respond(question, 0, &[(1, vec![1; 4])])]
        }
    });
    let outcome = check(&host, &json!({"latency": {"warning": 0.5}}));
    assert_eq!(
        outcome.status(),
        Status::Warning,
        "the lost one is part of the latency"
    );
}

#[test]
fn serials_must_agree() {
    let config = json!({"record": "SOA", "servers": ["192.0.2.53", "192.0.2.54"], "serials_agree": true});
    for (second, status) in [(7, Status::Ok), (8, Status::Critical)] {
        let host = serving(0, soa(7));
        host.answer_datagrams("192.0.2.54:53", move |question| {
            vec![respond(question, 0, &soa(second))]
        });
        let outcome = check(&host, &config);
        assert_eq!(outcome.status(), status, "{}", outcome.summary());
    }
}

#[test]
fn a_malformed_answer_is_critical() {
    let outcome = check(&serving(0, vec![(1, vec![1, 2, 3])]), &json!({}));
    assert_eq!(outcome.status(), Status::Critical);
    assert!(outcome.summary().contains("malformed"), "{}", outcome.summary());
}

#[test]
fn a_configuration_without_servers_or_with_a_wrong_name_is_refused() {
    assert!(check(&address(), &json!({"servers": []})).result.is_err());
    assert!(
        check(&address(), &json!({"name": "a..b"}))
            .summary()
            .starts_with("name: ")
    );
}
