//! One run of a checker that does nothing, in a fresh store, beside a fork and exec of a program that does nothing: what
//! each check costs before it has checked anything.

use std::process::Command;
use std::sync::Arc;

use picket_sandbox::component::Checker;
use picket_sandbox::engine::{EngineConfig, SandboxEngine};
use picket_sandbox::grant::GrantSet;
use picket_sandbox::host::secret::NoSecrets;
use picket_sandbox::host::state::NoState;
use picket_sandbox::run::{Limits, RunSpec, run};
use picket_tests::programs;

use crate::process::{children_cpu, own_cpu};
use crate::rows::{Row, median};

const WARM_UP: u32 = 2_000;
const RUNS: u32 = 20_000;
const FORKS: u32 = 1_000;
const ROUNDS: usize = 5;

pub(crate) async fn measure() -> anyhow::Result<Vec<Row>> {
    let engine = SandboxEngine::new(EngineConfig::default())?;
    let checker = Checker::load_file(&engine, &programs::guest("noop")?, None)?;
    let spec = RunSpec {
        check: "bench".to_owned(),
        config: "{}".to_owned(),
        grants: Arc::new(GrantSet::default()),
        limits: Limits::default(),
        state: Arc::new(NoState),
        secrets: Arc::new(NoSecrets),
        scheduled_at_unix_ms: 0,
    };
    runs(&checker, &spec, WARM_UP).await?;
    let (mut ours, mut forked) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let before = own_cpu();
        runs(&checker, &spec, RUNS).await?;
        ours.push((own_cpu() - before).as_secs_f64() * 1e6 / f64::from(RUNS));

        let before = (own_cpu().as_secs_f64(), children_cpu()?);
        for _ in 0..FORKS {
            anyhow::ensure!(Command::new("/bin/true").status()?.success(), "/bin/true failed");
        }
        let used = own_cpu().as_secs_f64() - before.0 + children_cpu()? - before.1;
        forked.push(used * 1e6 / f64::from(FORKS));
    }
    let (ours, forked) = (median(ours), median(forked));
    Ok(vec![
        Row {
            what: "no-op check in a fresh store, CPU per run",
            unit: "µs",
            ours,
            peer_name: "fork and exec of /bin/true",
            peer: forked,
        },
        Row {
            what: "no-op checks per second and core",
            unit: "1/s",
            ours: 1e6 / ours,
            peer_name: "fork and exec of /bin/true",
            peer: 1e6 / forked,
        },
    ])
}

async fn runs(checker: &Checker, spec: &RunSpec, count: u32) -> anyhow::Result<()> {
    for _ in 0..count {
        let outcome = run(checker, spec.clone()).await;
        anyhow::ensure!(
            outcome.result.is_ok(),
            "the no-op checker failed: {:?}",
            outcome.result
        );
    }
    Ok(())
}
