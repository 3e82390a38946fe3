//! Builds everything, starts it, and stops it: the one place where the parts meet.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use picket_identity::serve::{self, Routes};
use picket_proto::agent::v1::agent_server::AgentServer;
use picket_proto::agent::v1::renewal_server::RenewalServer;
use picket_proto::agent::v1::trust_server::TrustServer;
use picket_proto::health::v1::health_server::HealthServer;
use picket_sandbox::component::{CompileCache, Compiler};
use picket_sandbox::engine::{EngineConfig, SandboxEngine};
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::catalogue::loaded::Loader;
use crate::config::AgentConfig;
use crate::control::server::{Control, ControlSocket};
use crate::enrollment::pending;
use crate::identity::IdentityStore;
use crate::internal_events as events;
use crate::metrics_server::{self, Metrics};
use crate::reload::Reloader;
use crate::runner::secrets::FileSecrets;
use crate::runner::state::FileState;
use crate::runner::{Executor, Runner};
use crate::schedule::{Scheduler, unix_ms};
use crate::server::agent::AgentService;
use crate::server::authorise::Guard;
use crate::server::health::HealthService;
use crate::server::observe::ListenerEvents;
use crate::server::renewal::RenewalService;
use crate::server::trust::TrustService;
use crate::spool::Spool;

mod error;
mod guests;
pub mod ready;

pub use error::StartError;
use guests::GuestRuntime;

/// The most that compiled checkers take on disk: some dozens of Rust's, or a few of Python's.
const COMPILE_CACHE: u64 = 512 << 20;
/// How long a start waits for checkers that are being compiled. Some dozens of Rust's are done by then; what isn't comes
/// later, so that one file keeps no gateway waiting.
const AT_START: Duration = Duration::from_secs(10);
/// The same for a file that is dropped in.
const LATER: Duration = Duration::from_secs(1);
/// How long runs under way may still take at the end. Service managers commonly kill after 90 s.
const DRAIN: Duration = Duration::from_secs(10);
/// A message from a gateway: a start, an acknowledgement, a name.
const MAX_REQUEST: usize = 64 << 10;
/// A message that may hold a trust statement, which has at most 512 KiB.
pub(crate) const MAX_TRUST: usize = 1 << 20;

/// Where a running agent listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Addresses {
    /// For gateways.
    pub grpc: SocketAddr,
    /// For scrapers of metrics.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metrics: Option<SocketAddr>,
}

/// An agent.
#[derive(Debug)]
pub struct App;

impl App {
    /// Builds and starts an agent. When this returns, it listens. A `compiler` in a child process is the program's to
    /// offer: this library doesn't know which program it is part of.
    ///
    /// # Errors
    /// Anything that keeps an agent from running; nothing is left behind then.
    pub async fn start(config: AgentConfig, compiler: Compiler) -> Result<Running, StartError> {
        let metrics = metrics_server::install()?;
        make_folders(&config)?;
        let identity = Arc::new(IdentityStore::open(&config.identity_dir)?);
        if let Err((path, error)) = pending::clean(&config.identity_dir) {
            events::pending_key_left(&path, &error);
        }
        let listener = listen("listen", config.listen).await?;
        let metrics_listener = match config.metrics {
            Some(address) if !address.ip().is_loopback() => return Err(StartError::NotLoopback { address }),
            Some(address) => Some(listen("[metrics] listen", address).await?),
            None => None,
        };
        let spool = open_spool(&config)?;
        let guests = GuestRuntime::start().map_err(StartError::Threads)?;
        let loader = loader(&config, compiler)?;
        let mut reloader = Reloader::new(config.clone(), loader).keeping_signed_versions();
        let watch = reloader.watch();
        reloader.set_patience(AT_START);
        reloader.look().await;
        reloader.set_patience(LATER);
        let inventory = reloader.inventory();

        let state_dir = config.data_dir.join("state");
        let state = FileState::open(&state_dir).map_err(|source| StartError::Folder {
            setting: "data_dir",
            path: state_dir,
            source,
        })?;
        let secrets = Arc::new(FileSecrets::new(&config.secrets_dir).with_credentials_of_this_service());
        let executor = Executor::new(config.limits.clone(), Arc::new(state), secrets, guests.handle());
        let runner = Runner::new(
            Arc::clone(&inventory.checks),
            Arc::clone(&inventory.meters),
            spool.clone(),
            executor,
        );
        let shutdown = CancellationToken::new();
        let (scheduler, scheduling) = {
            // Among the guests: a run then starts, computes and ends on one thread. Each hop to another runtime would
            // wake a thread, which costs more than a short run does.
            let runtime = guests.handle();
            let _among_guests = runtime.enter();
            Scheduler::start(Arc::new(runner), DRAIN, shutdown.clone())
        };
        scheduler.replace(reloader.plans(&identity.current().identity().id().to_string()));

        let addresses = Addresses {
            grpc: listener.local_addr().map_err(StartError::Threads)?,
            metrics: metrics_listener
                .as_ref()
                .and_then(|listener| listener.local_addr().ok()),
        };
        let started_at_unix_ms = unix_ms();
        let mut tasks = vec![scheduling];
        // An agent that can't be asked on this machine still watches it.
        match ControlSocket::bind(&config.data_dir) {
            Ok(socket) => {
                let control = Control {
                    identity: Arc::clone(&identity),
                    checks: Arc::clone(&inventory.checks),
                    meters: Arc::clone(&inventory.meters),
                    scheduler: scheduler.clone(),
                    spool: spool.clone(),
                    concurrent_runs: config.limits.concurrent_runs as u64,
                    started_at_unix_ms,
                };
                tasks.push(tokio::spawn(socket.serve(control, shutdown.clone())));
            }
            Err(error) => events::control_unavailable(&error),
        }
        let metrics = Metrics {
            recorded: metrics,
            spool: spool.clone(),
            meters: Arc::clone(&inventory.meters),
        };
        let guard = Guard::new(Arc::clone(&identity));
        let agent = AgentService {
            guard: guard.clone(),
            identity: Arc::clone(&identity),
            spool: spool.clone(),
            checks: inventory.checks,
            meters: inventory.meters,
            catalogue: inventory.catalogue,
            scheduler: scheduler.clone(),
            boot_id: Uuid::new_v4(),
            started_at_unix_ms,
            shutdown: shutdown.clone(),
        };
        let routes = Routes::new()
            .add(AgentServer::new(agent).max_decoding_message_size(MAX_REQUEST))
            .add(
                RenewalServer::new(RenewalService::new(guard.clone(), Arc::clone(&identity)))
                    .max_decoding_message_size(MAX_TRUST),
            )
            .add(
                TrustServer::new(TrustService::new(guard.clone(), Arc::clone(&identity)))
                    .max_decoding_message_size(MAX_TRUST),
            )
            .add(
                HealthServer::new(HealthService::new(guard, shutdown.clone()))
                    .max_decoding_message_size(MAX_REQUEST),
            );
        let serving = tokio::spawn(serve::serve(
            listener,
            identity.tls(),
            routes,
            serve::Limits::default(),
            Arc::new(ListenerEvents),
            shutdown.clone(),
        ));
        let validity = tokio::spawn(Arc::clone(&identity).watch_validity(shutdown.clone()));
        let reloading = tokio::spawn(reloader.follow(watch, scheduler, identity, shutdown.clone()));
        tasks.extend([serving, validity, reloading]);
        tokio::spawn(metrics_server::upkeep(metrics.recorded.clone(), shutdown.clone()));
        if let Some(listener) = metrics_listener {
            tokio::spawn(metrics_server::serve(listener, metrics.clone(), shutdown.clone()));
        }
        events::started(&addresses);
        Ok(Running {
            addresses,
            shutdown: Shutdown { token: shutdown },
            metrics,
            spool,
            guests,
            tasks,
        })
    }
}

/// Ends an agent; clones end the same one.
#[derive(Clone, Debug)]
pub struct Shutdown {
    token: CancellationToken,
}

impl Shutdown {
    /// Begins the end. [`Running::ended`] returns when it is done.
    pub fn begin(&self) {
        self.token.cancel();
    }
}

/// An agent that runs.
#[derive(Debug)]
pub struct Running {
    addresses: Addresses,
    shutdown: Shutdown,
    metrics: Metrics,
    spool: Spool,
    guests: GuestRuntime,
    tasks: Vec<JoinHandle<()>>,
}

impl Running {
    /// Where it listens.
    #[must_use]
    pub fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// What ends it.
    #[must_use]
    pub fn shutdown(&self) -> Shutdown {
        self.shutdown.clone()
    }

    /// Its spool: for tests, and for who embeds an agent.
    #[must_use]
    pub fn spool(&self) -> &Spool {
        &self.spool
    }

    /// Its metrics; they can be read also when it has ended.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Waits until it was ended and everything is on disk.
    pub async fn ended(self) {
        self.shutdown.token.cancelled().await;
        events::stopping();
        for task in self.tasks {
            // A task that panicked has ended, too.
            let _ = task.await;
        }
        self.spool.close().await;
        self.guests.stop();
        events::stopped();
    }

    /// Ends it, and waits until everything is on disk.
    pub async fn stop(self) {
        self.shutdown.begin();
        self.ended().await;
    }
}

fn make_folders(config: &AgentConfig) -> Result<(), StartError> {
    let folders = [
        ("data_dir", &config.data_dir),
        ("checkers_dir", &config.checkers_dir),
        ("checks_dir", &config.checks_dir),
    ];
    for (setting, path) in folders {
        make_folder(path).map_err(|source| StartError::Folder {
            setting,
            path: path.clone(),
            source,
        })?;
    }
    check_writable(&config.data_dir)
}

fn make_folder(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
}

/// A folder that can't be written is found out now, in a sentence, not at the first result.
fn check_writable(folder: &Path) -> Result<(), StartError> {
    let probe = folder.join(".writable");
    std::fs::write(&probe, b"")
        .and_then(|()| std::fs::remove_file(&probe))
        .map_err(|source| StartError::Folder {
            setting: "data_dir",
            path: folder.to_path_buf(),
            source,
        })
}

/// The spool's folder.
#[must_use]
pub fn spool_dir(config: &AgentConfig) -> PathBuf {
    config.data_dir.join("spool")
}

fn open_spool(config: &AgentConfig) -> Result<Spool, StartError> {
    let listener = Box::new(|incident: &crate::spool::log::Incident| events::spool_incident(incident));
    Ok(Spool::open(&spool_dir(config), config.spool.quota, listener)?)
}

/// A loader with an engine and a compile cache as the configuration has them.
///
/// # Errors
/// The machine can't run checkers, or the cache can't be opened.
pub fn loader(config: &AgentConfig, compiler: Compiler) -> Result<Loader, StartError> {
    let engine = SandboxEngine::new(EngineConfig {
        concurrent_runs: u32::try_from(config.limits.concurrent_runs).unwrap_or(u32::MAX),
        memory: usize::try_from(config.limits.memory).unwrap_or(usize::MAX),
        execution: config.sandbox.engine,
        compiler,
        ..EngineConfig::default()
    })?;
    let cache = CompileCache::open(&config.data_dir.join("compiled"), COMPILE_CACHE)?;
    Ok(Loader::new(engine, Some(cache), config.signatures.clone()))
}

async fn listen(setting: &'static str, address: SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(address)
        .await
        .map_err(|source| StartError::Listen {
            setting,
            address,
            source,
        })
}
