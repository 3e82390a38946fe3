-- Authorities that take each other's place.

-- The root by which its certificate is signed; NULL for a root.
ALTER TABLE ca ADD COLUMN issuer BIGINT REFERENCES ca (id);
UPDATE ca SET issuer = (SELECT MIN(r.id) FROM ca r WHERE r.kind = 'root') WHERE kind <> 'root';

-- The sequence of the trust from which on it is trusted: who goes by an older one doesn't know it.
ALTER TABLE ca ADD COLUMN trusted_from BIGINT NOT NULL DEFAULT 0;

-- When it came into its state.
ALTER TABLE ca ADD COLUMN changed_at BIGINT NOT NULL DEFAULT 0;
UPDATE ca SET changed_at = created_at;

CREATE INDEX certificate_by_issuer ON certificate (issuer_ca, state);
