-- +goose Up
-- Times are microseconds since 1970. Of secrets only the SHA-256 is kept.
-- Writers take turns at this row, so revocations become visible in their order.
CREATE TABLE account_turn (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    turn BIGINT NOT NULL,
    revocation BIGINT NOT NULL -- the last number
);
INSERT INTO account_turn (one, turn, revocation) VALUES (1, 0, 0);

CREATE TABLE users (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    folded TEXT NOT NULL UNIQUE, -- the name without case
    display_name TEXT NOT NULL,
    disabled BOOLEAN NOT NULL,
    issuer TEXT NOT NULL, -- of OpenID Connect; empty for a local user
    subject TEXT NOT NULL,
    password TEXT NOT NULL, -- hash with its parameters; empty for none
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    last_login_at BIGINT
);
CREATE UNIQUE INDEX users_subject ON users (issuer, subject) WHERE issuer <> '';

CREATE TABLE user_groups (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    folded TEXT NOT NULL UNIQUE,
    external TEXT NOT NULL, -- its name at the OpenID Connect provider; empty for none
    created_at BIGINT NOT NULL
);

CREATE TABLE group_members (
    group_id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    source TEXT NOT NULL, -- local or oidc
    PRIMARY KEY (group_id, user_id, source)
);
CREATE INDEX group_members_user ON group_members (user_id);

CREATE TABLE sessions (
    id TEXT PRIMARY KEY,
    secret BYTEA NOT NULL UNIQUE,
    user_id TEXT NOT NULL,
    address TEXT NOT NULL,
    agent TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    seen_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE INDEX sessions_user ON sessions (user_id);

CREATE TABLE tokens (
    id TEXT PRIMARY KEY,
    secret BYTEA NOT NULL UNIQUE,
    user_id TEXT NOT NULL,
    label TEXT NOT NULL,
    scopes TEXT NOT NULL, -- names with spaces between
    created_at BIGINT NOT NULL,
    expires_at BIGINT,
    last_used_at BIGINT
);
CREATE INDEX tokens_user ON tokens (user_id);

-- Either user_id or group_id; store or image, or both empty for everything.
CREATE TABLE grants (
    id TEXT PRIMARY KEY,
    user_id TEXT NOT NULL,
    group_id TEXT NOT NULL,
    role TEXT NOT NULL,
    store TEXT NOT NULL,
    image TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    UNIQUE (user_id, group_id, role, store, image)
);
CREATE INDEX grants_group ON grants (group_id);

CREATE TABLE revocations (
    n BIGINT PRIMARY KEY,
    at BIGINT NOT NULL,
    kind TEXT NOT NULL,
    id TEXT NOT NULL
);

CREATE TABLE audit (
    n BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at BIGINT NOT NULL,
    user_id TEXT NOT NULL,
    act TEXT NOT NULL,
    object TEXT NOT NULL,
    address TEXT NOT NULL,
    allowed BOOLEAN NOT NULL,
    detail TEXT NOT NULL
);
CREATE INDEX audit_user ON audit (user_id, n);
CREATE INDEX audit_object ON audit (object, n);

-- +goose StatementBegin
CREATE FUNCTION ptiffstore_audit_kept() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit log is only ever added to';
END $$;
-- +goose StatementEnd
CREATE TRIGGER audit_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON audit
    FOR EACH STATEMENT EXECUTE FUNCTION ptiffstore_audit_kept();

CREATE TABLE login_failures (
    key TEXT PRIMARY KEY, -- hash of a name or an address
    failures BIGINT NOT NULL,
    at BIGINT NOT NULL, -- until when failures have been forgotten
    retry_at BIGINT NOT NULL
);
CREATE INDEX login_failures_at ON login_failures (at);

CREATE TABLE bootstrap_links (
    secret BYTEA PRIMARY KEY,
    expires_at BIGINT NOT NULL
);

CREATE TABLE edges (
    id TEXT PRIMARY KEY,
    url TEXT NOT NULL UNIQUE,
    secret BYTEA NOT NULL UNIQUE,
    created_at BIGINT NOT NULL
);

CREATE TABLE signing_keys (
    id TEXT PRIMARY KEY,
    seed BYTEA NOT NULL, -- of Ed25519
    created_at BIGINT NOT NULL,
    retired_at BIGINT -- NULL for the one that signs
);
