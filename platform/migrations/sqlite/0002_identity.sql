-- Enrolment, renewal, recovery, revocation, and what agents and gateways are to trust.

-- Rises with every change of authorities, roots and denied certificates: the number of the trust statements.
ALTER TABLE installation ADD COLUMN trust_sequence BIGINT NOT NULL DEFAULT 1;

-- One for each `.enroll` file that was written. The private key is in the file alone.
CREATE TABLE activation (
    id              TEXT PRIMARY KEY,
    tenant          TEXT NOT NULL,
    agent           TEXT NOT NULL,
    -- Ed25519, 32 bytes.
    public_key      BLOB NOT NULL,
    -- waiting: nobody used it. used: a certificate was issued by it, which nobody has seen in use. done: it was seen.
    -- closed: a newer file took its place, its agent was revoked, or its time ran out while the agent had a certificate.
    state           TEXT NOT NULL CHECK (state IN ('waiting', 'used', 'done', 'closed')),
    created_at      BIGINT NOT NULL,
    expires_at      BIGINT NOT NULL,
    used_at         BIGINT,
    -- SHA-256 of the public key that it was used with: the same one may ask again.
    spki_sha256     BLOB,
    -- What was issued by it.
    issuer_ca       BIGINT REFERENCES ca (id),
    serial          TEXT,
    FOREIGN KEY (tenant, agent) REFERENCES agent (tenant, name)
);
CREATE INDEX activation_by_agent ON activation (tenant, agent, created_at);
CREATE UNIQUE INDEX activation_open ON activation (tenant, agent) WHERE state IN ('waiting', 'used');

-- When an operator approved that the agent, whose certificate has expired, gets another; NULL where nobody did, and
-- again once it has one.
ALTER TABLE agent ADD COLUMN recovery_approved_at BIGINT;
-- The last refusal of a certificate that the agent was asked for since it was last given one; empty where there is none.
ALTER TABLE agent ADD COLUMN refused_cause TEXT NOT NULL DEFAULT '';
ALTER TABLE agent ADD COLUMN refused_detail TEXT NOT NULL DEFAULT '';
ALTER TABLE agent ADD COLUMN refused_correlation_id TEXT NOT NULL DEFAULT '';
ALTER TABLE agent ADD COLUMN refused_at BIGINT;

-- By which certificate the agent was last verified, and the sequence of the trust statement that it goes by.
ALTER TABLE agent_reach ADD COLUMN certificate_serial TEXT NOT NULL DEFAULT '';
ALTER TABLE agent_reach ADD COLUMN trust_sequence BIGINT NOT NULL DEFAULT 0;

-- SHA-256 of the public key in it: who asks again with the same key gets the same certificate.
ALTER TABLE certificate ADD COLUMN spki_sha256 BLOB;
-- When a superseded one's time of grace was over.
ALTER TABLE certificate ADD COLUMN retired_at BIGINT;
UPDATE certificate SET retired_at = superseded_at WHERE state = 'superseded';
CREATE INDEX certificate_in_grace ON certificate (superseded_at) WHERE state = 'superseded' AND retired_at IS NULL;

-- The sequence of the trust that the gateway goes by, and when it was turned away for good.
ALTER TABLE gateway ADD COLUMN trust_sequence BIGINT NOT NULL DEFAULT 0;
ALTER TABLE gateway ADD COLUMN revoked_at BIGINT;
