//! Every metric of the platform, and the log lines that go with them: one place for each part, so that a name, a unit
//! and a level are decided once. Names are `picket_platform_<noun>_<unit>[_total]`.

pub mod alerts;
pub mod authority;
pub mod coordination;
pub mod ingest;
pub mod jobs;
pub mod serving;

use std::time::Duration;

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use tokio_util::sync::CancellationToken;

/// How often samples are sorted into their buckets.
const UPKEEP: Duration = Duration::from_secs(10);

/// Bounds of the histograms of durations, in seconds: from a commit on a fast disk to one that hangs.
const SECONDS: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// The recorder of this process. Cheap to clone.
#[derive(Clone)]
pub struct Metrics(PrometheusHandle);

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Metrics")
    }
}

impl Metrics {
    /// Installs the process's recorder; where this process has one already (tests start several platforms), that one
    /// is used.
    ///
    /// # Errors
    /// [`BuildError`] where another library's recorder is installed.
    pub fn install() -> Result<Self, BuildError> {
        static INSTALLED: std::sync::Mutex<Option<PrometheusHandle>> = std::sync::Mutex::new(None);
        let mut installed = INSTALLED
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(handle) = installed.as_ref() {
            return Ok(Self(handle.clone()));
        }
        let handle = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), SECONDS)?
            .install_recorder()?;
        describe();
        *installed = Some(handle.clone());
        Ok(Self(handle))
    }

    /// Sorts samples of histograms into their buckets now and again, until `stop`: each takes memory until then, whether or
    /// not anybody ever scrapes.
    pub async fn upkeep(self, stop: CancellationToken) {
        while tokio::time::timeout(UPKEEP, stop.cancelled()).await.is_err() {
            self.0.run_upkeep();
        }
    }

    /// All of them in the Prometheus text format.
    #[must_use]
    pub fn render(&self) -> String {
        self.0.run_upkeep();
        self.0.render()
    }
}

fn describe() {
    alerts::describe();
    authority::describe();
    coordination::describe();
    ingest::describe();
    jobs::describe();
    serving::describe();
}
