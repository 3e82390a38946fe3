//! Each page with data, without, and with strings that want to be markup.

use http::StatusCode;
use picket_proto::agent::v1::{Evidence, Metric};

use super::seed::{self, MINUTE};
use super::site::Site;

const CHECK: &str = "/agents/acme/berlin-1/checks/web";

#[tokio::test]
async fn every_page_shows_what_is_there() {
    let site = Site::seeded().await;
    let cookie = site.sign_in().await;
    let expected: [(&str, &[&str]); 9] = [
        (
            "/",
            &[
                "berlin-1",
                "disk: /var is 97 % full",
                "certificate of another tenant",
                "1–4 of 4",
                "lima-1",
            ],
        ),
        (
            "/agents/acme/berlin-1",
            &[
                "spiffe://picket.example/tenant/acme/agent/berlin-1",
                "<dt>Enrolment</dt><dd class=\"\">enrolled</dd>",
                "40.0 MiB of 256 MiB",
                "would fill in",
                "41 d left",
                "140 ms ahead",
                "mail.acme.example:25 greets",
                "the spool was full",
            ],
        ),
        (
            "/agents/acme/paris-1",
            &[
                "Unreachable",
                "expected tenant acme, the certificate says globex",
                "expired 2 d ago",
            ],
        ),
        (
            CHECK,
            &[
                "slower than 250 ms",
                "above 250 ms",
                "3.14 ms of 1 s",
                "2.5 MiB of 64.0 MiB",
                "first_byte_ms",
                "data-series=\"/agents/acme/berlin-1/checks/web/series?range=1h\"",
                "answered 200 in",
            ],
        ),
        (
            "/alerts",
            &["agent acme/paris-1 can&#39;t be reached", "Acknowledge"],
        ),
        ("/alerts?state=resolved", &["Nothing was resolved yet"]),
        ("/gateways", &["gw-1", "Live", "Dead"]),
        ("/jobs", &["retention", "the disk is full", "Discarded"]),
        ("/tenants", &["Acme GmbH", "globex"]),
    ];
    for (path, texts) in expected {
        let page = site.page(&cookie, path).await;
        assert_eq!(page.status, StatusCode::OK, "{path}");
        for text in texts {
            assert!(page.body.contains(text), "{path} lacks {text:?}\n{}", page.body);
        }
        assert!(
            !page.body.contains(" style=") && !page.body.contains("<style"),
            "{path}: the policy forbids inline styles"
        );
        let inline = page
            .body
            .split("<script")
            .skip(1)
            .any(|tag| !tag.split('>').next().unwrap().contains("src="));
        assert!(!inline, "{path}: the policy forbids inline scripts");
    }
}

#[tokio::test]
async fn an_empty_page_says_which_command_to_run() {
    let site = Site::empty().await;
    let cookie = site.sign_in().await;
    let expected = [
        ("/", "platform tenant add acme"),
        ("/alerts", "Nothing is open"),
        ("/gateways", "gateway init --name gw-1"),
        ("/jobs", "platform serve"),
        ("/tenants", "platform tenant add acme"),
    ];
    for (path, text) in expected {
        let page = site.page(&cookie, path).await;
        assert_eq!(page.status, StatusCode::OK, "{path}");
        assert!(page.body.contains(text), "{path} lacks {text:?}");
    }
}

#[tokio::test]
async fn strings_from_outside_never_become_markup() {
    const EVIL: &str = "<script>alert(1)</script><img src=x onerror=alert(1)>\"' hx-get=\"/evil\"";
    let site = Site::empty().await;
    let mut write = site.store.write().await.unwrap();
    let now = write.now();
    seed::tenant(&mut write, "acme", EVIL).await;
    let agent = seed::Agent {
        tenant: "acme",
        name: "a1",
        reach: "unreachable",
        cause: EVIL,
        detail: EVIL,
    };
    seed::agent(&mut write, &agent).await;
    let mut result = seed::result("web", 3, EVIL, now, 0.1);
    result.details = EVIL.into();
    result.checker = EVIL.into();
    result.checker_version = EVIL.into();
    result.labels = [(EVIL.to_owned(), EVIL.to_owned())].into();
    result.metrics = vec![Metric {
        name: EVIL.into(),
        unit: EVIL.into(),
        warning: Some(EVIL.into()),
        labels: [(EVIL.to_owned(), EVIL.to_owned())].into(),
        ..Metric::default()
    }];
    result.evidence = vec![Evidence {
        kind: EVIL.into(),
        title: EVIL.into(),
        body: EVIL.into(),
    }];
    seed::check(&mut write, "acme", "a1", &result, now).await;
    seed::chunk(&mut write, "acme", "a1", 1, &[result]).await;
    seed::alert(&mut write, "al-1", "acme", "a1", "web", EVIL).await;
    seed::job(&mut write, "j1", EVIL, "discarded", 5, Some(EVIL)).await;
    write.commit().await.unwrap();

    let cookie = site.sign_in().await;
    let pages = [
        "/",
        "/agents/acme/a1",
        "/agents/acme/a1/checks/web",
        "/alerts",
        "/jobs",
        "/tenants",
    ];
    for path in pages {
        let page = site.page(&cookie, path).await;
        assert_eq!(page.status, StatusCode::OK, "{path}");
        assert!(
            page.body.contains("&#60;script&#62;alert(1)"),
            "{path} doesn't show it"
        );
        for bad in ["<script>alert", "<img", "\"' hx-get"] {
            assert!(!page.body.contains(bad), "{path} has {bad:?}");
        }
    }
    let query = "/?q=%3Cscript%3Ealert(1)%3C/script%3E%22&tenant=%22%3E%3Cimg&state=%22%3E%3Cimg&page=%22";
    let page = site.page(&cookie, query).await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(!page.body.contains("<script>alert") && !page.body.contains("<img"));
}

#[tokio::test]
async fn old_results_and_those_of_unreachable_agents_are_stale_never_ok() {
    let site = Site::seeded().await;
    let cookie = site.sign_in().await;

    let unreachable = site.page(&cookie, "/agents/acme/paris-1/checks/web").await.body;
    assert!(unreachable.contains("Stale: the agent can't be reached") && unreachable.contains("last ok"));
    let silent = site.page(&cookie, "/agents/acme/berlin-1/checks/smtp").await.body;
    assert!(silent.contains("Stale: no result for"), "{silent}");
    let agent = site.page(&cookie, "/agents/acme/paris-1").await.body;
    assert!(agent.contains("pill is-stale") && !agent.contains("pill is-ok"));

    let bearer = site.token("all", None).await;
    let agents = site.api(&bearer, "/tenants/acme/agents/berlin-1").await.json();
    assert_eq!(
        agents["counts"],
        serde_json::json!({"ok":1,"warning":1,"critical":1,"unknown":0,"stale":1})
    );
    let list = site.api(&bearer, "/agents?tenant=acme").await.json();
    assert_eq!(
        list["items"][0]["counts"], agents["counts"],
        "the list and the agent agree"
    );
    assert_eq!(list["items"][1]["counts"]["stale"], 1);
    let check = site
        .api(&bearer, "/tenants/acme/agents/paris-1/checks/web")
        .await
        .json();
    assert_eq!((&check["stale"], &check["status"]), (&true.into(), &"ok".into()));
}

#[tokio::test]
async fn tiles_filter_and_pages_have_bounds() {
    let site = Site::empty().await;
    let mut write = site.store.write().await.unwrap();
    let now = write.now();
    seed::tenant(&mut write, "acme", "Acme").await;
    for n in 0..120 {
        let name = format!("site-{n:03}");
        let agent = seed::Agent {
            tenant: "acme",
            name: &name,
            reach: "reachable",
            cause: "",
            detail: "",
        };
        seed::agent(&mut write, &agent).await;
        let status = if n == 77 { 3 } else { 1 };
        seed::check(
            &mut write,
            "acme",
            &name,
            &seed::result("web", status, "says", now, 0.1),
            now,
        )
        .await;
    }
    write.commit().await.unwrap();
    let cookie = site.sign_in().await;
    let rows = |body: &str| body.matches("<tr class=\"go\">").count();

    let first = site.page(&cookie, "/").await.body;
    assert_eq!(rows(&first), 50);
    assert!(
        first.contains("1–50 of 120") && first.find("site-077") < first.find("site-000"),
        "worst first"
    );
    let last = site.page(&cookie, "/?page=3").await.body;
    assert!(rows(&last) == 20 && last.contains("101–120 of 120"));
    for beyond in ["99999999999999999999", "-1", "x", "0"] {
        let page = site.page(&cookie, &format!("/?page={beyond}")).await;
        assert_eq!((page.status, rows(&page.body)), (StatusCode::OK, 50), "{beyond}");
    }
    assert!(
        site.page(&cookie, "/?page=100")
            .await
            .body
            .contains("101–120 of 120"),
        "beyond the last is the last"
    );
    assert_eq!(rows(&site.page(&cookie, "/?state=critical").await.body), 1);
    assert_eq!(rows(&site.page(&cookie, "/?q=ACME/site-01").await.body), 10);
    assert!(
        site.page(&cookie, "/?q=nothing")
            .await
            .body
            .contains("No agent matches")
    );
}

#[tokio::test]
async fn a_fragment_is_the_live_part_alone() {
    let site = Site::seeded().await;
    let cookie = site.sign_in().await;
    for path in [
        "/",
        "/agents/acme/berlin-1",
        CHECK,
        "/alerts",
        "/gateways",
        "/jobs",
        "/tenants",
    ] {
        let whole = site.page(&cookie, path).await;
        let part = site
            .get(path, &[("cookie", &cookie), ("hx-request", "true")])
            .await;
        assert!(
            whole.body.starts_with("<!doctype html>") && !part.body.contains("<html"),
            "{path}"
        );
        assert!(part.body.contains("data-now="), "{path}");
        assert_eq!(whole.header("vary"), "hx-request", "{path}");
        let back = [
            ("cookie", &*cookie),
            ("hx-request", "true"),
            ("hx-history-restore-request", "true"),
        ];
        assert!(
            site.get(path, &back).await.body.starts_with("<!doctype html>"),
            "{path}"
        );
    }
}

#[tokio::test]
async fn a_history_has_its_gaps_and_says_what_was_lost() {
    let site = Site::seeded().await;
    let cookie = site.sign_in().await;
    let series = site.page(&cookie, &format!("{CHECK}/series")).await.json();
    let time = series["metrics"]
        .as_array()
        .unwrap()
        .iter()
        .find(|line| line["name"] == "time")
        .unwrap();
    assert!(
        time["v"]
            .as_array()
            .unwrap()
            .iter()
            .any(serde_json::Value::is_null),
        "a gap breaks the line"
    );
    assert_eq!(
        time["warning"],
        serde_json::json!({"low":0.0,"high":0.25,"inside":false})
    );
    assert_eq!(series["lost"][0]["count"], 40);
    assert_eq!(series["lost"][0]["why"], "the spool was full");
    let states: Vec<_> = series["states"]
        .as_array()
        .unwrap()
        .iter()
        .map(|stretch| stretch["status"].as_str().unwrap())
        .collect();
    assert_eq!(states, ["ok", "ok", "warning"]);
    let gap = series["states"][1]["from"].as_i64().unwrap() - series["states"][0]["to"].as_i64().unwrap();
    assert!(gap > 9 * MINUTE && gap < 11 * MINUTE, "{gap}");
}

#[tokio::test]
async fn what_is_not_there_is_a_page_that_says_so() {
    let site = Site::seeded().await;
    let cookie = site.sign_in().await;
    for path in [
        "/nowhere",
        "/agents/acme/none",
        "/agents/none/berlin-1",
        "/agents/acme/berlin-1/checks/none",
    ] {
        let page = site.page(&cookie, path).await;
        assert_eq!(page.status, StatusCode::NOT_FOUND, "{path}");
        assert!(page.body.contains("Not found"), "{path}");
    }
}
