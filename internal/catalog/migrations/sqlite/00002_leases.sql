-- +goose Up

-- Rows are never removed, so that the numbers of a lease only increase.
CREATE TABLE leases (
    name       TEXT    PRIMARY KEY,
    holder     TEXT    NOT NULL, -- "" if it was given back
    token      INTEGER NOT NULL, -- the number of this acquisition
    expires_at INTEGER NOT NULL  -- by the database's clock
) STRICT;

CREATE TABLE workers (
    id         TEXT    PRIMARY KEY,
    host       TEXT    NOT NULL,
    pid        INTEGER NOT NULL,
    version    TEXT    NOT NULL,
    queues     TEXT    NOT NULL, -- JSON: a list of names
    started_at INTEGER NOT NULL,
    seen_at    INTEGER NOT NULL  -- by the database's clock
) STRICT;

-- Images to hash, and those verified longest ago. 6: available. Each index ends with n, the
-- row's own number.
CREATE INDEX images_unhashed ON images (store) WHERE shelf = 6 AND digest IS NULL;
CREATE INDEX images_verified ON images (store, verified_at) WHERE shelf = 6 AND digest IS NOT NULL;
