//! The REST API: what a token sees, what lists are bounded by, what results look like.

use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::seed;
use super::site::{Site, request};

#[tokio::test]
async fn without_a_known_token_nothing_answers() {
    let site = Site::seeded().await;
    for header in [
        None,
        Some("Bearer forged"),
        Some("Bearer "),
        Some("Basic YTpi"),
        Some("Bearer"),
    ] {
        let headers: Vec<(&str, &str)> = header.map(|value| ("authorization", value)).into_iter().collect();
        for path in [
            "/tenants",
            "/agents",
            "/tenants/acme/agents/berlin-1",
            "/alerts",
            "/gateways",
            "/jobs",
            "/events",
        ] {
            let answer = site.get(&format!("/api/v1{path}"), &headers).await;
            assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{path} {header:?}");
            assert_eq!(answer.json()["error"]["code"], "unauthenticated");
            assert!(answer.header("www-authenticate").starts_with("Bearer"));
        }
    }
    let cookie = site.sign_in().await;
    let answer = site.get("/api/v1/agents", &[("cookie", &cookie)]).await;
    assert_eq!(
        answer.status,
        StatusCode::UNAUTHORIZED,
        "a cookie is no token: forms of other sites would carry it"
    );
}

#[tokio::test]
async fn a_token_of_one_tenant_sees_nothing_of_another() {
    let site = Site::seeded().await;
    let acme = site.token("acme", Some("acme")).await;
    // Everything of globex is as if it weren't there.
    for path in [
        "/agents?tenant=globex",
        "/alerts?tenant=globex",
        "/events?tenant=globex",
        "/tenants/globex/agents/oslo-1",
        "/tenants/globex/agents/oslo-1/checks",
        "/tenants/globex/agents/oslo-1/checks/web",
        "/tenants/globex/agents/oslo-1/checks/web/results",
        "/tenants/globex/agents/oslo-1/checks/web/events",
    ] {
        let theirs = site.api(&acme, path).await;
        assert_eq!(theirs.status, StatusCode::NOT_FOUND, "{path}");
        assert_eq!(theirs.json()["error"]["code"], "not_found", "{path}");
        let none = site.api(&acme, &path.replace("globex", "nobody")).await;
        assert_eq!(
            none.body, theirs.body,
            "{path}: what exists and what doesn't look the same"
        );
    }
    let acknowledge = "/api/v1/alerts/al-globex/acknowledge";
    let theirs = site.post(acknowledge, &[("authorization", &acme)], "").await;
    assert_eq!(theirs.status, StatusCode::NOT_FOUND);
    let all = site.token("all", None).await;
    let untouched = site.api(&all, "/alerts?tenant=globex").await.json();
    assert_eq!(untouched["items"][0]["acknowledged_at_unix_ms"], Value::Null);

    // Lists have only its own, and no other word of the other.
    for (path, count) in [
        ("/tenants", 1),
        ("/agents", 2),
        ("/agents?tenant=acme", 2),
        ("/alerts", 2),
        ("/gateways", 1),
    ] {
        let answer = site.api(&acme, path).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}");
        assert_eq!(answer.json()["items"].as_array().unwrap().len(), count, "{path}");
        // The one mention is acme's own alert, which says what a certificate claimed.
        let said = answer.body.replace("the certificate says globex", "");
        assert!(
            !said.contains("globex") && !said.contains("oslo"),
            "{path}: {said}"
        );
    }
    assert_eq!(site.api(&acme, "/jobs").await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn every_endpoint_answers_a_token_of_all_tenants() {
    let site = Site::seeded().await;
    let all = site.token("all", None).await;
    let counts = [
        ("/tenants", 2),
        ("/agents", 4),
        ("/tenants/acme/agents/berlin-1/checks", 4),
        ("/tenants/acme/agents/berlin-1/checks/web/results", 100),
        ("/tenants/acme/agents/berlin-1/checks/web/events", 1),
        ("/alerts", 3),
        ("/alerts?state=open", 3),
        ("/alerts?state=resolved", 0),
        ("/gateways", 2),
        ("/jobs", 2),
        ("/jobs?state=completed", 1),
    ];
    for (path, count) in counts {
        let answer = site.api(&all, path).await;
        assert_eq!(answer.status, StatusCode::OK, "{path} {}", answer.body);
        assert_eq!(answer.json()["items"].as_array().unwrap().len(), count, "{path}");
    }
    let agent = site.api(&all, "/tenants/acme/agents/paris-1").await.json();
    assert_eq!(agent["reachability"]["state"], "unreachable");
    assert_eq!(agent["reachability"]["cause"], "wrong_tenant");
    assert_eq!(agent["cursor"]["committed_seq"], 4711);
    let berlin = site.api(&all, "/tenants/acme/agents/berlin-1").await.json();
    assert_eq!(
        berlin["certificate"]["serial"], "0c",
        "the newest of those that count"
    );
    assert_eq!(agent["spool"]["quota_bytes"], 268_435_456);
    let identity = |agent: &serde_json::Value| agent["identity"]["state"].as_str().unwrap().to_owned();
    assert_eq!(
        (identity(&berlin), identity(&agent)),
        ("enrolled".into(), "expired".into())
    );
    let lima = site.api(&all, "/tenants/globex/agents/lima-1").await.json();
    assert_eq!(identity(&lima), "awaiting_enrolment");
    assert_eq!(lima["certificate"], serde_json::Value::Null);
    let check = site
        .api(&all, "/tenants/acme/agents/berlin-1/checks/web")
        .await
        .json();
    assert_eq!(check["status"], "warning");
    assert_eq!(check["usage"]["cpu_us"], 3_140);
    assert_eq!(check["evidence"][0]["body"]["tls_ms"], 18.9);
    assert_eq!(check["stale"], false);
}

#[tokio::test]
async fn results_come_newest_first_and_page_back_in_time() {
    let site = Site::seeded().await;
    let all = site.token("all", None).await;
    let path = "/tenants/acme/agents/berlin-1/checks/web/results";
    let (mut seen, mut before): (Vec<u64>, String) = (Vec::new(), String::new());
    loop {
        let page = site.api(&all, &format!("{path}?limit=50{before}")).await.json();
        seen.extend(
            page["items"]
                .as_array()
                .unwrap()
                .iter()
                .map(|item| item["seq"].as_u64().unwrap()),
        );
        let Some(next) = page["next"].as_str() else { break };
        before = format!("&before={next}");
    }
    // Runs 60 to 79 of 140 were lost.
    assert_eq!(seen.len(), 120);
    assert!(seen.is_sorted_by(|a, b| a > b), "{seen:?}");
}

#[tokio::test]
async fn a_chunk_that_cannot_be_read_hides_no_other() {
    let site = Site::seeded().await;
    let mut write = site.store.write().await.unwrap();
    sqlx::query("UPDATE sample_chunk SET payload = x'00ff' WHERE first_seq = 279")
        .execute(&mut *write)
        .await
        .unwrap();
    sqlx::query("UPDATE sample_chunk SET header = x'ffffffff' WHERE first_seq = 277")
        .execute(&mut *write)
        .await
        .unwrap();
    write.commit().await.unwrap();
    let all = site.token("all", None).await;
    let page = site
        .api(&all, "/tenants/acme/agents/berlin-1/checks/web/results?limit=1")
        .await
        .json();
    assert_eq!(page["items"][0]["seq"], 275);
}

#[tokio::test]
async fn lists_have_bounds() {
    let site = Site::seeded().await;
    let all = site.token("all", None).await;
    let lists = [
        "/tenants",
        "/agents",
        "/alerts",
        "/jobs",
        "/tenants/acme/agents/berlin-1/checks",
        "/tenants/acme/agents/berlin-1/checks/web/results",
        "/tenants/acme/agents/berlin-1/checks/web/events",
    ];
    for path in lists {
        for (limit, status) in [
            ("0", 422),
            ("501", 422),
            ("-1", 422),
            ("x", 422),
            ("1", 200),
            ("500", 200),
        ] {
            let answer = site.api(&all, &format!("{path}?limit={limit}")).await;
            assert_eq!(answer.status.as_u16(), status, "{path} {limit}");
            if status == 422 {
                assert_eq!(answer.json()["error"]["code"], "invalid");
            }
        }
    }
    let mut names = Vec::new();
    let mut after = String::new();
    loop {
        let page = site.api(&all, &format!("/agents?limit=1{after}")).await.json();
        names.push(page["items"][0]["name"].as_str().unwrap().to_owned());
        let Some(next) = page["next"].as_str() else { break };
        after = format!("&after={next}");
    }
    assert_eq!(names, ["berlin-1", "paris-1", "lima-1", "oslo-1"]);
    assert_eq!(site.api(&all, "/agents?after=x").await.status.as_u16(), 422);
    assert_eq!(site.api(&all, "/alerts?state=closed").await.status.as_u16(), 422);
}

#[tokio::test]
async fn acknowledging_names_the_token_and_is_done_once() {
    let site = Site::seeded().await;
    let first = site.token("on-call", Some("acme")).await;
    let second = site.token("other", None).await;
    for bearer in [&first, &second] {
        let answer = site
            .post(
                "/api/v1/alerts/al-web/acknowledge",
                &[("authorization", bearer)],
                "",
            )
            .await;
        assert_eq!(answer.status, StatusCode::OK);
        assert_eq!(answer.json()["acknowledged_by"], "token:on-call");
    }
    let mut read = site.store.read().await.unwrap();
    let entries: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM audit WHERE action = 'alert.acknowledge'")
        .fetch_one(&mut *read)
        .await
        .unwrap();
    assert_eq!(entries, 1);
}

#[tokio::test]
async fn errors_are_json_whatever_is_asked() {
    let site = Site::seeded().await;
    let all = site.token("all", None).await;
    let cases = [
        ("/nowhere", 404, "not_found"),
        ("/tenants/acme/agents/none", 404, "not_found"),
    ];
    for (path, status, code) in cases {
        let answer = site.api(&all, path).await;
        assert_eq!(
            (answer.status.as_u16(), &answer.json()["error"]["code"]),
            (status, &json!(code)),
            "{path}"
        );
    }
    let method = site.post("/api/v1/agents", &[("authorization", &all)], "").await;
    assert_eq!(
        (method.status.as_u16(), &method.json()["error"]["code"]),
        (405, &json!("method_not_allowed"))
    );
}

#[tokio::test]
async fn numbers_that_json_has_not_are_null() {
    let site = Site::empty().await;
    let mut write = site.store.write().await.unwrap();
    let now = write.now();
    seed::tenant(&mut write, "acme", "Acme").await;
    let agent = seed::Agent {
        tenant: "acme",
        name: "a1",
        reach: "reachable",
        cause: "",
        detail: "",
    };
    seed::agent(&mut write, &agent).await;
    seed::check(
        &mut write,
        "acme",
        "a1",
        &seed::result("web", 1, "ok", now, f64::NAN),
        now,
    )
    .await;
    write.commit().await.unwrap();
    let all = site.token("all", None).await;
    let check = site.api(&all, "/tenants/acme/agents/a1/checks/web").await.json();
    assert_eq!(check["metrics"][0]["value"], Value::Null);
}

#[tokio::test]
async fn a_tenant_is_added_once_and_only_by_a_token_of_all_tenants() {
    let site = Site::seeded().await;
    let all = site.token("all", None).await;
    let acme = site.token("acme", Some("acme")).await;
    let post = async |bearer: &str, body: &str| {
        let headers = [("authorization", bearer), ("content-type", "application/json")];
        let answer = site
            .send(request(
                Method::POST,
                "/api/v1/tenants",
                &headers,
                body.to_owned(),
            ))
            .await;
        (answer.status.as_u16(), answer.json())
    };
    let (status, added) = post(&all, r#"{"slug":"initech","name":" Initech "}"#).await;
    assert_eq!(
        (status, &added["slug"], &added["name"]),
        (201, &json!("initech"), &json!("Initech"))
    );
    assert_eq!(post(&all, r#"{"slug":"initech"}"#).await.0, 409);
    assert_eq!(post(&acme, r#"{"slug":"umbrella"}"#).await.0, 403);
    for bad in [
        "",
        "{}",
        "[]",
        r#"{"slug":"UPPER"}"#,
        r#"{"slug":"a/b"}"#,
        r#"{"slug":"ok-slug","nam":"x"}"#,
        r#"{"slug":"ok-slug","name":"a\u0000b"}"#,
    ] {
        let (status, error) = post(&all, bad).await;
        assert_eq!(
            (status, &error["error"]["code"]),
            (422, &json!("invalid")),
            "{bad}"
        );
    }
    assert_eq!(
        site.api(&all, "/tenants").await.json()["items"]
            .as_array()
            .unwrap()
            .len(),
        3
    );
}
