//! One agent, or a page of them, with all that is known about each.

use super::MAX_PAGE;
use super::freshness::{State, is_stale};
use crate::clock::UnixMs;
use crate::store::row::row;
use crate::store::{Result, Store};

row! {
    /// An agent as registered, and what gateways last said of it.
    Agent {
        /// Its tenant.
        tenant: String,
        /// Its name.
        name: String,
        /// Where gateways dial it.
        endpoint: String,
        /// What its certificate has to say.
        spiffe_id: String,
        /// How often it is polled.
        interval_ms: i64,
        /// After how long without an answer it is unreachable.
        unreachable_after_ms: i64,
        /// 0 where gateways leave it alone.
        enabled: i64,
        /// When it was added.
        created_at: UnixMs,
        /// `pending`, `reachable`, `suspect` or `unreachable`; `None` before any gateway spoke of it.
        reach: Option<String>,
        /// A short word for why not.
        cause: Option<String>,
        /// The sentence.
        detail: Option<String>,
        /// Since when.
        since_at: Option<UnixMs>,
        /// When a gateway last said so.
        reported_at: Option<UnixMs>,
        /// Which gateway.
        gateway: Option<String>,
        /// The agent's clock minus ours.
        clock_skew_ms: Option<i64>,
        /// Its program's version.
        agent_version: Option<String>,
        /// Bytes in its spool when it last answered.
        spool_bytes: Option<i64>,
        /// Bytes that its spool may have.
        spool_quota: Option<i64>,
        /// Results that its spool dropped, ever.
        spool_dropped: Option<i64>,
        /// The life of its spool.
        stream: Option<String>,
        /// The last result that is stored here.
        committed_seq: Option<i64>,
        /// Results that were lost, ever.
        lost_total: Option<i64>,
        /// When the cursor last moved.
        cursor_at: Option<UnixMs>,
        /// The current certificate.
        certificate_serial: Option<String>,
        /// Until when it is valid.
        certificate_not_after_at: Option<UnixMs>,
        /// From when.
        certificate_not_before_at: Option<UnixMs>,
        /// 1 where one was issued that hasn't been seen in use, else 0.
        has_pending: i64,
        /// 1 where its certificate's authority issues no more, else 0.
        is_outdated: i64,
        /// `waiting` or `used`, where it awaits enrolment.
        activation: Option<String>,
        /// Until when that enrolment file is good.
        activation_expires_at: Option<UnixMs>,
        /// When its recovery was approved.
        recovery_approved_at: Option<UnixMs>,
        /// Why a certificate was refused to it last; empty where none was.
        refused_cause: String,
        /// The sentence.
        refused_detail: String,
        /// Under which it was logged.
        refused_correlation_id: String,
        /// The sequence of the trust statement that it goes by.
        trust_sequence: Option<i64>,
    }
}

impl Agent {
    /// The word for its reachability.
    #[must_use]
    pub fn reach_word(&self) -> &str {
        self.reach.as_deref().unwrap_or("pending")
    }

    /// Whether all of its checks are stale.
    #[must_use]
    pub fn is_unreachable(&self) -> bool {
        self.reach_word() == "unreachable"
    }
}

macro_rules! select_agents {
    ($condition:literal) => {
        concat!(
            "SELECT a.tenant, a.name, a.endpoint, a.spiffe_id, a.interval_ms, a.unreachable_after_ms, a.enabled, a.created_at, \
             r.state AS reach, r.cause, r.detail, r.since_at, r.reported_at, r.gateway, r.clock_skew_ms, r.agent_version, \
             r.spool_bytes, r.spool_quota, r.spool_dropped, u.stream, u.committed_seq, u.lost_total, u.updated_at AS cursor_at, \
             t.serial AS certificate_serial, t.not_after_at AS certificate_not_after_at, \
             t.not_before_at AS certificate_not_before_at, \
             EXISTS (SELECT 1 FROM certificate p WHERE p.subject_kind = 'agent' AND p.tenant = a.tenant \
             AND p.subject = a.name AND p.state = 'pending') AS has_pending, \
             CASE WHEN i.state IS NULL OR i.state = 'active' THEN 0 ELSE 1 END AS is_outdated, \
             v.state AS activation, v.expires_at AS activation_expires_at, a.recovery_approved_at, a.refused_cause, \
             a.refused_detail, a.refused_correlation_id, r.trust_sequence \
             FROM agent a \
             LEFT JOIN activation v ON v.tenant = a.tenant AND v.agent = a.name AND v.state IN ('waiting', 'used') \
             LEFT JOIN agent_reach r ON r.tenant = a.tenant AND r.agent = a.name \
             LEFT JOIN agent_cursor u ON u.tenant = a.tenant AND u.agent = a.name \
             LEFT JOIN certificate t ON t.subject_kind = 'agent' AND t.tenant = a.tenant AND t.subject = a.name \
             AND t.state = 'current' AND NOT EXISTS (SELECT 1 FROM certificate n WHERE n.subject_kind = 'agent' \
             AND n.tenant = t.tenant AND n.subject = t.subject AND n.state = 'current' \
             AND (n.issued_at > t.issued_at OR (n.issued_at = t.issued_at AND n.serial > t.serial))) \
             LEFT JOIN ca i ON i.id = t.issuer_ca ",
            $condition
        )
    };
}

/// One agent.
///
/// # Errors
/// [`crate::store::StoreError::Sql`].
pub async fn agent(store: &Store, tenant: &str, name: &str) -> Result<Option<Agent>> {
    let mut read = store.read().await?;
    Ok(
        sqlx::query_as(select_agents!("WHERE a.tenant = $1 AND a.name = $2"))
            .bind(tenant)
            .bind(name)
            .fetch_optional(&mut *read)
            .await?,
    )
}

/// The agents after `(tenant, name)` in the order of these, at most `limit`; of one tenant or of all.
///
/// # Errors
/// [`crate::store::StoreError::Sql`].
pub async fn agents(
    store: &Store,
    tenant: Option<&str>,
    after: (&str, &str),
    limit: u32,
) -> Result<Vec<Agent>> {
    let mut read = store.read().await?;
    Ok(sqlx::query_as(select_agents!(
        "WHERE ($1 = '' OR a.tenant = $1) AND (a.tenant, a.name) > ($2, $3) ORDER BY a.tenant, a.name LIMIT $4"
    ))
    .bind(tenant.unwrap_or_default())
    .bind(after.0)
    .bind(after.1)
    .bind(i64::from(limit.min(MAX_PAGE)))
    .fetch_all(&mut *read)
    .await?)
}

row! {
    /// The newest result of a check, without its body.
    CheckLine {
        /// Its name.
        name: String,
        /// What ran.
        checker: String,
        /// Which version of it.
        checker_version: String,
        /// `ok`, `warning`, `critical` or `unknown`.
        status: String,
        /// Since when, by the agent's clock.
        since_at: UnixMs,
        /// What it said.
        summary: String,
        /// Why it gave no report.
        failure: String,
        /// How often it runs.
        interval_ms: i64,
        /// When it ran, by the agent's clock.
        started_at: UnixMs,
        /// When the result came here.
        received_at: UnixMs,
    }
}

impl CheckLine {
    /// Its state now.
    #[must_use]
    pub fn state(&self, agent: &Agent, now: UnixMs) -> State {
        let stale = is_stale(
            agent.is_unreachable(),
            self.received_at,
            self.interval_ms,
            agent.interval_ms,
            now,
        );
        State::of_status(&self.status, stale)
    }
}

/// The checks of an agent, by name.
///
/// # Errors
/// [`crate::store::StoreError::Sql`].
pub async fn checks(store: &Store, tenant: &str, agent: &str) -> Result<Vec<CheckLine>> {
    let mut read = store.read().await?;
    Ok(sqlx::query_as(
        "SELECT name, checker, checker_version, status, since_at, summary, failure, interval_ms, started_at, received_at \
         FROM check_state WHERE tenant = $1 AND agent = $2 ORDER BY name LIMIT $3",
    )
    .bind(tenant)
    .bind(agent)
    .bind(i64::from(MAX_PAGE))
    .fetch_all(&mut *read)
    .await?)
}

row! {
    /// Results that will never come.
    Loss {
        /// First sequence number.
        first_seq: i64,
        /// Last one.
        last_seq: i64,
        /// Why.
        cause: String,
        /// When the platform heard of it.
        noticed_at: UnixMs,
        /// The last run that is stored before it, by the agent's clock.
        before_at: Option<UnixMs>,
        /// The first run that is stored after it.
        after_at: Option<UnixMs>,
    }
}

impl Loss {
    /// How many results.
    #[must_use]
    pub const fn count(&self) -> i64 {
        self.last_seq.saturating_sub(self.first_seq).saturating_add(1)
    }
}

/// Losses that are shown at most.
const MAX_LOSSES: i64 = 20;

/// What was lost of an agent's results, the newest first.
///
/// # Errors
/// [`crate::store::StoreError::Sql`].
pub async fn losses(store: &Store, tenant: &str, agent: &str) -> Result<Vec<Loss>> {
    let mut read = store.read().await?;
    Ok(sqlx::query_as(
        "SELECT g.first_seq, g.last_seq, g.cause, g.noticed_at, \
         (SELECT c.t_max FROM sample_chunk c WHERE c.tenant = g.tenant AND c.agent = g.agent AND c.stream = g.stream \
          AND c.first_seq < g.first_seq ORDER BY c.first_seq DESC LIMIT 1) AS before_at, \
         (SELECT c.t_min FROM sample_chunk c WHERE c.tenant = g.tenant AND c.agent = g.agent AND c.stream = g.stream \
          AND c.first_seq > g.last_seq ORDER BY c.first_seq LIMIT 1) AS after_at \
         FROM result_gap g WHERE g.tenant = $1 AND g.agent = $2 ORDER BY g.noticed_at DESC, g.first_seq DESC LIMIT $3",
    )
    .bind(tenant)
    .bind(agent)
    .bind(MAX_LOSSES)
    .fetch_all(&mut *read)
    .await?)
}

/// Chunks from which the size of a result is estimated: enough to even out single large ones.
const SAMPLED_CHUNKS: i64 = 20;

/// How many bytes a second the agent puts into its spool, estimated: how often its checks run, times the size of a
/// result in its newest chunks. `None` where there is nothing to estimate from.
///
/// # Errors
/// [`crate::store::StoreError::Sql`].
pub async fn spool_bytes_per_second(
    store: &Store,
    tenant: &str,
    agent: &str,
    checks: &[CheckLine],
) -> Result<Option<f64>> {
    use picket_proto::agent::v1::BatchHeader;
    use prost::Message as _;
    use sqlx::Row as _;

    let mut read = store.read().await?;
    let rows = sqlx::query(
        "SELECT header FROM sample_chunk WHERE tenant = $1 AND agent = $2 ORDER BY t_max DESC LIMIT $3",
    )
    .bind(tenant)
    .bind(agent)
    .bind(SAMPLED_CHUNKS)
    .fetch_all(&mut *read)
    .await?;
    drop(read);
    let (mut bytes, mut results) = (0.0, 0.0);
    for row in rows {
        let Ok(header) = BatchHeader::decode(row.try_get::<&[u8], _>(0)?) else {
            continue;
        };
        bytes += header.opened_size as f64;
        results += header.last_seq.saturating_sub(header.first_seq).saturating_add(1) as f64;
    }
    let runs_per_second: f64 = checks
        .iter()
        .filter(|check| check.interval_ms > 0)
        .map(|check| 1000.0 / check.interval_ms as f64)
        .sum();
    let rate = if results > 0.0 {
        bytes / results * runs_per_second
    } else {
        0.0
    };
    Ok((rate > 0.0).then_some(rate))
}
