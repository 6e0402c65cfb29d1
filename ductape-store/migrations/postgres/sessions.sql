-- What kinds of session a product has.
CREATE TABLE ductape_session_configs (
    product TEXT NOT NULL,
    tag TEXT NOT NULL,
    name TEXT NOT NULL,
    description TEXT,
    selector TEXT NOT NULL,
    expiry BIGINT NOT NULL,
    period TEXT NOT NULL,
    refresh_expiry BIGINT NOT NULL,
    refresh_period TEXT NOT NULL,
    sample TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (product, tag)
);
-- Sessions. `end_at` is when the newest token ends; until `live_until` the session can be refreshed.
CREATE TABLE ductape_sessions (
    session_id TEXT NOT NULL PRIMARY KEY,
    product TEXT NOT NULL,
    env TEXT NOT NULL,
    tag TEXT NOT NULL,
    identifier TEXT NOT NULL,
    data BYTEA NOT NULL,
    start_at BIGINT NOT NULL,
    end_at BIGINT NOT NULL,
    live_until BIGINT NOT NULL,
    revoked_at BIGINT
);
CREATE INDEX ductape_sessions_start ON ductape_sessions (product, env, tag, start_at);
CREATE INDEX ductape_sessions_identifier ON ductape_sessions (product, env, tag, identifier, start_at);
CREATE INDEX ductape_sessions_live ON ductape_sessions (live_until);
-- Refresh tokens: the SHA-256 of their secret. All of a session are one family.
CREATE TABLE ductape_session_tokens (
    token_id TEXT NOT NULL PRIMARY KEY,
    session_id TEXT NOT NULL,
    hash BYTEA NOT NULL,
    expires_at BIGINT NOT NULL,
    used_at BIGINT
);
CREATE INDEX ductape_session_tokens_expiry ON ductape_session_tokens (expires_at);
