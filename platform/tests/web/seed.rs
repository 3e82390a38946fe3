//! A store with two tenants, for looking at the pages and for testing them.

use picket_platform::store::{Store, Write};
use picket_proto::agent::v1::{BatchHeader, BatchPayload, CheckResult, Evidence, Metric, Usage};
use prost::Message as _;

pub(crate) const MINUTE: i64 = 60_000;

/// An agent's place and how it is.
pub(crate) struct Agent<'a> {
    pub(crate) tenant: &'a str,
    pub(crate) name: &'a str,
    pub(crate) reach: &'a str,
    pub(crate) cause: &'a str,
    pub(crate) detail: &'a str,
}

pub(crate) async fn tenant(write: &mut Write, slug: &str, name: &str) {
    let now = write.now();
    sqlx::query("INSERT INTO tenant (slug, name, state, created_at) VALUES ($1, $2, 'active', $3)")
        .bind(slug)
        .bind(name)
        .bind(now - 3 * 86_400_000)
        .execute(&mut **write)
        .await
        .unwrap();
    sqlx::query("INSERT INTO pool (name, tenant, shard_count, revision) VALUES ($1, $1, 4, 1)")
        .bind(slug)
        .execute(&mut **write)
        .await
        .unwrap();
}

pub(crate) async fn agent(write: &mut Write, agent: &Agent<'_>) {
    let now = write.now();
    sqlx::query(
        "INSERT INTO agent (tenant, name, pool, shard, endpoint, spiffe_id, common_name, interval_ms, \
         unreachable_after_ms, enabled, created_at) VALUES ($1, $2, $1, 0, $3, $4, $5, 10000, 60000, 1, $6)",
    )
    .bind(agent.tenant)
    .bind(agent.name)
    .bind(format!("{}.{}.example:7443", agent.name, agent.tenant))
    .bind(format!(
        "spiffe://picket.example/tenant/{}/agent/{}",
        agent.tenant, agent.name
    ))
    .bind(format!("{}.{}", agent.name, agent.tenant))
    .bind(now - 86_400_000)
    .execute(&mut **write)
    .await
    .unwrap();
    if agent.reach == "pending" {
        return;
    }
    sqlx::query(
        "INSERT INTO agent_reach (tenant, agent, state, cause, detail, since_at, reported_at, gateway, epoch, \
         clock_skew_ms, agent_version, spool_bytes, spool_quota, spool_dropped) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, 'gw-1', 1, 140, '0.1.0', 41943040, 268435456, 0)",
    )
    .bind(agent.tenant)
    .bind(agent.name)
    .bind(agent.reach)
    .bind(agent.cause)
    .bind(agent.detail)
    .bind(now - 4 * MINUTE)
    .bind(now - 3_000)
    .execute(&mut **write)
    .await
    .unwrap();
    sqlx::query(
        "INSERT INTO agent_cursor (tenant, agent, stream, committed_seq, lost_total, updated_at) \
         VALUES ($1, $2, 'a41f09', 4711, 12, $3)",
    )
    .bind(agent.tenant)
    .bind(agent.name)
    .bind(now - 4_000)
    .execute(&mut **write)
    .await
    .unwrap();
}

/// A certificate of an agent, signed by the first authority that there is.
pub(crate) async fn certificate(
    write: &mut Write,
    tenant: &str,
    agent: &str,
    serial: &str,
    state: &str,
    days: i64,
) {
    let now = write.now();
    sqlx::query(
        "INSERT INTO certificate (issuer_ca, serial, subject_kind, tenant, subject, spiffe_id, certificate, state, \
         not_before_at, not_after_at, issued_at) \
         VALUES ((SELECT MIN(id) FROM ca), $1, 'agent', $2, $3, '', x'', $4, $5, $6, $7)",
    )
    .bind(serial)
    .bind(tenant)
    .bind(agent)
    .bind(state)
    .bind(now - 86_400_000)
    .bind(now + days * 86_400_000 + MINUTE)
    .bind(now - 90 * 86_400_000 + days * 86_400_000)
    .execute(&mut **write)
    .await
    .unwrap();
}

/// An enrolment file of an agent that nobody has used yet.
pub(crate) async fn activation(write: &mut Write, tenant: &str, agent: &str) {
    let now = write.now();
    sqlx::query(
        "INSERT INTO activation (id, tenant, agent, public_key, state, created_at, expires_at) \
         VALUES ($1 || $2, $1, $2, x'', 'waiting', $3, $4)",
    )
    .bind(tenant)
    .bind(agent)
    .bind(now)
    .bind(now + 86_400_000)
    .execute(&mut **write)
    .await
    .unwrap();
}

/// A result of an HTTP check.
pub(crate) fn result(check: &str, status: i32, summary: &str, started_at: i64, seconds: f64) -> CheckResult {
    let metric = |name: &str, value: f64, unit: &str, warning: Option<&str>, critical: Option<&str>| Metric {
        name: name.into(),
        value,
        unit: unit.into(),
        warning: warning.map(Into::into),
        critical: critical.map(Into::into),
        ..Metric::default()
    };
    CheckResult {
        check: check.into(),
        checker: "http".into(),
        checker_version: "0.1.0".into(),
        status,
        summary: summary.into(),
        details: "GET https://shop.acme.example/health\nanswered in time".into(),
        metrics: vec![
            metric("time", seconds, "s", Some("0.25"), Some("0.5")),
            metric("size", 18_432.0 + seconds * 4_000.0, "By", None, None),
            metric("certificate_days", 41.0, "d", Some("14:"), Some("3:")),
        ],
        labels: [("site".to_owned(), "shop".to_owned())].into(),
        evidence: vec![Evidence {
            kind: "http.phases".into(),
            title: "Where the time went".into(),
            body: r#"{"dns_ms":2.1,"connect_ms":11.4,"tls_ms":18.9,"first_byte_ms":43.0}"#.into(),
        }],
        scheduled_at_unix_ms: started_at.unsigned_abs(),
        started_at_unix_ms: started_at.unsigned_abs(),
        usage: Some(Usage {
            cpu_us: 3_140,
            wall_us: 84_000,
            peak_memory_bytes: 2_621_440,
            host_calls: 3,
            bytes_sent: 212,
            bytes_received: 18_900,
            cpu_limit_us: 1_000_000,
            wall_limit_us: 10_000_000,
            memory_limit_bytes: 67_108_864,
        }),
        interval_ms: 30_000,
        ..CheckResult::default()
    }
}

pub(crate) async fn check(
    write: &mut Write,
    tenant: &str,
    agent: &str,
    result: &CheckResult,
    received_at: i64,
) {
    let status = ["unknown", "ok", "warning", "critical", "unknown"][usize::try_from(result.status).unwrap()];
    let started_at = i64::try_from(result.started_at_unix_ms).unwrap();
    sqlx::query(
        "INSERT INTO check_state (tenant, agent, name, checker, checker_version, status, since_at, summary, failure, \
         interval_ms, stream, seq, started_at, received_at, result) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, '', $9, 'a41f09', 4711, $10, $11, $12)",
    )
    .bind(tenant)
    .bind(agent)
    .bind(&result.check)
    .bind(&result.checker)
    .bind(&result.checker_version)
    .bind(status)
    .bind(started_at - 47 * MINUTE)
    .bind(&result.summary)
    .bind(i64::try_from(result.interval_ms).unwrap())
    .bind(started_at)
    .bind(received_at)
    .bind(result.encode_to_vec())
    .execute(&mut **write)
    .await
    .unwrap();
    sqlx::query(
        "INSERT INTO state_event (tenant, agent, name, stream, seq, old_status, new_status, summary, at, received_at) \
         VALUES ($1, $2, $3, 'a41f09', 1, 'ok', $4, $5, $6, $6)",
    )
    .bind(tenant)
    .bind(agent)
    .bind(&result.check)
    .bind(status)
    .bind(&result.summary)
    .bind(started_at - 47 * MINUTE)
    .execute(&mut **write)
    .await
    .unwrap();
}

pub(crate) async fn chunk(
    write: &mut Write,
    tenant: &str,
    agent: &str,
    first_seq: i64,
    results: &[CheckResult],
) {
    let payload = BatchPayload {
        results: results.to_vec(),
    }
    .encode_to_vec();
    let last_seq = first_seq + i64::try_from(results.len()).unwrap() - 1;
    let header = BatchHeader {
        first_seq: first_seq.unsigned_abs(),
        last_seq: last_seq.unsigned_abs(),
        opened_size: payload.len() as u64,
        ..BatchHeader::default()
    };
    let times = || {
        results
            .iter()
            .map(|result| i64::try_from(result.started_at_unix_ms).unwrap())
    };
    sqlx::query(
        "INSERT INTO sample_chunk (tenant, agent, stream, first_seq, last_seq, t_min, t_max, header, payload, signature, \
         received_at) VALUES ($1, $2, 'a41f09', $3, $4, $5, $6, $7, $8, x'', $9)",
    )
    .bind(tenant)
    .bind(agent)
    .bind(first_seq)
    .bind(last_seq)
    .bind(times().min().unwrap())
    .bind(times().max().unwrap())
    .bind(header.encode_to_vec())
    .bind(zstd::bulk::compress(&payload, 3).unwrap())
    .bind(times().max().unwrap() + 4_000)
    .execute(&mut **write)
    .await
    .unwrap();
}

pub(crate) async fn alert(write: &mut Write, id: &str, tenant: &str, agent: &str, name: &str, summary: &str) {
    let now = write.now();
    let (kind, severity, cause) = match name {
        "" => ("agent_unreachable", "critical", "wrong_tenant"),
        _ => ("check_failing", "warning", ""),
    };
    sqlx::query(
        "INSERT INTO alert (id, tenant, kind, agent, name, severity, summary, cause, raised_at, changed_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9)",
    )
    .bind(id)
    .bind(tenant)
    .bind(kind)
    .bind(agent)
    .bind(name)
    .bind(severity)
    .bind(summary)
    .bind(cause)
    .bind(now - 4 * MINUTE)
    .execute(&mut **write)
    .await
    .unwrap();
}

pub(crate) async fn gateway(write: &mut Write, name: &str, tenant: &str, state: &str) {
    let now = write.now();
    sqlx::query(
        "INSERT INTO gateway (name, pool, spiffe_id, instance, state, weight, zone, version, agents, expires_at, \
         created_at, changed_at) VALUES ($1, $2, $3, 'i1', $4, 100, 'eu-1', '0.1.0', 2, $5, $6, $6)",
    )
    .bind(name)
    .bind(tenant)
    .bind(format!("spiffe://picket.example/gateway/{name}"))
    .bind(state)
    .bind(now + 7_000)
    .bind(now - 86_400_000)
    .execute(&mut **write)
    .await
    .unwrap();
}

pub(crate) async fn job(
    write: &mut Write,
    id: &str,
    kind: &str,
    state: &str,
    attempt: i64,
    last_error: Option<&str>,
) {
    let now = write.now();
    let finished = (state != "running" && state != "available").then_some(now - 5 * MINUTE);
    sqlx::query(
        "INSERT INTO job (id, queue, kind, arguments, state, priority, attempt, max_attempts, run_at, node, last_error, \
         created_at, finished_at) VALUES ($1, 'default', $2, '{}', $3, 0, $4, 5, $5, 'node-1', $6, $5, $7)",
    )
    .bind(id)
    .bind(kind)
    .bind(state)
    .bind(attempt)
    .bind(now - 6 * MINUTE)
    .bind(last_error)
    .bind(finished)
    .execute(&mut **write)
    .await
    .unwrap();
}

/// Two tenants: acme with a troubled and an unreachable agent, globex with a healthy and a new one.
pub(crate) async fn two_tenants(store: &Store) {
    let mut write = store.write().await.unwrap();
    let now = write.now();
    tenant(&mut write, "acme", "Acme GmbH").await;
    tenant(&mut write, "globex", "Globex Corporation").await;
    let berlin = Agent {
        tenant: "acme",
        name: "berlin-1",
        reach: "reachable",
        cause: "",
        detail: "",
    };
    agent(&mut write, &berlin).await;
    let paris = Agent {
        tenant: "acme",
        name: "paris-1",
        reach: "unreachable",
        cause: "wrong_tenant",
        detail: "expected tenant acme, the certificate says globex",
    };
    agent(&mut write, &paris).await;
    agent(
        &mut write,
        &Agent {
            tenant: "globex",
            name: "oslo-1",
            ..berlin
        },
    )
    .await;
    agent(
        &mut write,
        &Agent {
            tenant: "globex",
            name: "lima-1",
            reach: "pending",
            ..berlin
        },
    )
    .await;

    activation(&mut write, "globex", "lima-1").await;
    certificate(&mut write, "acme", "berlin-1", "0a", "superseded", 2).await;
    certificate(&mut write, "acme", "berlin-1", "0b", "current", 10).await;
    certificate(&mut write, "acme", "berlin-1", "0c", "current", 41).await;
    certificate(&mut write, "acme", "paris-1", "0d", "current", -3).await;

    let fresh = now - 8_000;
    let web = result(
        "web",
        2,
        "answered 200 in 312 ms, slower than 250 ms",
        fresh,
        0.312,
    );
    check(&mut write, "acme", "berlin-1", &web, fresh + 4_000).await;
    let disk = result("disk", 3, "/var is 97 % full", fresh, 0.01);
    check(&mut write, "acme", "berlin-1", &disk, fresh + 4_000).await;
    let dns = result("dns", 1, "shop.acme.example has 2 addresses", fresh, 0.004);
    check(&mut write, "acme", "berlin-1", &dns, fresh + 4_000).await;
    let tcp = result("smtp", 1, "mail.acme.example:25 greets", now - 20 * MINUTE, 0.02);
    check(&mut write, "acme", "berlin-1", &tcp, now - 20 * MINUTE).await;
    let far = result("web", 1, "answered 200 in 41 ms", now - 5 * MINUTE, 0.041);
    check(&mut write, "acme", "paris-1", &far, now - 5 * MINUTE).await;
    let healthy = result("web", 1, "answered 200 in 22 ms", fresh, 0.022);
    check(&mut write, "globex", "oslo-1", &healthy, fresh + 4_000).await;

    alert(
        &mut write,
        "al-paris",
        "acme",
        "paris-1",
        "",
        "agent acme/paris-1 can't be reached",
    )
    .await;
    alert(
        &mut write,
        "al-web",
        "acme",
        "berlin-1",
        "web",
        "web on acme/berlin-1 is slow",
    )
    .await;
    alert(
        &mut write,
        "al-globex",
        "globex",
        "oslo-1",
        "web",
        "web on globex/oslo-1 was slow",
    )
    .await;
    gateway(&mut write, "gw-1", "acme", "live").await;
    gateway(&mut write, "gw-2", "globex", "dead").await;
    job(&mut write, "j1", "retention", "completed", 1, None).await;
    job(
        &mut write,
        "j2",
        "certificate_expiry",
        "discarded",
        5,
        Some("the disk is full"),
    )
    .await;
    write.commit().await.unwrap();
    history(store, "acme", "berlin-1", now).await;
}

/// Seventy minutes of the check `web` each half minute, with ten minutes missing that were lost.
async fn history(store: &Store, tenant: &str, agent: &str, now: i64) {
    let mut write = store.write().await.unwrap();
    let mut seq = 1;
    for step in 0..140_i64 {
        let at = now - 8_000 - (139 - step) * 30_000;
        if (60..80).contains(&step) {
            seq += 2;
            continue;
        }
        let wave = 0.09 + 0.05 * (step as f64 / 9.0).sin() + 0.02 * ((step * 7919 % 13) as f64 / 13.0);
        let (status, seconds) = if step > 125 { (2, wave + 0.2) } else { (1, wave) };
        let summary = format!("answered 200 in {:.0} ms", seconds * 1000.0);
        let web = result("web", status, &summary, at, seconds);
        let dns = result("dns", 1, "2 addresses", at + 500, 0.004);
        chunk(&mut write, tenant, agent, seq, &[web, dns]).await;
        seq += 2;
    }
    sqlx::query(
        "INSERT INTO result_gap (tenant, agent, stream, first_seq, last_seq, cause, noticed_at) \
         VALUES ($1, $2, 'a41f09', 121, 160, 'quota', $3)",
    )
    .bind(tenant)
    .bind(agent)
    .bind(now - 29 * MINUTE)
    .execute(&mut *write)
    .await
    .unwrap();
    write.commit().await.unwrap();
}
