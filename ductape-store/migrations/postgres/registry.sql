-- Brokers of products. `said` is a hash of what a program last said of a row: what is the same is not written again.
CREATE TABLE ductape_brokers (
    product TEXT NOT NULL,
    tag TEXT NOT NULL,
    name TEXT NOT NULL,
    description TEXT,
    source TEXT NOT NULL,
    said TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (product, tag)
);

-- What a broker is in an environment. The configuration is without its secrets, which are sealed beside it.
CREATE TABLE ductape_environments (
    product TEXT NOT NULL,
    broker TEXT NOT NULL,
    slug TEXT NOT NULL,
    kind TEXT NOT NULL,
    config TEXT NOT NULL,
    sealed TEXT NOT NULL,
    said TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (product, broker, slug)
);

-- Topics of brokers.
CREATE TABLE ductape_topics (
    product TEXT NOT NULL,
    broker TEXT NOT NULL,
    topic TEXT NOT NULL,
    version BIGINT NOT NULL,
    name TEXT NOT NULL,
    description TEXT,
    sample TEXT,
    schema TEXT,
    queue_urls TEXT NOT NULL,
    source TEXT NOT NULL,
    said TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (product, broker, topic, version)
);

-- The groups that programs consume topics in.
CREATE TABLE ductape_consumers (
    product TEXT NOT NULL,
    env TEXT NOT NULL,
    broker TEXT NOT NULL,
    topic TEXT NOT NULL,
    version BIGINT NOT NULL,
    consumer_tag TEXT NOT NULL,
    name TEXT NOT NULL,
    description TEXT,
    said TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    last_seen BIGINT NOT NULL,
    PRIMARY KEY (product, env, broker, topic, version, consumer_tag)
);
