-- Times are Unix milliseconds, suffix _at. Every table that holds a tenant's data has the tenant in its key.
-- Names and types stay inside what PostgreSQL has too: TEXT, BIGINT, BLOB (BYTEA there).

CREATE TABLE installation (
    id              BIGINT PRIMARY KEY CHECK (id = 1),
    trust_domain    TEXT NOT NULL,
    created_at      BIGINT NOT NULL,
    -- When `serve` first printed a sign-in token; it does so once.
    first_served_at BIGINT
);

CREATE TABLE tenant (
    slug            TEXT PRIMARY KEY,
    name            TEXT NOT NULL,
    state           TEXT NOT NULL CHECK (state IN ('active', 'suspended', 'deleted')),
    created_at      BIGINT NOT NULL
);

-- Certificate authorities: kind is root, gateway, platform or tenant.
CREATE TABLE ca (
    id              BIGINT PRIMARY KEY,
    kind            TEXT NOT NULL CHECK (kind IN ('root', 'gateway', 'platform', 'tenant')),
    tenant          TEXT REFERENCES tenant (slug),
    certificate     BLOB NOT NULL,
    -- Where the private key is: a file in the platform's key folder, never the key.
    key_ref         TEXT NOT NULL,
    state           TEXT NOT NULL CHECK (state IN ('prepared', 'active', 'retiring', 'revoked')),
    not_after_at    BIGINT NOT NULL,
    created_at      BIGINT NOT NULL
);
CREATE INDEX ca_by_kind ON ca (kind, tenant, state);

CREATE TABLE pool (
    name            TEXT PRIMARY KEY,
    -- NULL: shared by all tenants.
    tenant          TEXT REFERENCES tenant (slug),
    shard_count     BIGINT NOT NULL,
    -- Rises by one with every change of the pool's agents: gap-free, in the order of the commits.
    revision        BIGINT NOT NULL
);

CREATE TABLE agent (
    tenant          TEXT NOT NULL REFERENCES tenant (slug),
    name            TEXT NOT NULL,
    pool            TEXT NOT NULL REFERENCES pool (name),
    shard           BIGINT NOT NULL,
    endpoint        TEXT NOT NULL,
    spiffe_id       TEXT NOT NULL UNIQUE,
    common_name     TEXT NOT NULL,
    interval_ms     BIGINT NOT NULL,
    unreachable_after_ms BIGINT NOT NULL,
    enabled         BIGINT NOT NULL,
    created_at      BIGINT NOT NULL,
    PRIMARY KEY (tenant, name)
);
CREATE INDEX agent_by_shard ON agent (pool, shard);

CREATE TABLE registry_change (
    pool            TEXT NOT NULL,
    revision        BIGINT NOT NULL,
    tenant          TEXT NOT NULL,
    agent           TEXT NOT NULL,
    operation       TEXT NOT NULL CHECK (operation IN ('upsert', 'remove')),
    changed_at      BIGINT NOT NULL,
    PRIMARY KEY (pool, revision)
);

CREATE TABLE certificate (
    issuer_ca       BIGINT NOT NULL REFERENCES ca (id),
    serial          TEXT NOT NULL,
    -- agent, gateway or platform
    subject_kind    TEXT NOT NULL,
    tenant          TEXT,
    subject         TEXT NOT NULL,
    spiffe_id       TEXT NOT NULL,
    certificate     BLOB NOT NULL,
    state           TEXT NOT NULL CHECK (state IN ('pending', 'current', 'superseded', 'revoked')),
    not_before_at   BIGINT NOT NULL,
    not_after_at    BIGINT NOT NULL,
    issued_at       BIGINT NOT NULL,
    -- When a newer certificate took its place; what it signed before is still taken for a while.
    superseded_at   BIGINT,
    PRIMARY KEY (issuer_ca, serial)
);
CREATE INDEX certificate_by_expiry ON certificate (state, not_after_at);
CREATE INDEX certificate_by_subject ON certificate (subject_kind, tenant, subject, state);

CREATE TABLE gateway (
    name            TEXT PRIMARY KEY,
    pool            TEXT NOT NULL REFERENCES pool (name),
    spiffe_id       TEXT NOT NULL UNIQUE,
    -- The process that has the lease now; NULL where none does.
    instance        TEXT,
    state           TEXT NOT NULL CHECK (state IN ('absent', 'live', 'draining', 'dead')),
    weight          BIGINT NOT NULL,
    zone            TEXT NOT NULL,
    version         TEXT NOT NULL,
    agents          BIGINT NOT NULL,
    expires_at      BIGINT NOT NULL,
    -- When its state last changed; a renewed lease is no change.
    changed_at      BIGINT NOT NULL,
    created_at      BIGINT NOT NULL
);

CREATE TABLE shard (
    pool            TEXT NOT NULL REFERENCES pool (name),
    number          BIGINT NOT NULL,
    owner           TEXT,
    owner_instance  TEXT,
    epoch           BIGINT NOT NULL,
    PRIMARY KEY (pool, number)
);

-- When each pool was last reconciled, and until when nothing is declared dead: after a gap longer than a lease, the
-- gateways get one lease to come back.
CREATE TABLE reconcile (
    pool            TEXT PRIMARY KEY REFERENCES pool (name),
    last_tick_at    BIGINT NOT NULL,
    hold_until_at   BIGINT NOT NULL
);

CREATE TABLE agent_cursor (
    tenant          TEXT NOT NULL,
    agent           TEXT NOT NULL,
    stream          TEXT NOT NULL,
    committed_seq   BIGINT NOT NULL,
    lost_total      BIGINT NOT NULL,
    updated_at      BIGINT NOT NULL,
    PRIMARY KEY (tenant, agent)
);

CREATE TABLE agent_reach (
    tenant          TEXT NOT NULL,
    agent           TEXT NOT NULL,
    state           TEXT NOT NULL CHECK (state IN ('pending', 'reachable', 'suspect', 'unreachable')),
    cause           TEXT NOT NULL,
    detail          TEXT NOT NULL,
    since_at        BIGINT NOT NULL,
    reported_at     BIGINT NOT NULL,
    gateway         TEXT NOT NULL,
    epoch           BIGINT NOT NULL,
    clock_skew_ms   BIGINT,
    agent_version   TEXT NOT NULL,
    spool_bytes     BIGINT NOT NULL,
    spool_quota     BIGINT NOT NULL,
    spool_dropped   BIGINT NOT NULL,
    PRIMARY KEY (tenant, agent)
);
CREATE INDEX agent_reach_by_report ON agent_reach (reported_at);

-- One row for each sealed batch, kept exactly as the agent sealed it.
CREATE TABLE sample_chunk (
    tenant          TEXT NOT NULL,
    agent           TEXT NOT NULL,
    stream          TEXT NOT NULL,
    first_seq       BIGINT NOT NULL,
    last_seq        BIGINT NOT NULL,
    -- The earliest and the latest start of a run inside, by the agent's clock.
    t_min           BIGINT NOT NULL,
    t_max           BIGINT NOT NULL,
    header          BLOB NOT NULL,
    payload         BLOB NOT NULL,
    signature       BLOB NOT NULL,
    received_at     BIGINT NOT NULL,
    PRIMARY KEY (tenant, agent, stream, first_seq)
);
CREATE INDEX sample_chunk_by_time ON sample_chunk (tenant, agent, t_max);
CREATE INDEX sample_chunk_by_receipt ON sample_chunk (received_at);

-- Results that will never come, and why.
CREATE TABLE result_gap (
    tenant          TEXT NOT NULL,
    agent           TEXT NOT NULL,
    stream          TEXT NOT NULL,
    first_seq       BIGINT NOT NULL,
    last_seq        BIGINT NOT NULL,
    cause           TEXT NOT NULL,
    noticed_at      BIGINT NOT NULL,
    PRIMARY KEY (tenant, agent, stream, first_seq)
);

-- The newest result of each check.
CREATE TABLE check_state (
    tenant          TEXT NOT NULL,
    agent           TEXT NOT NULL,
    name            TEXT NOT NULL,
    checker         TEXT NOT NULL,
    checker_version TEXT NOT NULL,
    status          TEXT NOT NULL CHECK (status IN ('ok', 'warning', 'critical', 'unknown')),
    -- When it came into this status, by the agent's clock.
    since_at        BIGINT NOT NULL,
    summary         TEXT NOT NULL,
    failure         TEXT NOT NULL,
    interval_ms     BIGINT NOT NULL,
    stream          TEXT NOT NULL,
    seq             BIGINT NOT NULL,
    started_at      BIGINT NOT NULL,
    received_at     BIGINT NOT NULL,
    -- The whole CheckResult, protobuf.
    result          BLOB NOT NULL,
    PRIMARY KEY (tenant, agent, name)
);
CREATE INDEX check_state_by_receipt ON check_state (received_at);

-- One row for each change of a check's status.
CREATE TABLE state_event (
    id              BIGINT PRIMARY KEY,
    tenant          TEXT NOT NULL,
    agent           TEXT NOT NULL,
    name            TEXT NOT NULL,
    stream          TEXT NOT NULL,
    seq             BIGINT NOT NULL,
    old_status      TEXT,
    new_status      TEXT NOT NULL,
    summary         TEXT NOT NULL,
    at              BIGINT NOT NULL,
    received_at     BIGINT NOT NULL
);
CREATE INDEX state_event_by_receipt ON state_event (received_at);
CREATE INDEX state_event_by_check ON state_event (tenant, agent, name, at);

CREATE TABLE alert (
    id              TEXT PRIMARY KEY,
    tenant          TEXT NOT NULL,
    -- agent_unreachable, agent_refused, check_failing, check_stale or certificate_expiring
    kind            TEXT NOT NULL,
    agent           TEXT NOT NULL,
    -- The check's name; empty for an alert about the agent itself.
    name            TEXT NOT NULL,
    severity        TEXT NOT NULL CHECK (severity IN ('warning', 'critical')),
    summary         TEXT NOT NULL,
    cause           TEXT NOT NULL,
    raised_at       BIGINT NOT NULL,
    changed_at      BIGINT NOT NULL,
    resolved_at     BIGINT,
    acknowledged_at BIGINT,
    acknowledged_by TEXT
);
CREATE UNIQUE INDEX alert_open ON alert (tenant, kind, agent, name) WHERE resolved_at IS NULL;
CREATE INDEX alert_resolved ON alert (resolved_at) WHERE resolved_at IS NOT NULL;
CREATE INDEX alert_by_change ON alert (changed_at);
CREATE INDEX alert_by_tenant ON alert (tenant, raised_at);

CREATE TABLE job (
    id              TEXT PRIMARY KEY,
    queue           TEXT NOT NULL,
    kind            TEXT NOT NULL,
    arguments       TEXT NOT NULL,
    state           TEXT NOT NULL CHECK (state IN ('available', 'running', 'completed', 'discarded', 'cancelled')),
    unique_key      TEXT,
    priority        BIGINT NOT NULL,
    attempt         BIGINT NOT NULL,
    max_attempts    BIGINT NOT NULL,
    run_at          BIGINT NOT NULL,
    -- Who runs it, until when, and the token without which nobody may complete it.
    node            TEXT,
    lease_token     TEXT,
    lease_until_at  BIGINT,
    last_error      TEXT,
    created_at      BIGINT NOT NULL,
    finished_at     BIGINT
);
CREATE INDEX job_due ON job (queue, state, run_at);
CREATE UNIQUE INDEX job_unique ON job (kind, unique_key) WHERE unique_key IS NOT NULL AND state IN ('available', 'running');

-- The last slot of each schedule for which a job was made.
CREATE TABLE cron (
    name            TEXT PRIMARY KEY,
    last_slot_at    BIGINT NOT NULL
);

CREATE TABLE platform_node (
    name            TEXT PRIMARY KEY,
    instance        TEXT NOT NULL,
    expires_at      BIGINT NOT NULL
);

CREATE TABLE audit (
    id              BIGINT PRIMARY KEY,
    at              BIGINT NOT NULL,
    actor           TEXT NOT NULL,
    action          TEXT NOT NULL,
    tenant          TEXT,
    subject         TEXT NOT NULL,
    detail          TEXT NOT NULL
);

CREATE TABLE web_session (
    -- SHA-256 of the cookie's value, hexadecimal.
    token_hash      TEXT PRIMARY KEY,
    csrf            TEXT NOT NULL,
    created_at      BIGINT NOT NULL,
    expires_at      BIGINT NOT NULL
);

-- One-time sign-in tokens: used once, then gone.
CREATE TABLE signin_token (
    token_hash      TEXT PRIMARY KEY,
    created_at      BIGINT NOT NULL,
    expires_at      BIGINT NOT NULL
);

CREATE TABLE api_token (
    token_hash      TEXT PRIMARY KEY,
    name            TEXT NOT NULL UNIQUE,
    -- NULL: all tenants.
    tenant          TEXT REFERENCES tenant (slug),
    created_at      BIGINT NOT NULL,
    last_used_at    BIGINT
);
