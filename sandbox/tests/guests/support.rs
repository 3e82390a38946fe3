//! Loading and running guests.

use std::path::PathBuf;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use picket_sandbox::component::Checker;
use picket_sandbox::engine::{EngineConfig, SandboxEngine};
use picket_sandbox::grant::GrantSet;
use picket_sandbox::host::secret::{Secret, SecretError, SecretSource};
use picket_sandbox::host::state::{StateError, StateStore, Values};
use picket_sandbox::net::resolve::Resolver;
use picket_sandbox::report::Report;
use picket_sandbox::run::{FailureClass, Limits, RunOutcome, RunSpec, run};

static ENGINE: LazyLock<SandboxEngine> = LazyLock::new(|| {
    let config = EngineConfig {
        concurrent_runs: 8,
        ..EngineConfig::default()
    };
    SandboxEngine::new(config).unwrap()
});

pub(crate) fn engine() -> &'static SandboxEngine {
    &ENGINE
}

pub(crate) fn guest_path(name: &str) -> PathBuf {
    let folder = std::env::var_os("PICKET_GUESTS_DIR").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../target/guests")),
        PathBuf::from,
    );
    let path = folder.join(name).with_extension("wasm");
    assert!(
        path.exists(),
        "{} is missing: build the guests with `cargo xtask checkers`",
        path.display()
    );
    path
}

pub(crate) fn guest(name: &str) -> Checker {
    Checker::load_file(engine(), &guest_path(name), None).unwrap()
}

/// A guest of the crate `picket-forged`.
pub(crate) fn forged(name: &str) -> Checker {
    let bytes = picket_forged::guest(name).expect("there is a guest of that name");
    Checker::load(engine(), &bytes, None).unwrap()
}

/// An engine of the test's own, whose look-ups are answered by this resolver.
pub(crate) fn engine_with(resolver: Arc<dyn Resolver>) -> SandboxEngine {
    let config = EngineConfig {
        concurrent_runs: 4,
        resolver,
        ..EngineConfig::default()
    };
    SandboxEngine::new(config).unwrap()
}

/// State in memory, with one value per check.
#[derive(Default)]
pub(crate) struct MemoryState(pub(crate) Mutex<Values>);

#[async_trait::async_trait]
impl StateStore for MemoryState {
    async fn load(&self, _check: &str) -> Result<Values, StateError> {
        Ok(self.0.lock().unwrap().clone())
    }

    async fn replace(&self, _check: &str, values: Values) -> Result<(), StateError> {
        *self.0.lock().unwrap() = values;
        Ok(())
    }
}

/// Has every secret; only grants decide.
pub(crate) struct EverySecret;

#[async_trait::async_trait]
impl SecretSource for EverySecret {
    async fn get(&self, _name: &str) -> Result<Option<Secret>, SecretError> {
        Ok(Some(Secret::new(b"canary-secret".to_vec())))
    }
}

pub(crate) fn spec(config: &str, grants: &[&str]) -> RunSpec {
    RunSpec {
        check: "guest".to_owned(),
        config: config.to_owned(),
        grants: Arc::new(GrantSet::parse(grants).unwrap()),
        limits: Limits {
            cpu: Duration::from_secs(5),
            wall: Duration::from_secs(20),
            memory: 64 << 20,
            bytes: 64 << 20,
        },
        state: Arc::new(MemoryState::default()),
        secrets: Arc::new(EverySecret),
        scheduled_at_unix_ms: 0,
    }
}

pub(crate) async fn run_guest(name: &str, spec: RunSpec) -> RunOutcome {
    run(&guest(name), spec).await
}

pub(crate) async fn run_forged(name: &str, spec: RunSpec) -> RunOutcome {
    run(&forged(name), spec).await
}

/// The run failed in this class; gives its sentence.
pub(crate) fn failed(outcome: &RunOutcome, class: FailureClass) -> String {
    let failure = outcome.result.as_ref().expect_err("the guest should have failed");
    assert_eq!(failure.class, class, "{failure}");
    failure.message.clone()
}

pub(crate) fn reported(outcome: &RunOutcome) -> &Report {
    outcome
        .result
        .as_ref()
        .unwrap_or_else(|failure| panic!("{:?}: {failure}", failure.class))
}

pub(crate) fn number(outcome: &RunOutcome, metric: &str) -> f64 {
    let report = reported(outcome);
    report
        .metrics
        .iter()
        .find(|found| found.name == metric)
        .expect("the metric is there")
        .value
}
