//! The pages, their live updates, and what a web server owes its visitors.
//!
//! - [`router`] puts together the pages, [`crate::api`] below `/api/v1`, `/healthz`, `/readyz`, `/metrics`, and the
//!   headers that every response carries.
//! - [`session`]: signing in with a one-time token, the cookie, CSRF; [`throttle`] slows guessing down.
//! - [`stream`]: server-sent events for pages and API, a snapshot or a replay first.
//! - One module for each page; templates are in `templates/`, everything else a browser loads in `assets/`.
//! - [`words`] and [`markup`]: numbers, times and states as people read them.

pub mod address;
pub mod agent;
pub mod alerts;
pub mod assets;
pub mod check;
pub mod error;
pub mod fleet;
pub mod gateways;
pub mod headers;
pub mod health;
pub mod jobs;
pub mod markup;
pub mod page;
pub mod series;
pub mod session;
pub mod stream;
pub mod tenants;
pub mod threshold;
pub mod throttle;
pub mod words;

use std::sync::Arc;
use std::sync::Mutex;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};
use tokio_util::sync::CancellationToken;

use crate::app::Services;
use crate::store::views::fleet::Fleet;
use stream::Hub;
use throttle::Throttle;

/// The largest body that any form or API call may send. The longest is a tenant's name.
const MAX_BODY: usize = 64 * 1024;

/// How the pages are served.
#[derive(Debug, Clone)]
pub struct Options {
    /// Whether browsers come over HTTPS: the cookie is then `Secure`, and HSTS is sent.
    pub https: bool,
    /// Ends all event streams, so that the server can stop.
    pub shutdown: CancellationToken,
}

/// What the handlers share. Cheap to clone.
#[derive(Clone)]
pub struct WebState(Arc<Inner>);

struct Inner {
    services: Services,
    options: Options,
    hub: Hub,
    throttle: Mutex<Throttle>,
    fleet: tokio::sync::Mutex<Option<CachedFleet>>,
}

struct CachedFleet {
    fleet: Arc<Fleet>,
    revision: u64,
    read: tokio::time::Instant,
}

/// How long a fleet that nothing changed in is shown: it grows stale by time alone, and a second more or less is no matter.
const FLEET_LIFE: std::time::Duration = std::time::Duration::from_secs(1);

impl WebState {
    /// Starts what feeds the event streams; it ends with the last clone, or with [`Options::shutdown`].
    #[must_use]
    pub fn new(services: Services, options: Options) -> Self {
        let hub = Hub::start(&services.events, &options.shutdown);
        Self(Arc::new(Inner {
            services,
            options,
            hub,
            throttle: Mutex::new(Throttle::default()),
            fleet: tokio::sync::Mutex::new(None),
        }))
    }

    pub(crate) fn services(&self) -> &Services {
        &self.0.services
    }

    pub(crate) fn store(&self) -> &crate::store::Store {
        &self.0.services.store
    }

    pub(crate) fn options(&self) -> &Options {
        &self.0.options
    }

    pub(crate) fn hub(&self) -> &Hub {
        &self.0.hub
    }

    pub(crate) fn throttle(&self) -> &Mutex<Throttle> {
        &self.0.throttle
    }

    /// All agents. However many clients ask at once, and they do after each hint, it is read once for each change.
    pub(crate) async fn fleet(&self) -> crate::store::Result<Arc<Fleet>> {
        let mut cached = self.0.fleet.lock().await;
        // Taken before the read: what changes during it makes the next caller read again.
        let revision = self.hub().revision();
        if let Some(cached) = cached.as_ref()
            && cached.revision == revision
            && cached.read.elapsed() < FLEET_LIFE
        {
            return Ok(cached.fleet.clone());
        }
        let read = tokio::time::Instant::now();
        let fleet = Arc::new(crate::store::views::fleet::fleet(self.store(), None).await?);
        *cached = Some(CachedFleet {
            fleet: fleet.clone(),
            revision,
            read,
        });
        Ok(fleet)
    }
}

impl std::fmt::Debug for WebState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WebState")
            .field("options", &self.0.options)
            .finish_non_exhaustive()
    }
}

/// Every page, and the API below `/api/v1`.
///
/// The server should put [`axum::extract::ConnectInfo`] with the peer's address into each request's extensions: without
/// it nobody counts as loopback, and all sign-in attempts share one budget.
pub fn router(state: WebState) -> Router {
    Router::new()
        .route("/", get(fleet::show))
        .route("/sign-in", get(session::show_sign_in).post(session::sign_in))
        .route("/sign-out", post(session::sign_out))
        .route("/agents/{tenant}/{agent}", get(agent::show))
        .route("/agents/{tenant}/{agent}/checks/{check}", get(check::show))
        .route(
            "/agents/{tenant}/{agent}/checks/{check}/series",
            get(series::show),
        )
        .route("/alerts", get(alerts::show))
        .route("/alerts/{id}/acknowledge", post(alerts::acknowledge))
        .route("/gateways", get(gateways::show))
        .route("/jobs", get(jobs::show))
        .route("/tenants", get(tenants::show))
        .route("/live", get(stream::live))
        .route("/assets/{*path}", get(assets::show))
        .route("/favicon.ico", get(assets::favicon))
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .route("/metrics", get(health::metrics))
        .nest("/api/v1", crate::api::router())
        .fallback(error::not_found)
        .method_not_allowed_fallback(error::method_not_allowed)
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(from_fn_with_state(state.clone(), headers::harden))
        .with_state(state)
}
