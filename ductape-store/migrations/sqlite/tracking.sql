-- Counts what was recorded, and lets one writer in at a time.
CREATE TABLE ductape_tracking (
    id INTEGER PRIMARY KEY,
    next BIGINT NOT NULL,
    bytes BIGINT NOT NULL
);
INSERT INTO ductape_tracking (id, next, bytes) VALUES (1, 1, 0);

-- Names as numbers: a product's environments' brokers' topics, and who produces to them and consumes from them.
CREATE TABLE ductape_names (
    id INTEGER PRIMARY KEY,
    kind BIGINT NOT NULL,
    parent BIGINT NOT NULL,
    tag TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    UNIQUE (parent, kind, tag)
);

-- Messages, without what is only shown.
CREATE TABLE ductape_messages (
    seq INTEGER PRIMARY KEY,
    message_id TEXT NOT NULL,
    broker BIGINT NOT NULL,
    topic BIGINT NOT NULL,
    producer BIGINT NOT NULL,
    expected BIGINT NOT NULL,
    produced_at BIGINT NOT NULL,
    state BIGINT NOT NULL,
    marks BIGINT NOT NULL,
    bytes BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    UNIQUE (message_id, topic)
);
CREATE INDEX ductape_messages_by_broker ON ductape_messages (broker, produced_at, seq, topic, producer);
CREATE INDEX ductape_messages_by_topic ON ductape_messages (topic, produced_at, seq, producer);

-- What is only shown.
CREATE TABLE ductape_details (
    message INTEGER PRIMARY KEY,
    details TEXT NOT NULL,
    payload BLOB
);

-- What consumers did with messages.
CREATE TABLE ductape_deliveries (
    message BIGINT NOT NULL,
    consumer BIGINT NOT NULL,
    topic BIGINT NOT NULL,
    produced_at BIGINT NOT NULL,
    status BIGINT NOT NULL,
    redrive BIGINT NOT NULL,
    attempt BIGINT NOT NULL,
    started_at BIGINT NOT NULL,
    elapsed BIGINT NOT NULL,
    next_at BIGINT,
    duplicates BIGINT NOT NULL,
    error TEXT,
    response BLOB,
    PRIMARY KEY (message, consumer)
) WITHOUT ROWID;
CREATE INDEX ductape_deliveries_by_consumer ON ductape_deliveries (consumer, produced_at, message, topic);

-- Attempts that did not succeed.
CREATE TABLE ductape_attempts (
    message BIGINT NOT NULL,
    consumer BIGINT NOT NULL,
    redrive BIGINT NOT NULL,
    attempt BIGINT NOT NULL,
    outcome BIGINT NOT NULL,
    started_at BIGINT NOT NULL,
    elapsed BIGINT NOT NULL,
    error TEXT,
    PRIMARY KEY (message, consumer, redrive, attempt, outcome)
) WITHOUT ROWID;

-- Messages in states other than success, and with what is rare.
CREATE TABLE ductape_marks (
    broker BIGINT NOT NULL,
    mark BIGINT NOT NULL,
    produced_at BIGINT NOT NULL,
    seq BIGINT NOT NULL,
    topic BIGINT NOT NULL,
    producer BIGINT NOT NULL,
    PRIMARY KEY (broker, mark, produced_at, seq)
) WITHOUT ROWID;

-- How many messages: of a topic and a producer; producer 0 is not known.
CREATE TABLE ductape_message_totals (
    broker BIGINT NOT NULL,
    topic BIGINT NOT NULL,
    producer BIGINT NOT NULL,
    state BIGINT NOT NULL,
    count BIGINT NOT NULL,
    last_at BIGINT NOT NULL,
    PRIMARY KEY (broker, topic, producer, state)
) WITHOUT ROWID;

-- How many messages, by the hour in which they were produced; topic -1 is all of them, and so is producer -1.
CREATE TABLE ductape_message_hours (
    broker BIGINT NOT NULL,
    topic BIGINT NOT NULL,
    producer BIGINT NOT NULL,
    hour BIGINT NOT NULL,
    state BIGINT NOT NULL,
    count BIGINT NOT NULL,
    PRIMARY KEY (broker, topic, producer, hour, state)
) WITHOUT ROWID;

-- How many deliveries.
CREATE TABLE ductape_delivery_totals (
    broker BIGINT NOT NULL,
    topic BIGINT NOT NULL,
    consumer BIGINT NOT NULL,
    status BIGINT NOT NULL,
    count BIGINT NOT NULL,
    elapsed BIGINT NOT NULL,
    last_at BIGINT NOT NULL,
    PRIMARY KEY (broker, topic, consumer, status)
) WITHOUT ROWID;

-- How many deliveries, by the hour in which the message was produced; consumer -1 is all of them, and so are topic -1 and producer -1.
-- The state is the message's.
CREATE TABLE ductape_delivery_hours (
    broker BIGINT NOT NULL,
    consumer BIGINT NOT NULL,
    topic BIGINT NOT NULL,
    producer BIGINT NOT NULL,
    hour BIGINT NOT NULL,
    status BIGINT NOT NULL,
    state BIGINT NOT NULL,
    count BIGINT NOT NULL,
    PRIMARY KEY (broker, consumer, topic, producer, hour, status, state)
) WITHOUT ROWID;

-- Dead letters.
CREATE TABLE ductape_dead_letters (
    id INTEGER PRIMARY KEY,
    message BIGINT NOT NULL,
    consumer BIGINT NOT NULL,
    broker BIGINT NOT NULL,
    topic BIGINT NOT NULL,
    redrive BIGINT NOT NULL,
    message_id TEXT NOT NULL,
    failed_at BIGINT NOT NULL,
    retry_count BIGINT NOT NULL,
    error TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    state BIGINT NOT NULL,
    token TEXT,
    lease_until BIGINT,
    superseded_by TEXT,
    details TEXT NOT NULL,
    payload BLOB,
    UNIQUE (message, consumer, redrive)
);
CREATE INDEX ductape_dead_letters_by_broker ON ductape_dead_letters (broker, failed_at, id, state, topic, consumer, fingerprint);

-- Dead letters that failed in the same way.
CREATE TABLE ductape_failures (
    broker BIGINT NOT NULL,
    state BIGINT NOT NULL,
    topic BIGINT NOT NULL,
    consumer BIGINT NOT NULL,
    fingerprint TEXT NOT NULL,
    count BIGINT NOT NULL,
    error TEXT NOT NULL,
    first_at BIGINT NOT NULL,
    last_at BIGINT NOT NULL,
    PRIMARY KEY (broker, state, topic, consumer, fingerprint)
) WITHOUT ROWID;

-- How many messages were left out of the detail.
CREATE TABLE ductape_left_out (
    id TEXT NOT NULL PRIMARY KEY,
    broker BIGINT NOT NULL,
    topic BIGINT NOT NULL,
    at BIGINT NOT NULL,
    count BIGINT NOT NULL
) WITHOUT ROWID;
CREATE INDEX ductape_left_out_by_broker ON ductape_left_out (broker, count);
