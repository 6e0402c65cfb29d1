-- Messages that were written in a transaction of the program's own, and are published by a relay after it.
CREATE TABLE ductape_outbox (
    seq BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    product TEXT NOT NULL,
    env TEXT NOT NULL,
    event TEXT NOT NULL,
    version BIGINT NOT NULL,
    message_id TEXT NOT NULL,
    message_key BYTEA,
    headers TEXT NOT NULL,
    payload BYTEA NOT NULL,
    not_before BIGINT NOT NULL,
    attempts BIGINT NOT NULL,
    last_error TEXT,
    claimed_by TEXT,
    claimed_until BIGINT NOT NULL,
    parked BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    sent_at BIGINT
);
CREATE INDEX ductape_outbox_unsent ON ductape_outbox (product, env, seq) WHERE sent_at IS NULL AND parked = 0;
CREATE INDEX ductape_outbox_claimed ON ductape_outbox (product, env, event, message_key) WHERE claimed_by IS NOT NULL AND sent_at IS NULL;
CREATE INDEX ductape_outbox_sent ON ductape_outbox (sent_at) WHERE sent_at IS NOT NULL;
-- Messages that a group has handled, or is handling until `lease_until`.
CREATE TABLE ductape_inbox (
    product TEXT NOT NULL,
    env TEXT NOT NULL,
    event TEXT NOT NULL,
    consumer TEXT NOT NULL,
    message_id TEXT NOT NULL,
    done BIGINT NOT NULL,
    epoch BIGINT NOT NULL,
    lease_until BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    PRIMARY KEY (product, env, event, consumer, message_id)
);
CREATE INDEX ductape_inbox_expiry ON ductape_inbox (expires_at) WHERE done = 1;
