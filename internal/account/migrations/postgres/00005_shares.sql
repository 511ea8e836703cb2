-- +goose Up
-- A share link shows some images to people without a login. Of its secret only the SHA-256 is kept.
CREATE TABLE shares (
    id TEXT PRIMARY KEY,
    secret BYTEA NOT NULL UNIQUE,
    user_id TEXT NOT NULL, -- its creator, whose rights it has
    title TEXT NOT NULL,
    kind TEXT NOT NULL, -- slides or case
    with_labels BOOLEAN NOT NULL,
    password TEXT NOT NULL, -- hash with its parameters; empty for none
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    revoked_at BIGINT,
    views BIGINT NOT NULL,
    viewed_at BIGINT
);
CREATE INDEX shares_user ON shares (user_id, created_at);
CREATE INDEX shares_expires ON shares (expires_at);

CREATE TABLE share_images (
    share_id TEXT NOT NULL,
    place BIGINT NOT NULL, -- order in which they are shown
    image TEXT NOT NULL,
    PRIMARY KEY (share_id, place)
);

-- The browsers that have opened a link, by the hash of their cookie.
CREATE TABLE share_visits (
    secret BYTEA PRIMARY KEY,
    share_id TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE INDEX share_visits_share ON share_visits (share_id, created_at);
CREATE INDEX share_visits_expires ON share_visits (expires_at);
