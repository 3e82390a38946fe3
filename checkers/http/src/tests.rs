//! The checker on a scripted host.

use picket_checker_sdk::http::{Error, ErrorKind, HeaderValue, Response, TlsSession};
use picket_checker_sdk::mock::{MockHost, Outcome, certificate, response, run};
use picket_checker_sdk::{Status, tls};
use serde_json::{Value, json};

use crate::ThisChecker;

const DAY_S: i64 = 86_400;

fn serving(answer: Response) -> MockHost {
    let host = MockHost::new();
    host.serve(move |_| Ok(answer.clone()));
    host
}

fn config(extra: &Value) -> Value {
    let mut config = json!({"url": "https://example.com/start"});
    for (key, value) in extra.as_object().unwrap() {
        config[key] = value.clone();
    }
    config
}

fn check(host: &MockHost, extra: &Value) -> Outcome {
    let outcome = run::<ThisChecker>(host, &config(extra));
    assert_eq!(outcome.undeclared(), Vec::<String>::new());
    assert_eq!(outcome.unused(), Vec::<String>::new());
    outcome
}

fn redirect(status: u16, location: &str) -> Response {
    let mut answer = response(status, "");
    answer
        .headers
        .push(("location".to_owned(), location.as_bytes().to_vec()));
    answer
}

/// `/start` redirects to `location`, anything else answers 200.
fn redirecting(status: u16, location: &'static str) -> MockHost {
    let host = MockHost::new();
    host.serve(move |request| {
        Ok(if request.url.ends_with("/start") {
            redirect(status, location)
        } else {
            response(200, "end")
        })
    });
    host
}

fn with_tls(not_after_unix_s: i64, trusted: Result<(), String>) -> Response {
    let mut answer = response(200, "");
    answer.tls = Some(TlsSession {
        version: "TLSv1.3".to_owned(),
        cipher_suite: "TLS13_AES_128_GCM_SHA256".to_owned(),
        alpn: None,
        peer_certificates: vec![certificate("CN=example.com", not_after_unix_s)],
        trusted,
    });
    answer
}

#[test]
fn a_good_answer_is_ok_with_its_phases() {
    let outcome = check(&serving(response(200, "hello")), &json!({}));
    assert_eq!(outcome.status(), Status::Ok);
    assert_eq!(outcome.summary(), "GET https://example.com/start: 200 in 10 ms");
    assert_eq!(outcome.value("response_time", ""), Some(0.01));
    assert_eq!(outcome.value("phase", "connect"), Some(0.002));
    assert_eq!(outcome.value("phase", "tls"), None);
    assert_eq!(outcome.value("size", ""), Some(5.0));
    assert!(outcome.evidence("phases").is_some());
}

#[test]
fn the_status_must_be_of_the_set() {
    let status =
        |found: u16, wanted: Value| check(&serving(response(found, "")), &json!({"status": wanted})).status();
    assert_eq!(status(404, json!([])), Status::Critical);
    assert_eq!(status(404, json!([200, 404])), Status::Ok);
    assert_eq!(status(418, json!(["4xx"])), Status::Ok);
    assert_eq!(status(250, json!(["200-249"])), Status::Critical);
    assert!(check_invalid(&json!({"status": ["2x"]})).contains("found `2x`"));
    assert!(check_invalid(&json!({"status": [true]})).contains("expected status codes such as 200"));
}

fn check_invalid(extra: &Value) -> String {
    run::<ThisChecker>(&serving(response(200, "")), &config(extra))
        .result
        .unwrap_err()
        .message()
        .to_owned()
}

#[test]
fn the_body_must_match_and_must_not_match() {
    let host = serving(response(200, "all is well"));
    assert_eq!(
        check(&host, &json!({"body_regex": "is w.ll"})).status(),
        Status::Ok
    );
    assert_eq!(
        check(&host, &json!({"body_regex": "^well"})).status(),
        Status::Critical
    );
    assert_eq!(
        check(&host, &json!({"body_not_regex": "well"})).status(),
        Status::Critical
    );
    assert!(check_invalid(&json!({"body_regex": "("})).starts_with("body_regex: "));
}

#[test]
fn json_values_must_be_equal() {
    let host = serving(response(200, r#"{"status": "up", "nodes": [{"n": 3}]}"#));
    assert_eq!(
        check(&host, &json!({"json": {"status": "up", "nodes[0].n": 3.0}})).status(),
        Status::Ok
    );
    let outcome = check(&host, &json!({"json": {"status": "down"}}));
    assert!(
        outcome
            .summary()
            .ends_with(r#"JSON `status` is "up", expected "down""#)
    );
    assert!(
        check(&host, &json!({"json": {"x": 1}}))
            .summary()
            .ends_with("JSON `x` is missing, expected 1")
    );
    assert!(
        check(&serving(response(200, "<p>")), &json!({"json": {"x": 1}}))
            .summary()
            .contains("no JSON")
    );
}

#[test]
fn headers_must_come_and_match() {
    let mut answer = response(200, "");
    answer
        .headers
        .push(("content-type".to_owned(), b"text/html".to_vec()));
    let host = serving(answer);
    assert_eq!(
        check(&host, &json!({"expect_headers": {"Content-Type": "^text/"}})).status(),
        Status::Ok
    );
    assert_eq!(
        check(&host, &json!({"expect_headers": {"Content-Type": "json"}})).status(),
        Status::Critical
    );
    assert!(
        check(&host, &json!({"expect_headers": {"x-a": ""}}))
            .summary()
            .ends_with("no header `x-a`")
    );
}

#[test]
fn secrets_go_by_reference_and_are_declared() {
    let host = serving(response(200, ""));
    let outcome = check(
        &host,
        &json!({
            "secret_headers": {"x-key": {"prefix": "Key ", "secret": "api-key"}},
            "basic_auth": {"username": "u", "password_secret": "pw"},
        }),
    );
    assert_eq!(
        outcome.needs.iter().map(String::as_str).collect::<Vec<_>>(),
        ["http:example.com:443", "secret:api-key", "secret:pw"]
    );
    check(&host, &json!({"bearer_secret": "token"}));
    let sent = &host.requests()[1];
    let bearer = |(name, value): &(String, HeaderValue)| {
        name == "authorization"
            && matches!(value, HeaderValue::Secret(s) if s.prefix == "Bearer " && s.secret == "token")
    };
    assert!(sent.headers.iter().any(bearer));
}

#[test]
fn a_redirect_on_the_same_origin_is_followed_with_its_secrets() {
    let host = redirecting(302, "/end");
    let outcome = check(&host, &json!({"bearer_secret": "token"}));
    assert_eq!(outcome.status(), Status::Ok);
    assert_eq!(outcome.value("redirects", ""), Some(1.0));
    assert_eq!(host.requests()[1].url, "https://example.com/end");
    assert!(
        host.requests()[1]
            .headers
            .iter()
            .any(|(name, _)| name == "authorization")
    );
    assert!(outcome.evidence("redirects").unwrap().body.contains("/start"));
}

#[test]
fn a_redirect_elsewhere_carries_no_secrets_and_asks_for_its_own_grant() {
    let host = redirecting(302, "https://other.example/end");
    let outcome = run::<ThisChecker>(
        &host,
        &config(&json!({"bearer_secret": "token", "basic_auth": {"username": "u", "password_secret": "p"}})),
    );
    let second = &host.requests()[1];
    assert!(second.basic_auth.is_none() && second.headers.iter().all(|(name, _)| name != "authorization"));
    assert_eq!(
        outcome.undeclared(),
        ["http:other.example:443"],
        "the host decides about each hop"
    );
}

#[test]
fn the_redirect_policy_holds() {
    let elsewhere = redirecting(302, "https://other.example/end");
    let outcome = check(&elsewhere, &json!({"redirects": "same-host"}));
    assert!(outcome.summary().contains("expected to stay on its host"));
    let outcome = check(
        &redirecting(302, "/end"),
        &json!({"redirects": "never", "status": [302]}),
    );
    assert_eq!(outcome.status(), Status::Ok);
}

#[test]
fn a_loop_of_redirects_ends() {
    let host = serving(redirect(302, "/start"));
    let outcome = check(&host, &json!({"max_redirects": 3}));
    assert_eq!(
        outcome.summary(),
        "https://example.com/start redirects more than 3 times"
    );
    assert_eq!(host.requests().len(), 4);
}

#[test]
fn a_post_becomes_a_get_or_stays_one_by_the_code() {
    for (code, method, has_body) in [
        (302, "GET", false),
        (303, "GET", false),
        (307, "POST", true),
        (308, "POST", true),
    ] {
        let host = redirecting(code, "/end");
        check(&host, &json!({"method": "post", "body": "x"}));
        let second = &host.requests()[1];
        assert_eq!(
            (second.method.as_str(), second.body.is_some()),
            (method, has_body),
            "{code}"
        );
    }
}

#[test]
fn certificate_days_are_judged_and_shown() {
    let host = serving(with_tls(10 * DAY_S, Ok(())));
    let outcome = check(
        &host,
        &json!({"certificate_days": {"warning": "14:", "critical": "7:"}}),
    );
    assert_eq!(outcome.status(), Status::Warning);
    assert_eq!(outcome.value("certificate_days", ""), Some(10.0));
    assert!(
        outcome
            .evidence("certificates")
            .unwrap()
            .body
            .contains("CN=example.com")
    );
}

#[test]
fn insecure_reports_but_does_not_require() {
    let host = serving(with_tls(10 * DAY_S, Err("unknown issuer".to_owned())));
    let outcome = check(&host, &json!({"insecure": true}));
    assert_eq!(outcome.status(), Status::Ok);
    assert!(
        outcome
            .result
            .unwrap()
            .into_wire()
            .details
            .unwrap()
            .contains("unknown issuer")
    );
    assert!(!host.requests()[0].tls.require_trusted);
}

#[test]
fn roots_family_and_name_reach_the_host() {
    let host = serving(response(200, ""));
    check(
        &host,
        &json!({"ca": "PEM", "family": "ipv6", "server_name": "inner"}),
    );
    let tls_options = &host.requests()[0].tls;
    assert!(matches!(&tls_options.trust, tls::Trust::Roots(roots) if roots == &[b"PEM".to_vec()]));
    assert!(tls_options.require_trusted && tls_options.server_name.as_deref() == Some("inner"));
    assert!(host.requests()[0].family.is_some());
}

#[test]
fn slow_and_large_answers_are_judged() {
    let host = serving(response(200, "hello"));
    assert_eq!(
        check(&host, &json!({"response_time": {"critical": 0.005}})).status(),
        Status::Critical
    );
    assert_eq!(
        check(&host, &json!({"size": {"warning": "10:"}})).status(),
        Status::Warning
    );
}

#[test]
fn a_dead_target_is_critical_and_a_refusal_an_error() {
    for (kind, is_report) in [
        (ErrorKind::Connect, true),
        (ErrorKind::Timeout, true),
        (ErrorKind::Untrusted, true),
        (ErrorKind::Denied, false),
        (ErrorKind::InvalidRequest, false),
    ] {
        let host = MockHost::new();
        host.serve(move |_| {
            let session = with_tls(DAY_S, Err("unknown issuer".to_owned())).tls;
            Err(Box::new(Error {
                kind,
                message: "no".to_owned(),
                peer: None,
                tls: session,
                elapsed_us: 5,
            }))
        });
        let outcome = check(&host, &json!({}));
        assert_eq!(outcome.result.is_ok(), is_report, "{kind:?}");
        if is_report {
            assert_eq!(outcome.status(), Status::Critical);
            assert!(outcome.evidence("certificates").is_some());
        }
    }
}

#[test]
fn a_wrong_url_is_a_wrong_configuration() {
    assert!(check_invalid(&json!({"url": "example.com"})).starts_with("url: expected a URL"));
}
