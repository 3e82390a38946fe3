//! The one place where everything is wired. Tests start the same app on port 0.
//!
//! - [`App::start`] builds every part and returns a [`Running`]: the addresses, and the way to stop.
//! - [`grpc`] and [`web`]: the two ports; their certificates are made anew in `certificates`.

mod certificates;
pub mod grpc;
pub mod health;
pub mod web;

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::authority::{Authority, AuthorityError};
use crate::config::{Config, WebSecurity};
use crate::events::EventBus;
use crate::ingest::Lane;
use crate::jobs::{self, Worker};
use crate::metrics::{Metrics, serving as report};
use crate::store::{self, Store, StoreError};
use crate::{alerts, authority, coordination, events};
use certificates::Certificates;

/// How long the parts get to end, once they are told to.
const STOP_WITHIN: Duration = Duration::from_secs(15);

/// How long this node counts as alive after it last said so, and how often it says so.
const NODE_LEASE_MS: i64 = 30_000;
const NODE_BEAT: Duration = Duration::from_secs(10);

/// What every part of a platform process shares. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Services {
    /// The database.
    pub store: Store,
    /// Hints about changes.
    pub events: EventBus,
    /// The certificate authorities.
    pub authority: Authority,
    /// This process's metrics.
    pub metrics: Metrics,
}

/// Why the platform can't start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A port can't be had.
    #[error(
        "the {part} port {address} can't be opened: {source}; stop what listens there, or change `listen` in [{part}]"
    )]
    Listen {
        /// Which: `web` or `grpc`.
        part: &'static str,
        /// Where.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The authorities.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// Another library has taken the metrics.
    #[error("metrics can't be set up: {0}")]
    Metrics(#[from] metrics_exporter_prometheus::BuildError),
}

/// The platform.
#[derive(Debug)]
pub struct App;

/// A platform that serves. Dropping it leaves it running; [`Running::shutdown`] ends it.
#[derive(Debug)]
pub struct Running {
    /// Where gateways connect.
    pub grpc: SocketAddr,
    /// Where browsers and programs connect.
    pub web: SocketAddr,
    /// Whether the web port speaks HTTPS.
    pub https: bool,
    /// What the parts share.
    pub services: Services,
    node: String,
    instance: String,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl App {
    /// Starts everything. It listens once this returns.
    ///
    /// # Errors
    /// [`StartError`]; nothing runs then.
    pub async fn start(config: &Config) -> Result<Running, StartError> {
        let metrics = Metrics::install()?;
        let store = Store::open(&config.database()).await?;
        let events = EventBus::default();
        let authority = Authority::open(
            store.clone(),
            events.clone(),
            config.key_folder(None),
            &config.trust_domain,
        )
        .await?;
        let services = Services {
            store,
            events,
            authority,
            metrics,
        };

        // Everything that can fail comes before anything runs.
        let (certificates, (grpc_tls, web_tls)) =
            Certificates::make(services.clone(), config.clone()).await?;
        let (grpc_listener, grpc) = listen("grpc", config.grpc.listen).await?;
        let (web_listener, web) = listen("web", config.web.listen).await?;
        let instance = uuid::Uuid::new_v4().to_string();
        beat(&services, config.node.as_str(), &instance).await?;

        let stop = CancellationToken::new();
        let tasks = TaskTracker::new();
        let lane = Lane::start(services.clone());
        tasks.spawn(grpc::serve(
            grpc_listener,
            grpc_tls,
            services.clone(),
            lane,
            stop.clone(),
        ));
        tasks.spawn(web::serve(web_listener, web_tls, services.clone(), stop.clone()));
        tasks.spawn(certificates.keep(stop.clone()));
        tasks.spawn(authority::upkeep::run(services.clone(), stop.clone()));
        tasks.spawn(events::watch::run(
            services.store.clone(),
            services.events.clone(),
            stop.clone(),
        ));
        tasks.spawn(coordination::reconcile::run(services.clone(), stop.clone()));
        tasks.spawn(services.metrics.clone().upkeep(stop.clone()));
        tasks.spawn(alerts::freshness::run(services.clone(), stop.clone()));
        let worker = Worker::new(
            services.clone(),
            config.node.as_str(),
            jobs::UPKEEP,
            jobs::handlers(config.retention),
            jobs::schedules(),
        );
        tasks.spawn(worker.run(stop.clone()));
        tasks.spawn(keep_alive(
            services.clone(),
            config.node.to_string(),
            instance.clone(),
            stop.clone(),
        ));
        tasks.close();

        report::started(config.node.as_str(), grpc, web);
        Ok(Running {
            grpc,
            web,
            https: config.web.security != WebSecurity::Plain,
            services,
            node: config.node.to_string(),
            instance,
            stop,
            tasks,
        })
    }
}

impl Running {
    /// Ends everything in order: no new connections, open calls end, what was handed in is committed and answered, the
    /// database is closed.
    pub async fn shutdown(self) {
        report::stopping();
        self.stop.cancel();
        // Parts that hang are left behind: the database holds nothing half-done.
        let _left = tokio::time::timeout(STOP_WITHIN, self.tasks.wait()).await;
        if let Ok(mut write) = self.services.store.write().await {
            let left = store::nodes::leave(&mut write, &self.node, &self.instance).await;
            if left.is_ok() {
                // A row that stays ends by itself.
                let _ended = write.commit().await;
            }
        }
        let _closed = tokio::time::timeout(STOP_WITHIN, self.services.store.close()).await;
    }
}

async fn listen(part: &'static str, address: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    let error = |source| StartError::Listen {
        part,
        address,
        source,
    };
    let listener = TcpListener::bind(address).await.map_err(error)?;
    let address = listener.local_addr().map_err(error)?;
    Ok((listener, address))
}

async fn keep_alive(services: Services, node: String, instance: String, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(NODE_BEAT) => {}
        }
        if let Err(error) = beat(&services, &node, &instance).await {
            report::watch_failed(&error);
        }
    }
}

async fn beat(services: &Services, node: &str, instance: &str) -> Result<(), StoreError> {
    let mut write = services.store.write().await?;
    let until = write.now() + NODE_LEASE_MS;
    store::nodes::beat(&mut write, node, instance, until).await?;
    write.commit().await
}
