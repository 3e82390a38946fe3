//! What a checker reports, and its way into a result.

use arbitrary::{Arbitrary, Result, Unstructured};
use picket_agent_host::runner::convert;
use picket_agent_host::spool::record::MAX_PAYLOAD;
use picket_proto::agent::v1::CheckResult;
use picket_sandbox::report::limits::check_report;
use picket_sandbox::report::{Evidence, Metric, Report, Status};
use picket_sandbox::run::{Limits, Logs, RunOutcome, Usage};
use prost::Message as _;

/// Any report that a component can hand over: what the limits let through keeps their promises, and comes out of a result's
/// bytes as it went in.
pub fn report(input: &[u8]) {
    let Ok(report) = any(&mut Unstructured::new(input)) else {
        return;
    };
    if let Err(reason) = check_report(&report) {
        assert!(!reason.is_empty() && reason.len() < 8 << 10, "{}", reason.len());
        return;
    }
    assert!(report.summary.len() <= 1024 && !report.summary.contains(char::is_control));
    for metric in &report.metrics {
        let numbers = [Some(metric.value), metric.min, metric.max];
        assert!(numbers.into_iter().flatten().all(f64::is_finite));
        assert!(!metric.name.is_empty());
    }
    let outcome = RunOutcome {
        result: Ok(report.clone()),
        usage: Usage::default(),
        logs: Logs::default(),
        denials: Vec::new(),
        learned: Vec::new(),
        started_at_unix_ms: 1,
    };
    let result = convert::outcome(outcome, &Limits::default());
    // No label is lost on the way from a list to a map.
    assert_eq!(result.labels.len(), report.labels.len());
    assert_eq!(result.metrics.len(), report.metrics.len());
    let bytes = result.encode_to_vec();
    assert_eq!(CheckResult::decode(bytes.as_slice()).expect("it decodes"), result);
    // What no longer fits the spool is replaced by a result that does.
    assert!(convert::too_large(&result, bytes.len()).encode_to_vec().len() <= MAX_PAYLOAD);
}

/// Every limit on a text is below this, and every limit on one of many is below the other.
const LONG: usize = 17 << 10;
const SHORT: usize = 1_100;

fn any(input: &mut Unstructured<'_>) -> Result<Report> {
    Ok(Report {
        status: *input.choose(&[Status::Ok, Status::Warning, Status::Critical, Status::Unknown])?,
        summary: text(input, LONG)?,
        details: option(input, |input| text(input, LONG))?,
        metrics: list(input, 600, metric)?,
        labels: list(input, 70, pair)?,
        evidence: list(input, 20, evidence)?,
        extra: list(input, 70, pair)?,
    })
}

fn metric(input: &mut Unstructured<'_>) -> Result<Metric> {
    Ok(Metric {
        name: text(input, SHORT)?,
        value: number(input)?,
        unit: text(input, SHORT)?,
        counter: bool::arbitrary(input)?,
        warning: option(input, |input| text(input, SHORT))?,
        critical: option(input, |input| text(input, SHORT))?,
        min: option(input, number)?,
        max: option(input, number)?,
        labels: list(input, 20, pair)?,
    })
}

fn number(input: &mut Unstructured<'_>) -> Result<f64> {
    f64::arbitrary(input)
}

fn evidence(input: &mut Unstructured<'_>) -> Result<Evidence> {
    Ok(Evidence {
        kind: text(input, SHORT)?,
        title: text(input, SHORT)?,
        body: text(input, LONG)?,
    })
}

fn pair(input: &mut Unstructured<'_>) -> Result<(String, String)> {
    Ok((text(input, SHORT)?, text(input, SHORT)?))
}

/// A text; now and then one that is repeated up to `most` bytes, which a short input couldn't spell out.
fn text(input: &mut Unstructured<'_>, most: usize) -> Result<String> {
    let text = <&str>::arbitrary(input)?;
    let times = match u8::arbitrary(input)? {
        255 => usize::from(u16::arbitrary(input)?),
        _ => 1,
    };
    Ok(text.repeat(times.min(most.div_ceil(text.len().max(1)))))
}

fn option<T>(
    input: &mut Unstructured<'_>,
    one: impl Fn(&mut Unstructured<'_>) -> Result<T>,
) -> Result<Option<T>> {
    bool::arbitrary(input)?.then(|| one(input)).transpose()
}

/// A short list, or one of up to `most` of the same.
fn list<T: Clone>(
    input: &mut Unstructured<'_>,
    most: usize,
    one: impl Fn(&mut Unstructured<'_>) -> Result<T>,
) -> Result<Vec<T>> {
    match u8::arbitrary(input)? {
        255 => {
            let count = usize::from(u16::arbitrary(input)?) % most;
            Ok(vec![one(input)?; count])
        }
        count => (0..count % 4).map(|_| one(input)).collect(),
    }
}
