//! Who gets in, and what every response carries.

use http::{Method, StatusCode};
use picket_platform::store::auth;

use super::site::{Site, from_address, request};

const PAGES: [&str; 7] = [
    "/",
    "/agents/acme/berlin-1",
    "/agents/acme/berlin-1/checks/web",
    "/alerts",
    "/gateways",
    "/jobs",
    "/tenants",
];

#[tokio::test]
async fn nobody_sees_a_page_without_signing_in() {
    let site = Site::seeded().await;
    for path in PAGES {
        let page = site.get(path, &[]).await;
        assert_eq!(page.status, StatusCode::SEE_OTHER, "{path}");
        assert!(page.header("location").starts_with("/sign-in?next=%2F"), "{path}");
        assert!(page.body.is_empty());
        let forged = site.get(path, &[("cookie", "picket=forged")]).await;
        assert_eq!(forged.status, StatusCode::SEE_OTHER, "{path}");
        let part = site.get(path, &[("hx-request", "true")]).await;
        assert_eq!(
            part.status,
            StatusCode::UNAUTHORIZED,
            "{path}: a fragment must not become the sign-in page"
        );
    }
    for path in ["/live", "/agents/acme/berlin-1/checks/web/series"] {
        assert_eq!(
            site.get(path, &[]).await.status,
            StatusCode::UNAUTHORIZED,
            "{path}"
        );
    }
    for path in ["/alerts/al-web/acknowledge", "/sign-out"] {
        assert_eq!(
            site.post(path, &[], "csrf=x").await.status,
            StatusCode::UNAUTHORIZED,
            "{path}"
        );
    }
}

#[tokio::test]
async fn a_one_time_token_works_once() {
    let site = Site::empty().await;
    assert!(
        site.get("/sign-in", &[])
            .await
            .body
            .contains("Nobody has signed in here yet"),
        "first run"
    );
    let token = auth::create_signin_token(&site.store).await.unwrap();
    let form = format!("token=+{}+&next=%2Falerts", token.reveal());
    let first = site.post("/sign-in", &[], &form).await;
    assert_eq!(
        (first.status, first.header("location")),
        (StatusCode::SEE_OTHER, "/alerts")
    );
    let second = site.post("/sign-in", &[], &form).await;
    assert_eq!(second.status, StatusCode::UNAUTHORIZED);
    assert!(second.headers.get("set-cookie").is_none() && second.body.contains("not valid"));
    assert!(!second.body.contains(token.reveal()), "a token is not echoed");
}

#[tokio::test]
async fn signing_in_leads_to_no_other_site() {
    let site = Site::empty().await;
    let token = auth::create_signin_token(&site.store).await.unwrap();
    let form = format!("token={}&next=https%3A%2F%2Fevil.example", token.reveal());
    assert_eq!(site.post("/sign-in", &[], &form).await.header("location"), "/");
    let token = auth::create_signin_token(&site.store).await.unwrap();
    let form = format!("token={}", token.reveal());
    let foreign = site
        .post("/sign-in", &[("sec-fetch-site", "cross-site")], &form)
        .await;
    assert_eq!(foreign.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn the_eleventh_attempt_in_a_minute_is_not_even_looked_at() {
    let site = Site::empty().await;
    let attempt = |form: String, address: &'static str| {
        let mut request = request(Method::POST, "/sign-in", &[], form);
        request.headers_mut().insert(
            "content-type",
            "application/x-www-form-urlencoded".parse().unwrap(),
        );
        from_address(request, address)
    };
    for _ in 0..10 {
        let answer = site.send(attempt("token=guess".into(), "192.0.2.1:1000")).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    }
    let token = auth::create_signin_token(&site.store).await.unwrap();
    let form = format!("token={}", token.reveal());
    let limited = site.send(attempt(form.clone(), "192.0.2.1:1001")).await;
    assert_eq!(limited.status, StatusCode::TOO_MANY_REQUESTS);
    assert!(limited.header("retry-after").parse::<u64>().unwrap() <= 61);
    let other = site.send(attempt(form, "192.0.2.2:1000")).await;
    assert_eq!(
        other.status,
        StatusCode::SEE_OTHER,
        "another address is not held up"
    );
}

#[tokio::test]
async fn a_form_without_the_sessions_token_is_refused() {
    let site = Site::seeded().await;
    let cookie = site.sign_in().await;
    let other = site.csrf(&site.sign_in().await).await;
    let headers = [("cookie", &*cookie)];
    for path in ["/alerts/al-web/acknowledge", "/sign-out"] {
        for form in ["", "csrf=", "csrf=wrong", &format!("csrf={other}")] {
            assert_eq!(
                site.post(path, &headers, form).await.status,
                StatusCode::FORBIDDEN,
                "{path} {form}"
            );
        }
    }
    let form = format!("csrf={}", site.csrf(&cookie).await);
    assert_eq!(
        site.post("/alerts/al-web/acknowledge", &headers, &form)
            .await
            .status,
        StatusCode::SEE_OTHER
    );
    assert!(site.page(&cookie, "/alerts").await.body.contains("by web"));

    let out = site.post("/sign-out", &headers, &form).await;
    assert!(out.status == StatusCode::SEE_OTHER && out.header("set-cookie").contains("Max-Age=0"));
    assert_eq!(
        site.page(&cookie, "/").await.status,
        StatusCode::SEE_OTHER,
        "the session is over"
    );
}

#[tokio::test]
async fn every_response_carries_the_policy() {
    let site = Site::seeded().await;
    let cookie = site.sign_in().await;
    let bearer = site.token("all", None).await;
    let mut answers = vec![
        site.get("/sign-in", &[]).await,
        site.get("/nowhere", &[]).await,
        site.get("/", &[]).await,
        site.get("/healthz", &[]).await,
        site.get("/readyz", &[]).await,
        site.get("/metrics", &[]).await,
        site.get("/favicon.ico", &[]).await,
        site.get("/assets/none/app.css", &[]).await,
        site.get("/api/v1/agents", &[]).await,
        site.get("/api/v1/nowhere", &[]).await,
        site.api(&bearer, "/agents").await,
        site.post("/sign-in", &[], "").await,
        site.post("/", &[], "").await,
    ];
    for path in PAGES {
        answers.push(site.page(&cookie, path).await);
    }
    for answer in answers {
        let policy = answer.header("content-security-policy");
        assert!(
            policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"),
            "{}",
            answer.status
        );
        assert!(!policy.contains("unsafe"));
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        assert!(
            answer.header("strict-transport-security").is_empty(),
            "not without TLS"
        );
        assert_eq!(answer.header("cache-control"), "no-store");
    }
}

#[tokio::test]
async fn under_https_the_cookie_and_the_host_are_bound_to_it() {
    let site = Site::with_https(true).await;
    let token = auth::create_signin_token(&site.store).await.unwrap();
    let answer = site
        .post("/sign-in", &[], &format!("token={}", token.reveal()))
        .await;
    let cookie = answer.header("set-cookie");
    assert!(cookie.starts_with("__Host-picket="), "{cookie}");
    for attribute in [
        "; Secure",
        "; HttpOnly",
        "; SameSite=Strict",
        "; Path=/",
        "; Max-Age=43200",
    ] {
        assert!(cookie.contains(attribute), "{cookie}");
    }
    assert!(answer.header("strict-transport-security").contains("max-age="));
}

#[tokio::test]
async fn assets_may_be_kept_for_ever() {
    let site = Site::empty().await;
    let page = site.get("/sign-in", &[]).await.body;
    let href = page
        .split("rel=\"stylesheet\" href=\"")
        .nth(1)
        .unwrap()
        .split('"')
        .next()
        .unwrap();
    let file = site.get(href, &[]).await;
    assert_eq!(
        (file.status, file.header("content-type")),
        (StatusCode::OK, "text/css; charset=utf-8")
    );
    assert!(file.header("cache-control").contains("immutable"));
    let again = site.get(href, &[("if-none-match", file.header("etag"))]).await;
    assert_eq!(again.status, StatusCode::NOT_MODIFIED);
}

#[tokio::test]
async fn metrics_are_for_this_machine_or_for_a_token_of_all_tenants() {
    let site = Site::seeded().await;
    let get = |headers: &[(&str, &str)]| request(Method::GET, "/metrics", headers, String::new());
    let all = site.token("all", None).await;
    let acme = site.token("acme", Some("acme")).await;
    let far = "192.0.2.1:999";
    let cases = [
        (from_address(get(&[]), "127.0.0.1:999"), StatusCode::OK),
        (from_address(get(&[]), "[::ffff:127.0.0.1]:999"), StatusCode::OK),
        (from_address(get(&[]), far), StatusCode::UNAUTHORIZED),
        (get(&[]), StatusCode::UNAUTHORIZED),
        (from_address(get(&[("authorization", &all)]), far), StatusCode::OK),
        (
            from_address(get(&[("authorization", &acme)]), far),
            StatusCode::FORBIDDEN,
        ),
    ];
    for (index, (request, expected)) in cases.into_iter().enumerate() {
        assert_eq!(site.send(request).await.status, expected, "case {index}");
    }
}
