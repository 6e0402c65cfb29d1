-- Idempotency keys of publishes. While `done` is 0 the publish is under way, by `owner`, until `lease_until`.
CREATE TABLE ductape_idempotency (
    product TEXT NOT NULL,
    env TEXT NOT NULL,
    event TEXT NOT NULL,
    idempotency_key TEXT NOT NULL,
    fingerprint BLOB NOT NULL,
    message_id TEXT NOT NULL,
    durability TEXT,
    done BIGINT NOT NULL,
    owner TEXT NOT NULL,
    lease_until BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    PRIMARY KEY (product, env, event, idempotency_key)
);
CREATE INDEX ductape_idempotency_key ON ductape_idempotency (product, env, idempotency_key);
CREATE INDEX ductape_idempotency_expiry ON ductape_idempotency (expires_at) WHERE done = 1;
