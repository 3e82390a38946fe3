//! A router over a database of its own, and requests to it.

use std::net::SocketAddr;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use http::header::{AUTHORIZATION, CONTENT_TYPE, COOKIE, SET_COOKIE};
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use picket_identity::spiffe::TrustDomain;
use picket_platform::app::Services;
use picket_platform::authority::Authority;
use picket_platform::authority::encryption::Sources;
use picket_platform::authority::keys::KeyFolder;
use picket_platform::events::EventBus;
use picket_platform::metrics::Metrics;
use picket_platform::store::{Store, auth};
use picket_platform::web::{Options, WebState, router};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

pub(crate) struct Site {
    pub(crate) store: Store,
    pub(crate) events: EventBus,
    pub(crate) router: Router,
    _folder: tempfile::TempDir,
}

/// The key folder of an installation in `folder`.
fn key_folder(folder: &std::path::Path) -> KeyFolder {
    let sources = Sources {
        variable: Some("BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=".to_owned().into()),
        ..Sources::default()
    };
    KeyFolder::new(&folder.join("keys"), sources)
}

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

impl Site {
    pub(crate) async fn empty() -> Self {
        Self::with_https(false).await
    }

    pub(crate) async fn with_https(https: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::create(&folder.path().join("picket.db")).await.unwrap();
        let events = EventBus::default();
        let keys = key_folder(folder.path());
        let domain: TrustDomain = "picket.example".parse().unwrap();
        Authority::initialise(&store, &keys, &domain, "test")
            .await
            .unwrap();
        let authority = Authority::open(store.clone(), events.clone(), keys, &domain)
            .await
            .unwrap();
        let metrics = Metrics::install().unwrap();
        let services = Services {
            store: store.clone(),
            events: events.clone(),
            authority,
            metrics,
        };
        let router = router(WebState::new(
            services,
            Options {
                https,
                shutdown: CancellationToken::new(),
            },
        ));
        Self {
            store,
            events,
            router,
            _folder: folder,
        }
    }

    pub(crate) async fn seeded() -> Self {
        let site = Self::empty().await;
        super::seed::two_tenants(&site.store).await;
        site
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Answer {
            status: parts.status,
            headers: parts.headers,
            body: String::from_utf8_lossy(&body).into_owned(),
        }
    }

    pub(crate) async fn get(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.send(request(Method::GET, path, headers, String::new()))
            .await
    }

    pub(crate) async fn post(&self, path: &str, headers: &[(&str, &str)], form: &str) -> Answer {
        let mut request = request(Method::POST, path, headers, form.to_owned());
        request
            .headers_mut()
            .insert(CONTENT_TYPE, "application/x-www-form-urlencoded".parse().unwrap());
        self.send(request).await
    }

    /// Signs in: the `Cookie` header from then on.
    pub(crate) async fn sign_in(&self) -> String {
        let token = auth::create_signin_token(&self.store).await.unwrap();
        let answer = self
            .post("/sign-in", &[], &format!("token={}", token.reveal()))
            .await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.body);
        answer
            .header(SET_COOKIE.as_str())
            .split(';')
            .next()
            .unwrap()
            .to_owned()
    }

    pub(crate) async fn page(&self, cookie: &str, path: &str) -> Answer {
        self.get(path, &[(COOKIE.as_str(), cookie)]).await
    }

    /// An API token: the `Authorization` header.
    pub(crate) async fn token(&self, name: &str, tenant: Option<&str>) -> String {
        let token = auth::create_api_token(&self.store, name, tenant).await.unwrap();
        format!("Bearer {}", token.reveal())
    }

    pub(crate) async fn api(&self, bearer: &str, path: &str) -> Answer {
        self.get(&format!("/api/v1{path}"), &[(AUTHORIZATION.as_str(), bearer)])
            .await
    }

    /// What a form of a signed-in browser sends back.
    pub(crate) async fn csrf(&self, cookie: &str) -> String {
        let page = self.page(cookie, "/").await;
        let rest = page.body.split("name=\"csrf\" value=\"").nth(1).unwrap();
        rest.split('"').next().unwrap().to_owned()
    }
}

pub(crate) fn request(method: Method, path: &str, headers: &[(&str, &str)], body: String) -> Request<Body> {
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .body(Body::from(body))
        .unwrap();
    for (name, value) in headers {
        request
            .headers_mut()
            .insert(name.parse::<http::HeaderName>().unwrap(), value.parse().unwrap());
    }
    request
}

/// As if it came over a connection from `address`.
pub(crate) fn from_address(mut request: Request<Body>, address: &str) -> Request<Body> {
    let address: SocketAddr = address.parse().unwrap();
    request.extensions_mut().insert(ConnectInfo(address));
    request
}
