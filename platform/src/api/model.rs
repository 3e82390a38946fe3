//! The JSON of the API. Fields are only ever added.

use std::collections::BTreeMap;

use picket_proto::agent::v1::{CheckResult, Evidence, Metric, Usage};
use serde::Serialize;
use serde_json::Value;

use crate::clock::UnixMs;
use crate::store::views::agent::Agent;
use crate::store::views::alerts::Alert;
use crate::store::views::check::{Check, StatusEvent};
use crate::store::views::chunk::{Stored, failure_word, status_word};
use crate::store::views::fleet::Counts;
use crate::store::views::freshness::is_stale;
use crate::store::views::operations::{GatewayLine, JobLine, TenantLine};

/// An agent.
#[derive(Debug, Serialize)]
pub struct AgentJson {
    tenant: String,
    name: String,
    endpoint: String,
    spiffe_id: String,
    enabled: bool,
    interval_ms: i64,
    unreachable_after_ms: i64,
    created_at_unix_ms: UnixMs,
    reachability: ReachabilityJson,
    clock_skew_ms: Option<i64>,
    version: Option<String>,
    spool: Option<SpoolJson>,
    cursor: Option<CursorJson>,
    certificate: Option<CertificateJson>,
    identity: IdentityJson,
    gateway: Option<String>,
    counts: Counts,
}

/// Where its certificates stand.
#[derive(Debug, Serialize)]
struct IdentityJson {
    state: &'static str,
    renewal: &'static str,
    /// The trust statement that it goes by.
    trust_sequence: Option<i64>,
    /// Why it doesn't get its certificate; `null` where nothing is wrong.
    problem: Option<ProblemJson>,
}

#[derive(Debug, Serialize)]
struct ProblemJson {
    cause: String,
    detail: String,
    correlation_id: String,
}

impl IdentityJson {
    fn of(agent: &Agent, now: UnixMs) -> Self {
        Self {
            state: agent.identity_state(now).as_str(),
            renewal: agent.renewal(now).as_str(),
            trust_sequence: agent.trust_sequence,
            problem: agent.identity_problem().map(|problem| ProblemJson {
                cause: problem.cause.to_owned(),
                detail: problem.detail.to_owned(),
                correlation_id: problem.correlation_id.to_owned(),
            }),
        }
    }
}

#[derive(Debug, Serialize)]
struct ReachabilityJson {
    state: String,
    cause: String,
    detail: String,
    since_unix_ms: Option<UnixMs>,
    reported_at_unix_ms: Option<UnixMs>,
}

#[derive(Debug, Serialize)]
struct SpoolJson {
    bytes: i64,
    quota_bytes: Option<i64>,
    dropped: Option<i64>,
}

#[derive(Debug, Serialize)]
struct CursorJson {
    stream: String,
    committed_seq: Option<i64>,
    lost_total: Option<i64>,
    updated_at_unix_ms: Option<UnixMs>,
}

#[derive(Debug, Serialize)]
struct CertificateJson {
    serial: String,
    not_after_unix_ms: Option<UnixMs>,
}

impl AgentJson {
    /// Out of what the store has, and the counts of its checks.
    #[must_use]
    pub fn new(agent: Agent, counts: Counts, now: UnixMs) -> Self {
        Self {
            identity: IdentityJson::of(&agent, now),
            reachability: ReachabilityJson {
                state: agent.reach_word().to_owned(),
                cause: agent.cause.unwrap_or_default(),
                detail: agent.detail.unwrap_or_default(),
                since_unix_ms: agent.since_at,
                reported_at_unix_ms: agent.reported_at,
            },
            spool: agent.spool_bytes.map(|bytes| SpoolJson {
                bytes,
                quota_bytes: agent.spool_quota,
                dropped: agent.spool_dropped,
            }),
            cursor: agent.stream.map(|stream| CursorJson {
                stream,
                committed_seq: agent.committed_seq,
                lost_total: agent.lost_total,
                updated_at_unix_ms: agent.cursor_at,
            }),
            certificate: agent.certificate_serial.map(|serial| CertificateJson {
                serial,
                not_after_unix_ms: agent.certificate_not_after_at,
            }),
            tenant: agent.tenant,
            name: agent.name,
            endpoint: agent.endpoint,
            spiffe_id: agent.spiffe_id,
            enabled: agent.enabled != 0,
            interval_ms: agent.interval_ms,
            unreachable_after_ms: agent.unreachable_after_ms,
            created_at_unix_ms: agent.created_at,
            clock_skew_ms: agent.clock_skew_ms,
            version: agent.agent_version,
            gateway: agent.gateway,
            counts,
        }
    }

    /// Where it is in a list.
    #[must_use]
    pub fn cursor(&self) -> String {
        format!("{}/{}", self.tenant, self.name)
    }
}

/// A check with its newest result.
#[derive(Debug, Serialize)]
pub struct CheckJson {
    tenant: String,
    agent: String,
    name: String,
    checker: String,
    checker_version: String,
    status: String,
    failure: String,
    summary: String,
    details: String,
    since_unix_ms: UnixMs,
    started_at_unix_ms: UnixMs,
    received_at_unix_ms: UnixMs,
    interval_ms: i64,
    stale: bool,
    skipped: u32,
    metrics: Vec<MetricJson>,
    usage: UsageJson,
    evidence: Vec<EvidenceJson>,
    labels: BTreeMap<String, String>,
}

impl CheckJson {
    /// Out of what the store has, at `now`.
    #[must_use]
    pub fn new(agent: &Agent, check: Check, now: UnixMs) -> Self {
        let Check { line, result } = check;
        let stale = is_stale(
            agent.is_unreachable(),
            line.received_at,
            line.interval_ms,
            agent.interval_ms,
            now,
        );
        Self {
            tenant: agent.tenant.clone(),
            agent: agent.name.clone(),
            name: line.name,
            checker: line.checker,
            checker_version: line.checker_version,
            status: line.status,
            failure: line.failure,
            summary: line.summary,
            details: result.details.clone(),
            since_unix_ms: line.since_at,
            started_at_unix_ms: line.started_at,
            received_at_unix_ms: line.received_at,
            interval_ms: line.interval_ms,
            stale,
            skipped: result.skipped,
            metrics: result.metrics.iter().map(MetricJson::from).collect(),
            usage: result.usage.unwrap_or_default().into(),
            evidence: result.evidence.iter().map(EvidenceJson::from).collect(),
            labels: result.labels.into_iter().collect(),
        }
    }

    /// Where it is in a list.
    #[must_use]
    pub fn cursor(&self) -> String {
        self.name.clone()
    }
}

/// A result of a check.
#[derive(Debug, Serialize)]
pub struct ResultJson {
    stream: String,
    seq: u64,
    checker: String,
    checker_version: String,
    status: &'static str,
    failure: &'static str,
    summary: String,
    details: String,
    scheduled_at_unix_ms: u64,
    started_at_unix_ms: u64,
    received_at_unix_ms: UnixMs,
    interval_ms: u64,
    skipped: u32,
    metrics: Vec<MetricJson>,
    usage: UsageJson,
    evidence: Vec<EvidenceJson>,
    labels: BTreeMap<String, String>,
}

impl From<Stored> for ResultJson {
    fn from(stored: Stored) -> Self {
        let result: CheckResult = stored.result;
        Self {
            stream: stored.stream,
            seq: stored.seq,
            received_at_unix_ms: stored.received_at,
            status: status_word(result.status),
            failure: failure_word(result.failure),
            scheduled_at_unix_ms: result.scheduled_at_unix_ms,
            started_at_unix_ms: result.started_at_unix_ms,
            interval_ms: result.interval_ms,
            skipped: result.skipped,
            metrics: result.metrics.iter().map(MetricJson::from).collect(),
            usage: result.usage.unwrap_or_default().into(),
            evidence: result.evidence.iter().map(EvidenceJson::from).collect(),
            labels: result.labels.into_iter().collect(),
            checker: result.checker,
            checker_version: result.checker_version,
            summary: result.summary,
            details: result.details,
        }
    }
}

impl ResultJson {
    /// Where it is in a list that goes back in time.
    #[must_use]
    pub fn cursor(&self) -> String {
        self.started_at_unix_ms.to_string()
    }
}

#[derive(Debug, Serialize)]
struct MetricJson {
    name: String,
    /// `null` where it isn't a finite number: JSON has no others.
    value: Option<f64>,
    unit: String,
    counter: bool,
    warning: Option<String>,
    critical: Option<String>,
    min: Option<f64>,
    max: Option<f64>,
    labels: BTreeMap<String, String>,
}

impl From<&Metric> for MetricJson {
    fn from(metric: &Metric) -> Self {
        let finite = |value: f64| value.is_finite().then_some(value);
        Self {
            name: metric.name.clone(),
            value: finite(metric.value),
            unit: metric.unit.clone(),
            counter: metric.counter,
            warning: metric.warning.clone(),
            critical: metric.critical.clone(),
            min: metric.min.and_then(finite),
            max: metric.max.and_then(finite),
            labels: metric.labels.clone().into_iter().collect(),
        }
    }
}

#[derive(Debug, Serialize)]
struct UsageJson {
    cpu_us: u64,
    wall_us: u64,
    peak_memory_bytes: u64,
    host_calls: u64,
    bytes_sent: u64,
    bytes_received: u64,
    cpu_limit_us: u64,
    wall_limit_us: u64,
    memory_limit_bytes: u64,
}

impl From<Usage> for UsageJson {
    fn from(usage: Usage) -> Self {
        Self {
            cpu_us: usage.cpu_us,
            wall_us: usage.wall_us,
            peak_memory_bytes: usage.peak_memory_bytes,
            host_calls: usage.host_calls,
            bytes_sent: usage.bytes_sent,
            bytes_received: usage.bytes_received,
            cpu_limit_us: usage.cpu_limit_us,
            wall_limit_us: usage.wall_limit_us,
            memory_limit_bytes: usage.memory_limit_bytes,
        }
    }
}

#[derive(Debug, Serialize)]
struct EvidenceJson {
    kind: String,
    title: String,
    body: Value,
}

impl From<&Evidence> for EvidenceJson {
    fn from(evidence: &Evidence) -> Self {
        Self {
            kind: evidence.kind.clone(),
            title: evidence.title.clone(),
            // A checker's mistake is shown as the text that it is.
            body: serde_json::from_str(&evidence.body)
                .unwrap_or_else(|_| Value::String(evidence.body.clone())),
        }
    }
}

/// A change of a check's status.
#[derive(Debug, Serialize)]
pub struct EventJson {
    id: i64,
    old_status: Option<String>,
    new_status: String,
    summary: String,
    at_unix_ms: UnixMs,
    received_at_unix_ms: UnixMs,
}

impl From<StatusEvent> for EventJson {
    fn from(event: StatusEvent) -> Self {
        Self {
            id: event.id,
            old_status: event.old_status,
            new_status: event.new_status,
            summary: event.summary,
            at_unix_ms: event.at,
            received_at_unix_ms: event.received_at,
        }
    }
}

impl EventJson {
    /// Where it is in a list that goes back in time.
    #[must_use]
    pub fn cursor(&self) -> String {
        self.at_unix_ms.to_string()
    }
}

/// An alert.
#[derive(Debug, Serialize)]
pub struct AlertJson {
    id: String,
    tenant: String,
    kind: String,
    agent: String,
    /// The check; `null` for an alert about the agent itself.
    check: Option<String>,
    severity: String,
    summary: String,
    cause: String,
    state: &'static str,
    raised_at_unix_ms: UnixMs,
    changed_at_unix_ms: UnixMs,
    resolved_at_unix_ms: Option<UnixMs>,
    acknowledged_at_unix_ms: Option<UnixMs>,
    acknowledged_by: Option<String>,
}

impl From<Alert> for AlertJson {
    fn from(alert: Alert) -> Self {
        Self {
            state: if alert.resolved_at.is_some() {
                "resolved"
            } else {
                "open"
            },
            check: (!alert.name.is_empty()).then_some(alert.name),
            id: alert.id,
            tenant: alert.tenant,
            kind: alert.kind,
            agent: alert.agent,
            severity: alert.severity,
            summary: alert.summary,
            cause: alert.cause,
            raised_at_unix_ms: alert.raised_at,
            changed_at_unix_ms: alert.changed_at,
            resolved_at_unix_ms: alert.resolved_at,
            acknowledged_at_unix_ms: alert.acknowledged_at,
            acknowledged_by: alert.acknowledged_by,
        }
    }
}

/// A tenant.
#[derive(Debug, Serialize)]
pub struct TenantJson {
    /// Its key.
    pub slug: String,
    /// What people call it.
    pub name: String,
    /// `active` or `suspended`.
    pub state: String,
    /// When it was made.
    pub created_at_unix_ms: UnixMs,
    /// Its agents.
    pub agents: i64,
    /// Those that can't be reached.
    pub unreachable: i64,
    /// Its open alerts.
    pub open_alerts: i64,
}

impl From<TenantLine> for TenantJson {
    fn from(line: TenantLine) -> Self {
        Self {
            slug: line.slug,
            name: line.name,
            state: line.state,
            created_at_unix_ms: line.created_at,
            agents: line.agents,
            unreachable: line.unreachable,
            open_alerts: line.open_alerts,
        }
    }
}

/// A gateway.
#[derive(Debug, Serialize)]
pub struct GatewayJson {
    name: String,
    pool: String,
    tenant: Option<String>,
    spiffe_id: String,
    state: String,
    zone: String,
    version: String,
    agents: i64,
    shards: i64,
    lease_expires_at_unix_ms: UnixMs,
    created_at_unix_ms: UnixMs,
}

impl From<GatewayLine> for GatewayJson {
    fn from(line: GatewayLine) -> Self {
        Self {
            name: line.name,
            pool: line.pool,
            tenant: line.tenant,
            spiffe_id: line.spiffe_id,
            state: line.state,
            zone: line.zone,
            version: line.version,
            agents: line.agents,
            shards: line.shards,
            lease_expires_at_unix_ms: line.expires_at,
            created_at_unix_ms: line.created_at,
        }
    }
}

/// A job.
#[derive(Debug, Serialize)]
pub struct JobJson {
    id: String,
    queue: String,
    kind: String,
    state: String,
    attempt: i64,
    max_attempts: i64,
    run_at_unix_ms: UnixMs,
    node: Option<String>,
    last_error: Option<String>,
    created_at_unix_ms: UnixMs,
    finished_at_unix_ms: Option<UnixMs>,
}

impl From<JobLine> for JobJson {
    fn from(line: JobLine) -> Self {
        Self {
            id: line.id,
            queue: line.queue,
            kind: line.kind,
            state: line.state,
            attempt: line.attempt,
            max_attempts: line.max_attempts,
            run_at_unix_ms: line.run_at,
            node: line.node,
            last_error: line.last_error,
            created_at_unix_ms: line.created_at,
            finished_at_unix_ms: line.finished_at,
        }
    }
}
