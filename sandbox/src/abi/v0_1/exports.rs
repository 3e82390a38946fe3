//! What a checker of this line exports.

use wasmtime::Store;

use crate::bindings::Checker;
use crate::bindings::exports::picket::checker::check;
use crate::bindings::picket::checker::types as wit;
use crate::report::{Descriptor, Evidence, Metric, Report, Status};
use crate::run::{Failure, FailureClass, RunState};

pub(crate) async fn describe(
    bindings: &Checker,
    store: &mut Store<RunState>,
) -> wasmtime::Result<Descriptor> {
    let found = bindings.picket_checker_check().call_describe(store).await?;
    Ok(Descriptor {
        name: found.name,
        version: found.version,
        summary: found.summary,
        config_schema: found.config_schema,
        default_interval_ms: found.default_interval_ms,
        default_timeout_ms: found.default_timeout_ms,
        extra: found.extra,
    })
}

/// Grants as texts, with their reasons.
type Needs = Vec<(String, String)>;

pub(crate) async fn needs(
    bindings: &Checker,
    store: &mut Store<RunState>,
    config: &str,
) -> wasmtime::Result<Result<Needs, Failure>> {
    let found = bindings.picket_checker_check().call_needs(store, config).await?;
    let pair = |need: wit::Need| (need.grant, need.reason);
    Ok(found
        .map(|needs| needs.into_iter().map(pair).collect())
        .map_err(failure))
}

pub(crate) async fn run(
    bindings: &Checker,
    store: &mut Store<RunState>,
    request: &check::Request,
) -> wasmtime::Result<Result<Report, Failure>> {
    let found = bindings.picket_checker_check().call_run(store, request).await?;
    Ok(found.map(report).map_err(failure))
}

/// What a checker says of its failure is cut to what a line may have.
const MESSAGE: usize = 4096;

#[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
fn failure(error: wit::Error) -> Failure {
    let class = match error.kind {
        wit::ErrorKind::InvalidConfig => FailureClass::InvalidConfig,
        wit::ErrorKind::Denied => FailureClass::Denied,
        wit::ErrorKind::Unsupported => FailureClass::Unsupported,
        wit::ErrorKind::Failed => FailureClass::Failed,
    };
    let plain = |char: char| if char.is_control() { ' ' } else { char };
    Failure::new(
        class,
        error.message.chars().take(MESSAGE).map(plain).collect::<String>(),
    )
}

fn report(report: wit::Report) -> Report {
    Report {
        status: match report.status {
            wit::Status::Ok => Status::Ok,
            wit::Status::Warning => Status::Warning,
            wit::Status::Critical => Status::Critical,
            wit::Status::Unknown => Status::Unknown,
        },
        summary: report.summary,
        details: report.details,
        metrics: report.metrics.into_iter().map(metric).collect(),
        labels: report.labels,
        evidence: report
            .evidence
            .into_iter()
            .map(|found| Evidence {
                kind: found.kind,
                title: found.title,
                body: found.body,
            })
            .collect(),
        extra: report.extra,
    }
}

fn metric(metric: wit::Metric) -> Metric {
    Metric {
        name: metric.name,
        value: metric.value,
        unit: metric.unit,
        counter: metric.counter,
        warning: metric.warning,
        critical: metric.critical,
        min: metric.min,
        max: metric.max,
        labels: metric.labels,
    }
}
