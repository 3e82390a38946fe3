//! The checker on a scripted host.

use std::time::Duration;

use picket_checker_sdk::mock::{MockHost, Outcome, certificate, run, session};
use picket_checker_sdk::net::ErrorKind;
use picket_checker_sdk::{Status, tls};
use serde_json::{Value, json};

use crate::ThisChecker;

const DAY_S: i64 = 86_400;

fn host() -> MockHost {
    let host = MockHost::new();
    host.name("db.example", &["192.0.2.1", "2001:db8::1"]);
    host.greet("192.0.2.1:25", b"220 hello\r\n", false);
    host
}

fn check(host: &MockHost, config: &Value) -> Outcome {
    let outcome = run::<ThisChecker>(host, config);
    assert_eq!(outcome.undeclared(), Vec::<String>::new());
    outcome
}

fn with(extra: &Value) -> Value {
    let mut config = json!({"host": "db.example", "port": 25});
    for (key, value) in extra.as_object().unwrap() {
        config[key] = value.clone();
    }
    config
}

#[test]
fn a_port_that_answers_is_ok_and_its_time_a_metric() {
    let host = host();
    host.delay("192.0.2.1:25", Duration::from_millis(20));
    let outcome = check(&host, &with(&json!({})));
    assert_eq!(outcome.status(), Status::Ok);
    assert_eq!(outcome.value("connect", "192.0.2.1"), Some(0.02));
}

#[test]
fn a_slow_connection_is_judged() {
    let host = host();
    host.delay("192.0.2.1:25", Duration::from_millis(20));
    let outcome = check(&host, &with(&json!({"connect_time": {"warning": 0.01}})));
    assert_eq!(outcome.status(), Status::Warning);
}

#[test]
fn one_address_is_enough_unless_all_must_answer() {
    assert_eq!(check(&host(), &with(&json!({}))).status(), Status::Ok);
    let outcome = check(&host(), &with(&json!({"addresses": "all"})));
    assert_eq!(outcome.status(), Status::Critical);
    assert_eq!(outcome.summary(), "[2001:db8::1]:25: connection refused");
}

#[test]
fn a_dead_first_address_does_not_hide_a_living_second() {
    let host = host();
    host.refuse("192.0.2.1:25", ErrorKind::Timeout, "timed out");
    host.greet("[2001:db8::1]:25", b"", false);
    assert_eq!(check(&host, &with(&json!({}))).status(), Status::Ok);
}

#[test]
fn only_the_wanted_family_is_tried() {
    assert_eq!(
        check(&host(), &with(&json!({"family": "ipv6"}))).status(),
        Status::Critical
    );
    assert_eq!(
        check(&host(), &with(&json!({"family": "ipv4", "addresses": "all"}))).status(),
        Status::Ok
    );
}

#[test]
fn nobody_there_is_critical_and_a_refusal_by_the_host_an_error() {
    let host = host();
    host.refuse("192.0.2.1:25", ErrorKind::Denied, "the host refused");
    let outcome = check(&host, &with(&json!({})));
    assert!(outcome.result.is_err());
    assert_eq!(
        check(&MockHost::new(), &with(&json!({}))).status(),
        Status::Critical
    );
}

#[test]
fn sends_and_expects() {
    let host = host();
    host.listen("192.0.2.1:25", |text| {
        if text == b"PING\r\n" {
            b"+PONG\r\n".to_vec()
        } else {
            Vec::new()
        }
    });
    let outcome = check(&host, &with(&json!({"send": "PING\\r\\n", "expect": "PONG"})));
    assert_eq!(outcome.status(), Status::Ok, "{}", outcome.summary());
    assert!(outcome.evidence("addresses").unwrap().body.contains("PONG"));
}

#[test]
fn says_what_it_expected_and_what_came() {
    let outcome = check(&host(), &with(&json!({"expect": "SSH-2.0"})));
    assert_eq!(outcome.status(), Status::Critical);
    assert!(
        outcome
            .summary()
            .contains("expected `SSH-2.0`, received `220 hello\\r\\n`"),
        "{}",
        outcome.summary()
    );
}

#[test]
fn a_peer_that_closes_early_is_critical() {
    let host = host();
    host.greet("192.0.2.1:25", b"2", true);
    assert!(
        check(&host, &with(&json!({"expect": "220"})))
            .summary()
            .contains("then the peer closed")
    );
}

#[test]
fn certificate_days_are_judged() {
    let host = host();
    host.tls_answer(Ok(session(vec![certificate("CN=db.example", 10 * DAY_S)])));
    let outcome = check(
        &host,
        &with(&json!({"tls": {"enabled": true, "certificate_days": {"warning": "14:"}}})),
    );
    assert_eq!(outcome.status(), Status::Warning);
    assert_eq!(outcome.value("certificate_days", ""), Some(10.0));
    assert_eq!(host.tls_options()[0].server_name, "db.example");
    assert!(outcome.evidence("certificates").is_some());
}

#[test]
fn an_untrusted_peer_is_critical_unless_insecure() {
    for (insecure, status) in [(false, Status::Critical), (true, Status::Ok)] {
        let host = host();
        host.tls_answer(Ok(tls::Session {
            trusted: Err("unknown issuer".to_owned()),
            ..session(Vec::new())
        }));
        let outcome = check(
            &host,
            &with(&json!({"tls": {"enabled": true, "insecure": insecure}})),
        );
        assert_eq!(outcome.status(), status);
    }
}

/// A mail server that answers as scripted, line by line.
fn mail_server(greeting: &'static [u8], answers: &'static [(&'static [u8], &'static [u8])]) -> MockHost {
    let host = host();
    host.converse("192.0.2.1:25", greeting, |text| {
        let answer = answers.iter().find(|(said, _)| *said == text);
        answer.map(|(_, answer)| answer.to_vec()).unwrap_or_default()
    });
    host.tls_answer(Ok(session(vec![certificate("CN=db.example", 30 * DAY_S)])));
    host
}

const EHLO: &[u8] = b"EHLO picket.invalid\r\n";

#[test]
fn tls_is_asked_for_in_the_protocol_that_begins_without_it() {
    let hosts = [
        (
            "smtp",
            mail_server(
                b"220-welcome\r\n220 mail\r\n",
                &[
                    (EHLO, b"250-mail\r\n250-STARTTLS\r\n250 SIZE 1\r\n"),
                    (b"STARTTLS\r\n", b"220 go\r\n"),
                ],
            ),
        ),
        (
            "imap",
            mail_server(b"* OK ready\r\n", &[(b"a STARTTLS\r\n", b"a OK begin\r\n")]),
        ),
        (
            "pop3",
            mail_server(b"+OK ready\r\n", &[(b"STLS\r\n", b"+OK begin\r\n")]),
        ),
    ];
    for (protocol, host) in hosts {
        let outcome = check(&host, &with(&json!({"tls": {"starttls": protocol}})));
        assert_eq!(outcome.status(), Status::Ok, "{protocol}: {}", outcome.summary());
        assert!(
            outcome.summary().contains("with TLS"),
            "{protocol}: {}",
            outcome.summary()
        );
    }
}

#[test]
fn a_server_that_refuses_tls_is_critical_and_nothing_is_sent_to_it() {
    let silent = mail_server(b"220 mail\r\n", &[(EHLO, b"250-mail\r\n250 SIZE 1\r\n")]);
    let refusing = mail_server(
        b"220 mail\r\n",
        &[(EHLO, b"250 STARTTLS\r\n"), (b"STARTTLS\r\n", b"454 not now\r\n")],
    );
    for (host, words) in [
        (silent, "doesn't offer STARTTLS"),
        (refusing, "received `454 not now`"),
    ] {
        let outcome = check(
            &host,
            &with(&json!({"tls": {"starttls": "smtp"}, "send": "secret"})),
        );
        assert_eq!(outcome.status(), Status::Critical);
        assert!(outcome.summary().contains(words), "{}", outcome.summary());
    }
}

#[test]
fn what_is_smuggled_in_before_tls_is_not_taken_for_what_came_through_it() {
    let host = mail_server(
        b"+OK ready\r\n",
        &[(b"STLS\r\n", b"+OK begin\r\n+OK injected\r\n")],
    );
    let config = with(&json!({"tls": {"starttls": "pop3"}, "expect": "injected"}));
    let outcome = check(&host, &config);
    assert_eq!(outcome.status(), Status::Critical);
    assert!(
        outcome.summary().contains("said more than"),
        "{}",
        outcome.summary()
    );
}
