//! Our checkers, each with what it needs, run as the agent runs them: in a fresh store each time.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use picket_sandbox::component::Checker;
use picket_sandbox::engine::{Allocation, EngineConfig, SandboxEngine};
use picket_sandbox::grant::GrantSet;
use picket_sandbox::host::secret::NoSecrets;
use picket_sandbox::host::state::NoState;
use picket_sandbox::report::Status;
use picket_sandbox::run::{Limits, RunSpec, run};
use picket_tests::programs;
use serde_json::{Value, json};

/// A checker with a check's configuration and grants.
#[derive(Clone)]
pub(crate) struct Probe {
    checker: Checker,
    spec: RunSpec,
}

impl Probe {
    /// The guest that does nothing.
    pub(crate) fn no_op(engine: &SandboxEngine) -> anyhow::Result<Self> {
        Self::new(engine, &programs::guest("noop")?, &json!({}), &[])
    }

    /// The `tcp` checker: connects.
    pub(crate) fn tcp(engine: &SandboxEngine, peer: SocketAddr) -> anyhow::Result<Self> {
        let config = json!({"host": peer.ip().to_string(), "port": peer.port()});
        Self::new(
            engine,
            &programs::checker("tcp")?,
            &config,
            &[format!("tcp:{peer}")],
        )
    }

    /// The `http` checker: gets a page.
    pub(crate) fn http(engine: &SandboxEngine, peer: SocketAddr) -> anyhow::Result<Self> {
        let config = json!({"url": format!("http://{peer}/")});
        Self::new(
            engine,
            &programs::checker("http")?,
            &config,
            &[format!("http:{peer}")],
        )
    }

    fn new(engine: &SandboxEngine, file: &Path, config: &Value, allow: &[String]) -> anyhow::Result<Self> {
        let grants = GrantSet::parse(allow).map_err(|errors| anyhow::anyhow!("{errors:?}"))?;
        Ok(Self {
            checker: Checker::load_file(engine, file, None)?,
            spec: RunSpec {
                check: "bench".to_owned(),
                config: config.to_string(),
                grants: Arc::new(grants),
                limits: Limits::default(),
                state: Arc::new(NoState),
                secrets: Arc::new(NoSecrets),
                scheduled_at_unix_ms: 0,
            },
        })
    }

    /// One run, which must be well.
    pub(crate) async fn run(&self) -> anyhow::Result<()> {
        let outcome = run(&self.checker, self.spec.clone()).await;
        let report = outcome.result?;
        anyhow::ensure!(report.status == Status::Ok, "{}", report.summary);
        Ok(())
    }
}

/// An engine as the agent has it; where instances live is probed unless it is given.
pub(crate) fn engine(allocation: Option<Allocation>) -> anyhow::Result<SandboxEngine> {
    Ok(SandboxEngine::new(EngineConfig {
        allocation,
        ..EngineConfig::default()
    })?)
}
