-- Brokers and topics of products.
CREATE TABLE ductape_brokers (
    product TEXT NOT NULL,
    tag TEXT NOT NULL,
    name TEXT NOT NULL,
    description TEXT,
    environments TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (product, tag)
);
